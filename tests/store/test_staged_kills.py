"""The process that takes over the shards of tasks is killed at each of its steps."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterable
from functools import partial
from pathlib import Path

import pytest

from ppcli.errors import OutputError
from ppcli.store import manifest as manifest_module
from ppcli.store.manifest import Manifest
from ppcli.store.verify import verify
from tests.object_store import ObjectStore
from tests.store import small_run
from tests.store.places import far_run
from tests.store.staged_run import accept_all, drive, killed, listed, opened, stage_all
from tests.store.test_recovery import FaultyDisk, assert_whole
from tests.store.test_staging import assert_same

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs fork and SIGKILL")
ROOT = Path(__file__).parents[2]
KILLED = -signal.SIGKILL
slow = partial(pytest.param, marks=pytest.mark.slow)


def kill(
    inputs: Path, out: str, steps: Iterable[int], store: ObjectStore | None = None
) -> list[int]:
    """Exit codes of the runs that are killed at these steps."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.store.staged_run", inputs, out, *map(str, steps)],
        check=True,
        capture_output=True,
        cwd=ROOT,
        env=os.environ | ({} if store is None else store.environment),
    )
    return [int(code) for code in done.stdout.split()]


def known(out: str) -> int:
    """Inputs of the shards that the manifest knows."""
    manifest = Manifest.read(out)
    return manifest.inputs + sum(one.shard.inputs for one in manifest.staged)


@pytest.mark.parametrize("steps", [range(5, 70, 16), slow(range(78))])
def test_killed_at_any_step_it_loses_nothing(made, tmp_path, steps: range) -> None:
    codes = kill(made / "in", str(tmp_path / "out{}"), steps)
    assert set(codes) <= {KILLED, 0}
    assert codes[0] == KILLED
    before = set()
    for step in steps:
        out = tmp_path / f"out{step}"
        report, there = verify(str(out), data=True), known(str(out))
        assert report.damage == [], f"killed at step {step}"
        earlier = small_run.run(made / "in", out)
        assert earlier >= there, f"killed at step {step}"
        before.add(earlier)
        assert_whole(out)
        assert_same(out, made / "out")
    assert len(before) >= 3 if len(steps) < 20 else before >= {0, 1, 3, 5, 7}


@pytest.mark.slow
def test_killed_at_any_step_tasks_finish_it(made, tmp_path) -> None:
    steps = range(0, 78, 5)
    kill(made / "in", str(tmp_path / "out{}"), steps)
    for step in steps:
        out = tmp_path / f"out{step}"
        with opened(out) as dataset:
            taken = {one.first for one in dataset.staged}
            new = stage_all(dataset.area(), listed(made / "in"))
            accept_all(
                dataset,
                [
                    one
                    for one in reversed(new)
                    if one.first >= dataset.inputs_placed and one.first not in taken
                ],
            )
            dataset.clean()
        assert_same(out, made / "out")


@pytest.mark.parametrize("steps", [range(3, 46, 21), slow(range(0, 48, 2))])
def test_killed_at_any_request_it_loses_nothing(s3: ObjectStore, made: Path, steps: range) -> None:
    name = f"staged-{len(steps)}-{{}}"
    for step in steps:
        s3.bucket(name.replace("{}", str(step)))
    codes = kill(made / "in", f"s3://{name}", steps, s3)
    assert set(codes) <= {KILLED, 0}
    assert codes[0] == KILLED
    for step in steps:
        here = name.replace("{}", str(step))
        assert verify(f"s3://{here}", data=True).damage == [], f"killed at step {step}"
        there = known(f"s3://{here}")
        assert far_run.run(made / "in", f"s3://{here}") >= there, f"killed at step {step}"
        far_run.assert_whole(s3, here, made / "out")


@pytest.mark.slow
def test_killed_while_starting_anew(made, tmp_path) -> None:
    with killed(tmp_path / "waiting") as dataset:
        staged = stage_all(dataset.area(), listed(made / "in"))
        accept_all(dataset, [staged[0], staged[2], staged[3]])
    steps = range(40)
    for step in steps:
        shutil.copytree(tmp_path / "waiting", tmp_path / f"out{step}")
    words = [sys.executable, "-m", "tests.store.small_run", made / "in", tmp_path / "out{}"]
    subprocess.run([*words, "overwrite", *map(str, steps)], check=True, cwd=ROOT)
    for step in steps:
        out = tmp_path / f"out{step}"
        shutil.copytree(out, tmp_path / "copy")
        try:
            small_run.run(made / "in", tmp_path / "copy")
            assert_same(tmp_path / "copy", made / "out")
        except OutputError as error:
            assert "--overwrite" in str(error)
        shutil.rmtree(tmp_path / "copy")
        small_run.run(made / "in", out, "overwrite")
        assert_same(out, made / "out")


@pytest.mark.slow
@pytest.mark.parametrize("lines", [1000, 2])
def test_a_disk_that_fails_at_every_write(made, tmp_path, monkeypatch, lines: int) -> None:
    monkeypatch.setattr(manifest_module, "_LINES", lines)
    at, finished = 0, False
    while not finished:
        out = tmp_path / f"out{at}"
        disk = FaultyDisk(at, 28)
        with pytest.MonkeyPatch.context() as patch:
            disk.install(patch)
            try:
                drive(made / "in", str(out))
                finished = True
            except OutputError as caught:
                assert os.strerror(28) in str(caught)
        there = known(str(out)) if (out / "manifest.json").exists() else 0
        assert small_run.run(made / "in", out) >= there
        assert_same(out, made / "out")
        at += 1
    assert at > 30
