"""A run on a cluster makes the dataset that a run of one machine makes."""

import logging
import shutil
import tarfile
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from threading import Event

import pyarrow.parquet as pq
import pytest

from ppcli.coding.sequence_options import SequenceOptions
from ppcli.engine.cluster import cluster_run
from ppcli.engine.cluster.cluster_run import ClusterRun
from ppcli.engine.stopping import StopRequest
from ppcli.engine.worker_options import WorkerOptions
from ppcli.errors import ExitCode, NothingToDoError, StoppedError
from ppcli.inputs.input_options import ColumnOptions
from ppcli.inputs.refs import ImageRef
from ppcli.jobs.analysis_recipe import AnalysisRecipe
from ppcli.jobs.run_control import Progress, RunControl
from ppcli.store.dataset import dataset_output
from tests.engine import batches
from tests.engine.cluster.compared import (
    LOCAL,
    analyze,
    assert_same,
    assert_whole,
    mixed,
    rows_of,
    totals,
)
from tests.engine.cluster.process_cluster import ProcessConnection
from tests.engine.hostile_decoder import hostile, registered
from tests.inputs.containers.images import png
from tests.processes import eventually
from tests.store import kept_run, small_run


def both(inputs: object, root: Path, **options: object) -> None:
    """Run here and on the cluster, and compare."""
    local = analyze(inputs, root / "local", LOCAL, **options)
    result = analyze(inputs, root / "out", **options)
    assert_same(root / "out", root / "local")
    assert totals(result.summary) == totals(local.summary)
    assert result.failures == local.failures


@pytest.mark.parametrize("rows_per_shard", [1, 3, 10_000])
def test_files_with_pages_and_broken_ones(tmp_path, machines, rows_per_shard: int) -> None:
    folder = mixed(tmp_path / "in")
    both(folder, tmp_path, rows_per_shard=rows_per_shard)
    assert len(rows_of(tmp_path / "out")[0]) > 18
    assert len(machines.given) == -(-9 // rows_per_shard)


def test_with_worker_processes_of_each_worker(tmp_path, machines) -> None:
    folder = mixed(tmp_path / "in")
    analyze(folder, tmp_path / "local", LOCAL)
    analyze(folder, tmp_path / "out", workers=WorkerOptions(2))
    assert_same(tmp_path / "out", tmp_path / "local")


def test_chunks_that_end_in_another_order(tmp_path, machines) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(8):
        (folder / f"{number}.png").write_bytes(hostile("slow" if number % 4 == 0 else "ok"))
    with registered():
        both(folder, tmp_path, rows_per_shard=1)
    assert machines.ended != sorted(machines.ended)
    assert sorted(machines.ended) == list(range(1, 9))


def test_the_progress_and_the_log(tmp_path, machines, caplog) -> None:
    told: list[Progress] = []
    folder = mixed(tmp_path / "in")
    analyze(folder, tmp_path / "out", control=RunControl(on_progress=told.append))
    assert [told[0].done, told[-1].done, told[-1].total] == [0, 9, 9]
    assert [one.done for one in told] == sorted(one.done for one in told)
    failed = [row["image_id"] for row in rows_of(tmp_path / "out")[0] if row["status"] != "ok"]
    logged = [one.getMessage() for one in caplog.records if one.levelno >= logging.WARNING]
    assert len(failed) > 3
    assert [sum(f": {name}: " in text for text in logged) for name in failed] == [1] * len(failed)


def test_repeated_names(tmp_path, machines, caplog) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.png").write_bytes(png(len(name)))
    both([tmp_path / "one" / "a.png", tmp_path / "two" / "a.png"] * 2, tmp_path, rows_per_shard=1)
    warned = [one for one in caplog.records if "have the same name" in one.getMessage()]
    assert len(warned) == 2, "once in each run"


def test_kept_columns_of_a_parquet_file(tmp_path, machines) -> None:
    pictures = [png(number) for number in range(6)] + [b"no image"]
    pq.write_table(kept_run.source_table(pictures), tmp_path / "in.parquet", row_group_size=2)
    columns = ColumnOptions(keep_columns=("label", "text", "boxes", "when", "price", "group"))
    both(tmp_path / "in.parquet", tmp_path, columns=columns, rows_per_shard=2)
    rows, _ = rows_of(tmp_path / "out")
    assert [row["label"] for row in rows] == [0, 1, None, 1, 0, None, 0]


@pytest.mark.parametrize("kind", ["tar.gz", "zip"])
def test_members_of_an_archive(tmp_path, machines, kind: str) -> None:
    path = mixed(tmp_path / "in")
    made = shutil.make_archive(
        str(tmp_path / "all"), {"tar.gz": "gztar"}.get(kind, kind), root_dir=path
    )
    assert made.endswith(kind)
    both(made, tmp_path, rows_per_shard=4)
    assert len(rows_of(tmp_path / "out")[0]) > 18


def test_an_archive_that_ends_early(tmp_path, machines) -> None:
    file = BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for number in range(6):
            content = png(number)
            member = tarfile.TarInfo(f"{number}.png")
            member.size = len(content)
            archive.addfile(member, BytesIO(content))
    (tmp_path / "cut.tar").write_bytes(file.getvalue()[:4_000])
    both(tmp_path / "cut.tar", tmp_path, rows_per_shard=1)


def test_nothing_to_do(tmp_path, machines) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "notes.txt").write_text("no image")
    with pytest.raises(NothingToDoError, match="no image among the inputs; 1 other file skipped"):
        analyze(tmp_path / "in", tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert not machines.clusters


class SlowInputs:
    """Inputs of which the last ones come when a condition is met."""

    skipped = 0
    repeated = incomplete = ""

    def __init__(self, refs: list[ImageRef], pause: Callable[[], None]) -> None:
        self._refs, self._pause = refs, pause

    def __iter__(self) -> Iterator[ImageRef]:
        yield from self._refs[:-2]
        self._pause()
        yield from self._refs[-2:]


def run(machines: ProcessConnection, inputs: SlowInputs, out: Path, stop: StopRequest) -> None:
    recipe = AnalysisRecipe(small_run.OPTIONS, WorkerOptions(0))
    work = machines.cluster(1)
    config = small_run.OPTIONS.as_config()
    ClusterRun(recipe, work, (), recipe.new_summary(), stop=stop).execute(
        inputs, lambda: dataset_output(str(out), config)
    )


def test_work_begins_before_a_slow_list_ends(tmp_path, machines, monkeypatch) -> None:
    """The list goes on only after rows of its first inputs are there."""
    monkeypatch.setattr(cluster_run, "_MOST_SECONDS", 0.2)
    refs = batches.batch(tmp_path, {f"{number}.png": png(number) for number in range(5)})
    first = tmp_path / "out" / "stats" / "part-00000.parquet"
    waited = []
    inputs = SlowInputs(refs, lambda: waited.append(eventually(first.exists, 20)))
    run(machines, inputs, tmp_path / "out", StopRequest())
    assert waited == [True]
    assert_whole(tmp_path / "out")
    assert [row["image_id"] for row in rows_of(tmp_path / "out")[0]] == [
        ref.image_id for ref in refs
    ]
    assert machines.given == ["inputs 1 to 3", "inputs 4 to 5"]


def test_a_stop_does_not_wait_for_a_slow_list(tmp_path, machines) -> None:
    """The inputs that have come are given up: they are fewer than a shard."""
    refs = batches.batch(tmp_path, {f"{number}.png": png(number) for number in range(5)})
    stop, ended = StopRequest(), Event()

    def pause() -> None:
        stop.exit_code = ExitCode.TERMINATED
        ended.wait(20)

    with pytest.raises(StoppedError, match="terminated after 0 inputs"):
        run(machines, SlowInputs(refs, pause), tmp_path / "out", stop)
    assert not ended.is_set()
    ended.set()
    run(machines, SlowInputs(refs, lambda: None), tmp_path / "out", StopRequest())
    assert_whole(tmp_path / "out")
    assert len(rows_of(tmp_path / "out")[0]) == 5


@pytest.mark.parametrize("rows_per_shard", [1, 40])
def test_sequences_are_not_cut(tmp_path, machines, rows_per_shard: int) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(50):
        (folder / f"{number:02}.png").write_bytes(batches.encoded("PNG", number // 3))
    sequence = SequenceOptions("forward")
    both(folder, tmp_path, rows_per_shard=rows_per_shard, sequence=sequence)
    rows, patches = rows_of(tmp_path / "out")
    assert [n for n, one in enumerate(patches) if one["reference"] is None] == [0, 32]
    assert sum(one["kept"] for one in rows) < sum(one["kept_intra"] for one in rows)
