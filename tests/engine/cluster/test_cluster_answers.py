"""`infer` on a cluster gives the rows of a local run, from all kinds of inputs."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from ppcli.errors import ExitCode
from ppcli.store.verify import verify
from tests.chat_server import ChatServer, chat_server
from tests.command import pixelprune
from tests.engine.cluster.process_cluster import ProcessConnection

OK, FAILED = ExitCode.OK, ExitCode.INPUTS_FAILED


@pytest.fixture
def server() -> Iterator[ChatServer]:
    with chat_server() as running:
        yield running


def answers(*args: str | Path, out: Path, code: ExitCode) -> list[dict[str, Any]]:
    """Return the rows of a run, without times."""
    done = pixelprune("infer", *args, "-o", out, "--rows-per-shard", "2")
    assert done.returncode == code, done.stderr.decode()
    assert b"Traceback" not in done.stderr
    assert verify(str(out)).damage == []
    rows = [row for path in sorted((out / "answers").iterdir()) for row in _rows(path)]
    return [{name: one for name, one in row.items() if name[-3:] != "_ms"} for row in rows]


def _rows(path: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.ParquetFile(path).read().to_pylist()
    return rows


def both(root: Path, *args: str | Path, code: ExitCode, rows: int) -> None:
    """Run here and on the cluster, and compare."""
    right = answers(*args, out=root / "local", code=code)
    assert answers(*args, "--engine", "ray", out=root / "out", code=code) == right
    assert len(right) == rows
    assert sum(row["answer"] is not None for row in right) >= rows - 1


def test_images(folder, tmp_path, machines, server) -> None:
    args = (folder, "--prompt", "What?", "--server", server.url)
    both(tmp_path, *args, code=FAILED, rows=4)


def test_requests(folder, tmp_path, machines, server) -> None:
    """With one image and with several, and limits of their own."""
    lines = [
        {"custom_id": "one", "image": "a.png", "prompt": "What?"},
        {"custom_id": "two", "images": ["a.png", "b.jpg"], "prompt": "Which?"},
        {"custom_id": "broken", "image": "broken.png", "prompt": "What?"},
        {"custom_id": "last", "image": "sub/a.png", "prompt": "Who?", "max_new_tokens": 5},
    ]
    path = folder / "requests.jsonl"
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    both(tmp_path, "--requests", path, "--server", server.url, code=FAILED, rows=4)


def test_a_dataset(folder: Path, tmp_path: Path, machines: ProcessConnection) -> None:
    """Its patch sets are read by the workers, each of which has a model."""
    fit = ("--min-pixels", "4096", "--max-pixels", "786432")  # of the small model
    done = pixelprune("analyze", folder, *fit, "-o", tmp_path / "data")
    assert done.returncode == FAILED
    args = (tmp_path / "data", "--prompt", "What?", "--max-new-tokens", "3")
    both(tmp_path, *args, code=FAILED, rows=4)
    assert machines.given == ["inputs 1 to 2", "inputs 3 to 4"]


@pytest.mark.parametrize("sequence", ["forward", "reverse"])
def test_requests_that_are_sequences(folder, tmp_path, machines, server, sequence) -> None:
    """The workers tell their servers so."""
    images = ["a.png", "sub/a.png", "a.png", "a.png"]
    lines = [{"images": images[first:], "prompt": "What?"} for first in range(4)]
    path = folder / "requests.jsonl"
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    args = ("--requests", path, "--server", server.url, "--sequence", sequence)
    both(tmp_path, *args, code=OK, rows=4)
    told = [one["mm_processor_kwargs"]["pixelprune"]["sequence"] for one in server.questions]
    assert told == [sequence] * 8
