"""A driver that is killed at any step of writing; any engine goes on with what it has left."""

import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ppcli.store.verify import verify
from tests.engine.cluster import small_cluster_run
from tests.engine.cluster.compared import assert_same, rows_of
from tests.engine.cluster.process_cluster import ProcessConnection
from tests.processes import surroundings
from tests.store import small_run

HOWS = ["resume", "retry", "update", "drop", "overwrite"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The inputs of the small run in `in`, and the dataset of a local run in `out`."""
    root: Path = tmp_path_factory.mktemp("made")
    small_run.run(small_run.make_inputs(root / "in"), root / "out")
    return root


@pytest.fixture
def changed(made: Path, tmp_path: Path) -> Path:
    """Some inputs of the run are changed, mended, new or gone."""
    shutil.copytree(made / "in", tmp_path / "in")
    small_run.mend(tmp_path / "in")
    (tmp_path / "in" / "0.png").write_bytes((tmp_path / "in" / "4.png").read_bytes())
    (tmp_path / "in" / "2.png").unlink()
    shutil.copy(tmp_path / "in" / "3-pages.tif", tmp_path / "in" / "2-new.tif")
    return tmp_path / "in"


def inputs_for(how: str, made: Path, tmp_path: Path, changed: Path) -> Path:
    """Return the inputs for a run on the dataset."""
    if how in ("update", "drop", "overwrite"):
        return changed
    shutil.rmtree(tmp_path / "in")
    shutil.copytree(made / "in", tmp_path / "in")  # with the times of the files
    if how == "retry":
        small_run.mend(tmp_path / "in")
    return tmp_path / "in"


@pytest.mark.parametrize("how", HOWS)
def test_a_finished_dataset(made, changed, tmp_path, machines, how: str) -> None:
    """A run on the cluster does what a local one does."""
    folder = inputs_for(how, made, tmp_path, changed)
    for name in ("local", "out"):
        shutil.copytree(made / "out", tmp_path / name)
    earlier = small_run.run(folder, tmp_path / "local", how)
    summary = small_cluster_run.run(machines, folder, tmp_path / "out", how)
    assert_same(tmp_path / "out", tmp_path / "local")
    assert (rows_of(tmp_path / "out") == rows_of(made / "out")) == (how == "resume")
    assert summary.earlier_inputs == earlier
    how = "resume" if how == "overwrite" else how
    again = small_cluster_run.run(machines, folder, tmp_path / "out", how)
    assert again.earlier_inputs == again.inputs


def killed(module: str, *args: str | Path) -> list[int]:
    """Run in a process of its own that is killed at some steps; return the codes."""
    done = subprocess.run(
        [sys.executable, "-m", module, *map(str, args)],
        check=True,
        capture_output=True,
        text=True,
        env=surroundings(),
    )
    return [int(line.split()[1]) for line in done.stdout.splitlines()]


def engines(machines: ProcessConnection) -> list[Callable[..., object]]:
    """Return both engines; each takes inputs, output, and what to do."""
    return [small_run.run, lambda *args: small_cluster_run.run(machines, *args)]


@pytest.mark.parametrize("engine", [0, 1], ids=["local", "cluster"])
@pytest.mark.parametrize("step", [20, 60])
def test_a_killed_driver(made, tmp_path, machines, step: int, engine: int) -> None:
    module, out = "tests.engine.cluster.small_cluster_run", tmp_path / "out"
    assert killed(module, machines.address, made / "in", out, "resume", step) == [-signal.SIGKILL]
    assert verify(str(out)).damage == []
    engines(machines)[engine](made / "in", out)
    assert_same(out, made / "out")


def test_a_killed_local_run(made, tmp_path, machines) -> None:
    step = 40
    codes = killed("tests.store.small_run", made / "in", tmp_path / "out", "resume", step)
    assert codes == [-signal.SIGKILL]
    small_cluster_run.run(machines, made / "in", tmp_path / f"out{step}")
    assert_same(tmp_path / f"out{step}", made / "out")


@pytest.mark.slow
@pytest.mark.parametrize("how", HOWS)
def test_a_driver_killed_at_many_steps(made, changed, tmp_path, machines, how: str) -> None:
    """In turn the engines go on with what is left."""
    folder = inputs_for(how, made, tmp_path, changed)
    steps = range(0, 400, 5)
    outs = [tmp_path / f"out-{step}" for step in steps]
    if how != "resume":
        for out in (*outs, tmp_path / "local"):
            shutil.copytree(made / "out", out)
    small_run.run(folder, tmp_path / "local", how)
    module, pattern = "tests.engine.cluster.small_cluster_run", tmp_path / "out-{}"
    codes = killed(module, machines.address, folder, pattern, how, "every", steps.step)
    assert codes.count(0) == 1
    assert set(codes[:-1]) == {-signal.SIGKILL}
    assert len(codes) > 5
    for number, out in zip(range(len(codes)), outs, strict=False):
        engines(machines)[number % 2](folder, out, how)
        assert_same(out, tmp_path / "local")
