"""Errors that end a run are those of a local run, and so are the datasets that are left."""

import resource
import shutil
import sys
from collections.abc import Callable
from functools import partial
from itertools import count, takewhile
from pathlib import Path

import pytest

from ppcli.errors import ExitCode, OutputError
from ppcli.store.verify import verify
from tests.engine.cluster import small_cluster_run, worker_server
from tests.engine.cluster.compared import assert_no_litter, assert_same
from tests.engine.cluster.process_cluster import ProcessCluster, ProcessConnection
from tests.store import small_run
from tests.store.staged_run import accept_all, killed, listed, stage_all


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """The inputs of the small run in `in`, and the dataset of a local run in `out`."""
    small_run.run(small_run.make_inputs(tmp_path / "in"), tmp_path / "out")
    return tmp_path


def other_image(root: Path) -> None:
    """The first input of a shard is another image."""
    (root / "in" / "2.png").write_bytes((root / "in" / "4.png").read_bytes())


def renamed_image(root: Path) -> None:
    (root / "in" / "3.png").rename(root / "in" / "3-renamed.png")


def fewer_images(root: Path) -> None:
    (root / "in" / "4.png").unlink()


def damaged_shard(root: Path) -> None:
    for name in ("out", "local"):
        path = root / name / "stats" / "part-00001.parquet"
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)


def lost_shard(root: Path) -> None:
    for name in ("out", "local"):
        (root / name / "stats" / "part-00001.parquet").unlink()


@pytest.mark.parametrize(
    "change", [other_image, renamed_image, fewer_images, damaged_shard, lost_shard]
)
def test_a_resumed_run_refuses(made, machines, change: Callable[[Path], None]) -> None:
    shutil.copytree(made / "out", made / "local")
    change(made)
    with pytest.raises(OutputError) as expected:
        small_run.run(made / "in", made / "local")
    with pytest.raises(OutputError) as raised:
        small_cluster_run.run(machines, made / "in", made / "out")
    assert str(raised.value) == str(expected.value).replace("/local", "/out")
    assert raised.value.exit_code is ExitCode.OUTPUT
    assert machines.lost == 0


def test_inputs_before_a_shard_that_waits_are_gone(made, machines) -> None:
    """The dataset says so, and not that the next input has changed."""
    for name in ("local", "waiting"):
        with killed(made / name) as dataset:
            staged = stage_all(dataset.area(), listed(made / "in"))
            accept_all(dataset, staged[3:])
    for path in sorted((made / "in").iterdir())[2:]:
        path.unlink()
    with pytest.raises(OutputError) as expected:
        small_run.run(made / "in", made / "local")
    with pytest.raises(OutputError, match="only 2 of the 5 inputs before them are left") as raised:
        small_cluster_run.run(machines, made / "in", made / "waiting")
    of_local = str(expected.value).replace("/local", "/waiting")
    assert str(raised.value) == of_local.replace("of shard 1", "of shard 0")


@pytest.mark.skipif(sys.platform != "linux", reason="limits another process")
def test_a_worker_that_cannot_write(made, machines, monkeypatch) -> None:
    """As on a full disk: the run ends with a sentence, and goes on once there is room."""
    give = ProcessCluster.give

    def limited(cluster: ProcessCluster, *args: object) -> None:
        for pid in cluster.pids:
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (2_000, resource.RLIM_INFINITY))
        give(cluster, *args)

    out = made / "full"
    with monkeypatch.context() as patch:
        patch.setattr(ProcessCluster, "give", limited)
        with pytest.raises(OutputError, match="File too large") as raised:
            small_cluster_run.run(machines, made / "in", out)
    assert str(out) in str(raised.value)
    assert_no_litter(out)
    small_cluster_run.run(machines, made / "in", out)
    assert_same(out, made / "out")


def dying(machines: ProcessConnection, made: Path, step: int, patch: pytest.MonkeyPatch) -> bool:
    """Run while the only worker dies at a step of writing; return whether it came to that."""
    machines.workers = 1
    (made / "step").write_text(str(step))
    patch.setenv(worker_server.DIES_AT, str(made / "step"))
    before, out = machines.lost, made / f"out-{step}"
    small_cluster_run.run(machines, made / "in", out)
    assert verify(str(out)).leftovers == 0
    assert_same(out, made / "out")
    assert not (made / "step").exists()
    return machines.lost > before


@pytest.mark.parametrize("step", [1, 12, 30])
def test_a_worker_that_dies_while_it_writes(made, machines, monkeypatch, step: int) -> None:
    assert dying(machines, made, step, monkeypatch)


@pytest.mark.slow
def test_a_worker_that_dies_at_any_step_of_writing(made, machines, monkeypatch) -> None:
    died = list(takewhile(partial(dying, machines, made, patch=monkeypatch), count(0, 6)))
    assert len(died) > 5
