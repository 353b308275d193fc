"""A local run goes on with what tasks have left; tasks go on with what a local run has left."""

import json
import logging
import os
import pickle
import shutil
from itertools import combinations
from pathlib import Path

import pytest

from ppcli.engine.arrivals import Arrivals
from ppcli.errors import ExitCode, OutputError, StoppedError
from ppcli.inputs.listing import Listing
from ppcli.store.dataset import DatasetWriter
from ppcli.store.manifest import Manifest
from ppcli.store.shards import REPLACES
from ppcli.store.staging import StagedReplacement
from ppcli.store.update_policy import UpdatePolicy
from ppcli.store.verify import verify
from tests.store import small_run
from tests.store.staged_run import accept_all, flow, killed, listed, opened, stage_all
from tests.store.test_staging import assert_same

SOME = [some for count in range(1, 4) for some in combinations(range(4), count)]


@pytest.mark.parametrize("some", SOME)
def test_a_local_run_fills_the_gaps(made, tmp_path, some: tuple[int, ...]) -> None:
    out = tmp_path / "out"
    with killed(out) as dataset:
        staged = stage_all(dataset.area(), listed(made / "in"))
        accept_all(dataset, [staged[number] for number in reversed(some)])
    earlier = small_run.run(made / "in", out)
    assert earlier == sum(staged[number].shard.inputs for number in some)
    assert_same(out, made / "out")
    assert small_run.run(made / "in", out) == 7


def test_a_stop_within_a_gap_loses_nothing(made, tmp_path) -> None:
    out = tmp_path / "out"
    with killed(out) as dataset:
        accept_all(dataset, stage_all(dataset.area(), listed(made / "in"))[2:])
    with pytest.raises(StoppedError), opened(out) as dataset, flow() as rows:
        refs = iter(listed(made / "in"))
        [gap] = [next(dataset.previous_shards(refs))]
        assert gap.inputs == 4
        with Arrivals(iter([next(refs) for _ in range(3)])) as arrivals:
            rows.work_on(arrivals, dataset)
        raise StoppedError(ExitCode.INTERRUPTED, "interrupted")
    manifest = Manifest.read(str(out))
    assert [one.inputs for one in manifest.shards] == [2, 1]
    assert [one.first for one in manifest.staged] == [4, 5]
    assert small_run.run(made / "in", out) == 3 + 3
    assert small_run.rows_of(out) == small_run.rows_of(made / "out")
    assert verify(str(out), data=True).damage == []


def waiting(made: Path, tmp_path: Path) -> tuple[Path, Path]:
    """Inputs of which the last shard waits for the others, and their dataset."""
    inputs = shutil.copytree(made / "in", tmp_path / "in")
    with killed(tmp_path / "out") as dataset:
        accept_all(dataset, stage_all(dataset.area(), listed(inputs))[3:])
    return inputs, tmp_path / "out"


def test_a_shard_that_waits_and_whose_inputs_have_changed_is_refused(made, tmp_path) -> None:
    inputs, out = waiting(made, tmp_path)
    os.utime(inputs / "4.png", ns=(1, 1))
    with pytest.raises(
        OutputError, match=r"those of shard 3 have changed \(a file was modified\); use --overwrite"
    ):
        small_run.run(inputs, out)


def test_inputs_before_a_shard_that_waits_may_not_vanish(made, tmp_path) -> None:
    inputs, out = waiting(made, tmp_path)
    for name in ("2.png", "3.png", "4.png", "3-pages.tif"):
        (inputs / name).unlink()
    with pytest.raises(OutputError, match="only 3 of the 5 inputs before them are left"):
        small_run.run(inputs, out)
    shutil.copytree(made / "in", inputs, dirs_exist_ok=True)
    assert small_run.run(inputs, out) == 3 + 2
    assert verify(str(out), data=True).damage == []
    found, expected = small_run.rows_of(out)[1], small_run.rows_of(made / "out")[1]
    assert [one["raster_digest"] for one in found] == [one["raster_digest"] for one in expected]


def test_a_single_file_is_made_of_what_waits(made, tmp_path) -> None:
    small_run.run(made / "in", tmp_path / "expected.jsonl")
    with killed(tmp_path / "out.jsonl.partial") as dataset:
        accept_all(dataset, stage_all(dataset.area(), listed(made / "in"))[1:])
    assert small_run.run(made / "in", tmp_path / "out.jsonl") == 5
    found, expected = (
        [json.loads(line)["image_id"] for line in (tmp_path / name).read_text().splitlines()]
        for name in ("out.jsonl", "expected.jsonl")
    )
    assert found == expected
    assert not (tmp_path / "out.jsonl.partial").exists()


def test_what_waits_is_an_earlier_run(made, tmp_path) -> None:
    _, out = waiting(made, tmp_path)
    with pytest.raises(OutputError, match="contains an earlier run"), opened(out, resume=False):
        pass


def test_an_update_takes_what_waits_and_counts_the_gaps_as_new(made, tmp_path) -> None:
    inputs, out = waiting(made, tmp_path)
    os.utime(inputs / "4.png", ns=(1, 1))
    assert small_run.run(inputs, out, "update") == 1
    rows, expected = small_run.rows_of(out)[0], small_run.rows_of(made / "out")[0]

    def named(rows):
        return sorted((row["image_id"], row["kept"]) for row in rows)

    assert named(rows) == named(expected)
    report = verify(str(out), data=True)
    assert (report.damage, report.leftovers, report.finished) == ([], 0, True)


def replaced(dataset: DatasetWriter, number: int, work: StagedReplacement, retry: bool) -> bool:
    """Do what a task and then the process with the lock do; return whether there was work."""
    with flow(retry) as rows:
        rows.resume(work.shard)
    if work.staged is not None:
        assert work.staged.first == REPLACES
        dataset.replace(number, pickle.loads(pickle.dumps(work.staged)))
    return work.staged is not None


@pytest.mark.parametrize("retry", [False, True])
def test_a_task_tries_failed_inputs_again(tmp_path, retry: bool) -> None:
    inputs, out = small_run.make_inputs(tmp_path / "in"), tmp_path / "out"
    small_run.run(inputs, out)
    small_run.mend(inputs)
    shutil.copytree(out, tmp_path / "expected")
    small_run.run(inputs, tmp_path / "expected", "retry" if retry else "resume")
    with opened(out) as dataset:
        area, refs = pickle.loads(pickle.dumps(dataset.area())), iter(listed(inputs))
        works = [
            area.previous_shard(number, record, refs)
            for number, record in enumerate(dataset.records)
        ]
        assert [one.moved for one in works] == [None] * 4
        done = [replaced(dataset, number, work, retry) for number, work in enumerate(works)]
        assert done == [retry, False, False, False]
        dataset.clean()
    assert_same(out, tmp_path / "expected")


def test_a_task_says_what_a_local_run_says_of_other_inputs_and_damage(made, tmp_path) -> None:
    inputs = shutil.copytree(made / "in", tmp_path / "in")
    out = shutil.copytree(made / "out", tmp_path / "out")
    refs = listed(inputs)
    with opened(out) as dataset:
        area, record = dataset.area(), dataset.records[0]
        with pytest.raises(OutputError) as of_task:
            area.previous_shard(0, record, iter(refs[1:]))
        with pytest.raises(OutputError) as of_run:
            list(dataset.previous_shards(iter(refs[1:])))
        assert str(of_task.value) == str(of_run.value)
        (out / "stats" / "part-00000.parquet").write_bytes(b"x")
        with pytest.raises(OutputError) as of_task:
            area.previous_shard(0, record, iter(refs))
        with pytest.raises(OutputError) as of_run:
            list(dataset.previous_shards(iter(refs)))
        assert str(of_task.value) == str(of_run.value)
        assert "run pixelprune verify for details" in str(of_run.value)


def test_a_replacement_that_fails_leaves_no_file(made, tmp_path) -> None:
    out = shutil.copytree(made / "out", tmp_path / "out")
    with opened(out) as dataset:
        work = dataset.area().previous_shard(0, dataset.records[0], iter(listed(made / "in")))
        with pytest.raises(RuntimeError), work.shard.replacement() as writer:
            writer.add(work.shard.inputs[0].rows[0], None)
            raise RuntimeError
    assert work.staged is None
    assert_same(out, made / "out")


def test_inputs_under_other_paths_are_told(made, tmp_path, caplog) -> None:
    inputs = shutil.copytree(made / "in", tmp_path / "in")
    out = shutil.copytree(made / "out", tmp_path / "out")
    with opened(out) as dataset, caplog.at_level(logging.WARNING):
        works = [
            dataset.area().previous_shard(0, dataset.records[0], iter(listed(inputs)))
            for _ in range(2)
        ]
        for work in works:
            assert work.moved is not None
            dataset.warn_of_paths(work.moved)
    assert len([one for one in caplog.messages if "under other paths" in one]) == 1


@pytest.mark.parametrize("how", ["update", "drop"])
def test_tasks_update_as_a_local_run_does(tmp_path, how: str) -> None:
    inputs, out = small_run.make_inputs(tmp_path / "in"), tmp_path / "out"
    small_run.run(inputs, out)
    shutil.copyfile(inputs / "0.png", inputs / "2.png")
    (inputs / "4.png").unlink()
    shutil.copytree(out, tmp_path / "expected")
    small_run.run(inputs, tmp_path / "expected", how)
    with (
        opened(out, update=UpdatePolicy(drop_missing=how == "drop")) as dataset,
        dataset.changes() as changes,
    ):
        assert changes is not None
        unchanged = list(changes.sort(Listing((str(inputs),))))
        assert len(unchanged) == 5
        pieces = [pickle.loads(pickle.dumps(one)) for one in changes.by_shard("")]
        has_some = [bool(one.given or one.dropped) for one in pieces]
        assert has_some == [False, True, False, how == "drop"]
        area = dataset.area()
        for one in pieces:
            work = area.updated_shard(one, dataset.records[one.number])
            assert replaced(dataset, one.number, work, False) == has_some[one.number]
        assert list(changes.new()) == []
        dataset.clean()
    assert_same(out, tmp_path / "expected")
