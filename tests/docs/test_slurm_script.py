"""The script for Slurm, with programs in place of those of Slurm."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.docs.pages import DOCS, ROOT

pytestmark = pytest.mark.skipif(os.name == "nt", reason="the script is for Linux")

SCRIPT = (DOCS / "cluster" / "slurm.sh").read_text(encoding="utf-8")
PICTURES = sorted((ROOT / "sample_data" / "questions").glob("*-1.png"))[:4]
# starts the processes of all machines on this one
SRUN = """#!/bin/bash
echo "$*" > "$HOME/srun.log"
while [[ $1 == --* ]]; do
    [[ $1 == --ntasks=* ]] && tasks=${1#*=}
    shift
done
for ((i = 0; i < tasks; i++)); do "$@" & done
trap 'kill $(jobs -p)' TERM
wait
wait
"""
AFTER_ALL_MACHINES = f"""#!{sys.executable}
import os, ray, sys, time
ray.init(os.environ["RAY_ADDRESS"], log_to_driver=False, logging_level="ERROR")
while len(ray.nodes()) < 2:
    time.sleep(0.2)
ray.shutdown()
os.execv(sys.executable, [sys.executable, "-m", "ppcli", *sys.argv[1:]])
"""
WITHOUT_END = """#!/bin/sh
[ "$1" = status ] || exec sleep 60
"""
TOLD_TO_END = """#!/bin/bash
trap 'kill $!; echo told; sleep 0.3; exit 15' TERM
sleep 60 &
sleep 0.3
touch "$HOME/runs"
wait
"""


@contextmanager
def started(
    home: Path, script: str, **programs: str
) -> Generator[subprocess.Popen[bytes], None, None]:
    """Start the script as Slurm does on the first of two machines with a core each.

    Args:
        home: what is the home folder for the script, and the folder that all machines share.
        script: text of the script.
        programs: texts of programs in the environment that it activates.
    """
    folder = home / "pixelprune" / "bin"
    folder.mkdir(parents=True)
    for name, lines in programs.items():
        (folder / name).write_text(lines, encoding="utf-8")
        (folder / name).chmod(0o755)
    path = f"{folder}:{os.path.dirname(sys.executable)}:$PATH"
    lines = f'PATH="{path}" PYTHONPATH="{ROOT}"\nexport PATH PYTHONPATH\n'
    (folder / "activate").write_text(lines, encoding="utf-8")
    job = {
        "SLURM_JOB_ID": str(os.getpid()),
        "SLURM_JOB_NUM_NODES": "2",
        "SLURM_CPUS_PER_TASK": "1",
        "SLURMD_NODENAME": "localhost",
    }
    with subprocess.Popen(
        ["bash", "-c", script.replace("/SHARED", str(home))],
        env=os.environ | job | {"HOME": str(home)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)


def wait_for_the_end_of_ray(folder: Path) -> None:
    """Wait until no process of a Ray is left whose files are in a folder."""
    import psutil

    for _ in range(300):
        lines = [" ".join(one.info["cmdline"] or []) for one in psutil.process_iter(["cmdline"])]
        left = [line for line in lines if f"{folder}/" in line]
        if not left:
            return
        time.sleep(0.2)
    pytest.fail(f"still there: {left}")


@pytest.mark.slow
def test_a_run_has_all_machines_of_the_job(tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="needs Ray: pip install 'pixelprune[ray]'")
    (tmp_path / "scans").mkdir()
    for picture in PICTURES:
        shutil.copy(picture, tmp_path / "scans")
    (tmp_path / "scans" / "broken.png").write_bytes(PICTURES[0].read_bytes()[:500])
    in_small_shards = SCRIPT.replace("--engine ray", "--engine ray --rows-per-shard 1")
    programs = {"srun": SRUN, "pixelprune": AFTER_ALL_MACHINES}
    with started(tmp_path, in_small_shards, **programs) as script:
        _, errors = script.communicate(timeout=240)
    assert script.returncode == 3, errors.decode()
    assert b"truncated: broken.png" in errors
    asked = (tmp_path / "srun.log").read_text(encoding="utf-8")
    assert "--nodes=1 --ntasks=1 --exclude=localhost --cpus-per-task=1 ray start" in asked
    names = pq.read_table(tmp_path / "pruned" / "stats").column("image_id").to_pylist()
    assert names == sorted(["broken.png", *(picture.name for picture in PICTURES)])
    files_of_ray = Path(f"/tmp/ray-{os.getpid()}")
    wait_for_the_end_of_ray(files_of_ray)
    shutil.rmtree(files_of_ray)


def test_a_run_is_told_that_its_time_is_over(tmp_path: Path) -> None:
    programs = {"ray": WITHOUT_END, "srun": WITHOUT_END, "pixelprune": TOLD_TO_END}
    with started(tmp_path, SCRIPT, **programs) as script:
        while not (tmp_path / "runs").exists():
            assert script.poll() is None
            time.sleep(0.05)
        script.send_signal(signal.SIGTERM)
        output, errors = script.communicate(timeout=30)
    assert (script.returncode, output, errors) == (15, b"told\n", b"")
