"""Runs on real Ray nodes of this machine make the datasets of local runs, though nodes are lost."""

import importlib.util
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from ppcli.errors import ExitCode
from ppcli.store.manifest import Manifest
from ppcli.store.verify import verify
from tests.chat_server import chat_server
from tests.command import command_line, pixelprune
from tests.conftest import blocks
from tests.engine.cluster.compared import assert_no_litter, assert_same, rows_of
from tests.engine.cluster.ray_machines import RayMachines, ray_machines
from tests.object_store import ObjectStore
from tests.processes import alive, descendants, eventually

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        importlib.util.find_spec("ray") is None,
        reason="Ray is not installed: pip install '.[ray]'",
    ),
    pytest.mark.skipif(sys.platform != "linux", reason="finds processes in /proc"),
]
ALL = ("--frames", "all", "--timeout", "20")


@pytest.fixture(scope="module")
def nodes() -> Iterator[RayMachines]:
    """A cluster of three nodes with one core each."""
    with ray_machines() as cluster:
        yield cluster


def shards(out: Path) -> frozenset[str]:
    """Return the names of the files with statistics, whole ones only."""
    return frozenset(path.name for path in (out / "stats").glob("[!.]*"))


class Run:
    """A command on the cluster, in the background.

    Attributes:
        process: of the command.
    """

    def __init__(self, log: Path, args: tuple[str | Path, ...], **variables: str) -> None:
        self._log = log
        with open(log, "wb") as file:
            self.process = subprocess.Popen(
                command_line([*args, "--engine", "ray"]),
                stderr=file,
                stdout=subprocess.DEVNULL,
                env=os.environ | variables,
            )

    @property
    def log(self) -> str:
        return self._log.read_text()

    def waits_for(self, out: Path, files: int, earlier: frozenset[str] = frozenset()) -> None:
        """Wait until tasks have written some shards, besides those of an earlier run."""
        has_some = lambda: len(shards(out) - earlier) >= files  # noqa: E731
        assert eventually(lambda: has_some() or self.process.poll() is not None), self.log
        assert self.process.poll() is None, self.log

    def ends_with(self, code: ExitCode) -> None:
        assert self.process.wait(120) == code, self.log
        assert "Traceback" not in self.log


@contextmanager
def running(tmp_path: Path, *args: str | Path, **variables: str) -> Iterator[Run]:
    run = Run(tmp_path / "log", args, **variables)
    try:
        yield run
    finally:
        run.process.kill()
        run.process.wait()


@pytest.fixture(scope="module")
def some(corpus: Path) -> list[Path]:
    """Files of the corpus of all kinds, whole and hostile."""
    return [corpus / "hostile", corpus / "images" / "chart", corpus / "images" / "pdf"]


@pytest.fixture(scope="module")
def local(some: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The dataset of a local run."""
    out: Path = tmp_path_factory.mktemp("local") / "out"
    done = pixelprune("analyze", *some, *ALL, "-o", out, "--workers", "2")
    assert done.returncode == ExitCode.INPUTS_FAILED, done.stderr
    assert len(rows_of(out)[0]) > 100
    return out


def test_nodes_that_are_lost_and_a_driver_that_is_killed(nodes, some, local, tmp_path) -> None:
    """The rows are those of the local run, in order."""
    out = tmp_path / "out"
    line = ("analyze", *some, *ALL, "-o", out, "--rows-per-shard", "4", "--workers", "1")
    with running(tmp_path, *line, "--ray-address", nodes.address) as run:
        run.waits_for(out, 2)
        nodes.replace_node()
        run.waits_for(out, 8)
        run.process.send_signal(signal.SIGKILL)
        run.process.wait()
    assert not Manifest.read(str(out)).finished
    earlier = shards(out)
    with running(tmp_path, *line, "--ray-address", nodes.address) as run:
        run.waits_for(out, 4, earlier)
        nodes.replace_node()
        run.ends_with(ExitCode.INPUTS_FAILED)
        assert re.search(r"inputs [0-9]+ to [0-9]+ are done again", run.log)
    assert_same(out, local)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder of small images, one of them broken."""
    folder = tmp_path / "in"
    folder.mkdir()
    for seed in range(4):
        Image.fromarray(blocks(96 + seed, 64, seed=seed)).save(folder / f"{seed}.png")
    (folder / "1-broken.png").write_bytes((folder / "1.png").read_bytes()[:90])
    return folder


def answers_of(out: Path) -> list[dict]:
    """Return the rows of a dataset of answers, without times."""
    tables = [pq.read_table(path) for path in sorted((out / "answers").glob("*.parquet"))]
    rows = pa.concat_tables(tables).to_pylist()
    return [{name: one for name, one in row.items() if name[-3:] != "_ms"} for row in rows]


@pytest.mark.parametrize("where", ["model", "server"])
def test_answers(nodes, pictures, tmp_path, where: str) -> None:
    """From a model in each worker, or from servers that all workers ask."""
    with chat_server() as server:
        of_server = ("--server", server.url) if where == "server" else ()
        line = ("infer", pictures, "--prompt", "What?", "--max-new-tokens", "6", *of_server)
        done = pixelprune(*line, "-o", tmp_path / "local")
        assert done.returncode == ExitCode.INPUTS_FAILED, done.stderr
        out = tmp_path / "out"
        args = (*line, "-o", out, "--rows-per-shard", "2", "--ray-address", nodes.address)
        with running(tmp_path, *args) as run:
            run.ends_with(ExitCode.INPUTS_FAILED)
    right = answers_of(tmp_path / "local")
    assert [row["status"] for row in right] == ["ok", "error", "ok", "ok", "ok"]
    assert all(row["answer"] for row in right if row["status"] == "ok")
    assert answers_of(out) == right
    assert verify(str(out)).damage == []


def download(s3: ObjectStore, bucket: str, root: Path) -> Path:
    """Copy the dataset in a bucket to a folder."""
    for key, content in s3.files(bucket, "out/").items():
        path = root / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return root / "out"


def _number(s3: ObjectStore, bucket: str) -> int:
    """Return how many objects a bucket has, also while a run renames some."""
    return s3.client.list_objects_v2(Bucket=bucket, Prefix="out/stats/")["KeyCount"]


def test_a_ray_of_its_own_leaves_nothing(pictures, tmp_path, s3: ObjectStore, monkeypatch) -> None:
    """It is stopped in the middle, and goes on with what the first run has finished."""
    for number in range(10):
        shutil.copy(pictures / "0.png", pictures / f"{number:02}.png")
    bucket = "ray-of-its-own"
    line = ("analyze", pictures, "-o", s3.bucket(bucket) + "/out", "--rows-per-shard", "1")
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    with TemporaryDirectory() as folder:
        with running(tmp_path, *line, TMPDIR=folder) as run:
            some = lambda: _number(s3, bucket) > 2  # noqa: E731
            assert eventually(lambda: some() or run.process.poll() is not None), run.log
            family = descendants(run.process.pid)
            assert {"raylet", "gcs_server"} <= {psutil.Process(pid).name() for pid in family}
            run.process.send_signal(signal.SIGINT)
            run.ends_with(ExitCode.INTERRUPTED)
            assert eventually(lambda: not any(map(alive, family)), 10)
        assert_no_litter(download(s3, bucket, tmp_path / "first"))
        with running(tmp_path, *line, TMPDIR=folder) as run:
            run.ends_with(ExitCode.INPUTS_FAILED)
            assert "done by an earlier run" in run.log
        assert os.listdir(folder) == []
    done = pixelprune("analyze", pictures, "-o", tmp_path / "local")
    assert done.returncode == ExitCode.INPUTS_FAILED
    assert_same(download(s3, bucket, tmp_path / "second"), tmp_path / "local")
