"""`verify` on a cluster finds in each shard what a local one finds, in order."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from ppcli import api
from ppcli.errors import ExitCode, UsageError
from ppcli.jobs.run_control import RunControl
from tests.command import pixelprune
from tests.engine.cluster.compared import CLUSTER
from tests.engine.cluster.process_cluster import ProcessCluster, ProcessConnection
from tests.store import small_run
from tests.store.staged_run import accept_all, killed, listed, stage_all


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The inputs of the small run in `in`, and a dataset in `out`."""
    root: Path = tmp_path_factory.mktemp("made")
    small_run.run(small_run.make_inputs(root / "in"), root / "out")
    return root


@pytest.fixture
def out(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made / "out", tmp_path / "out"))


def both(out: Path, **options: Any) -> Any:
    """Verify here and on the cluster, and compare."""
    local = api.verify(out, data=True, **options)
    found = api.verify(out, data=True, engine=CLUSTER, **options)
    assert found == local
    return found


def test_a_whole_dataset(out: Path, machines: ProcessConnection) -> None:
    report = both(out).report
    assert (report.files, report.rows, report.rasters, report.damage) == (8, 8, 7, [])
    assert len(machines.given) == 4


def test_damage_of_several_shards(out: Path, machines: ProcessConnection) -> None:
    for name in ("stats/part-00000.parquet", "patches/part-00003.parquet"):
        content = bytearray((out / name).read_bytes())
        content[len(content) // 2] ^= 1
        (out / name).write_bytes(content)
    (out / "stats" / "part-00002.parquet").unlink()
    (out / "stats" / "foreign.parquet").touch()
    damage = both(out).damage
    assert len(damage) >= 3
    numbers = [text.partition("part-")[2][:5] for text in damage if "part-" in text]
    assert numbers == sorted(numbers)
    done = pixelprune("verify", "--data", out, "--engine", "ray")
    assert done.returncode == ExitCode.DAMAGED
    assert [line in done.stderr.decode() for line in damage] == [True] * len(damage)


def test_shards_that_wait(made: Path, tmp_path: Path, machines: ProcessConnection) -> None:
    with killed(tmp_path / "out") as dataset:
        accept_all(dataset, stage_all(dataset.area(), listed(made / "in"))[1:])
    report = both(tmp_path / "out").report
    assert (report.finished, report.files, report.damage) == (False, 6, [])


def test_a_worker_that_dies(out: Path, machines: ProcessConnection, monkeypatch) -> None:
    """Its shard is verified again, and counted once."""
    give, told = ProcessCluster.give, []

    def killing(cluster: ProcessCluster, task_id: int, task: Any) -> None:
        give(cluster, task_id, task)
        if len(machines.given) == 2:
            cluster.kill_busy()

    monkeypatch.setattr(ProcessCluster, "give", killing)
    control = RunControl(on_progress=lambda progress: told.append(progress.done))
    found = api.verify(out, data=True, engine=CLUSTER, control=control)
    assert machines.lost == 1
    assert found == api.verify(out, data=True)
    assert told == [0, 1, 2, 3, 4]


def test_what_is_no_dataset(out: Path, machines: ProcessConnection) -> None:
    with pytest.raises(UsageError, match="verifies the shards of a dataset folder"):
        api.verify(out / "stats" / "part-00000.parquet", engine=CLUSTER)
    assert machines.clusters == []
