"""`infer --server --sequence`: what the server is told and shown, and counts that equal its own."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.chat_server import ChatServer, chat_server
from tests.cli.commands.test_infer_server import digest_of
from tests.command import pixelprune
from tests.conftest import blocks

BOTH = ("forward", "reverse")
Page = tuple[str, int]  # a file, and one of its pages


@pytest.fixture
def server() -> Iterator[ChatServer]:
    with chat_server() as running:
        yield running


def screens(number: int) -> list[Image.Image]:
    """Pictures of which a few tiles change from each to the next."""
    pixels = blocks(320, 256, levels=2)
    chance = np.random.default_rng(0)
    made = []
    for _ in range(number):
        made.append(Image.fromarray(pixels.copy()))
        row, column = 32 * chance.integers((8, 10))
        pixels[row : row + 32, column : column + 64] = chance.integers(0, 256, 3)
    return made


@pytest.fixture
def requests(tmp_path: Path) -> Path:
    """Screens as files of several formats, among them one of another size."""
    shown = screens(5)
    shown[0].save(tmp_path / "0.png")
    shown[1].save(tmp_path / "1.jpg", quality=95)
    shown[2].save(tmp_path / "2.tif", save_all=True, append_images=[shown[3]])
    shown[4].save(tmp_path / "4.bmp")
    Image.fromarray(blocks(352, 256, levels=2)).save(tmp_path / "wide.png")
    shown[2].convert("RGB").save(tmp_path / "a.pdf", resolution=200)
    asked = [
        ("screens", ["0.png", "1.jpg", "2.tif", "4.bmp"]),
        ("sizes", ["0.png", "wide.png", "wide.png", "4.bmp", "2.tif"]),
        ("pdf", ["a.pdf", "0.png", "a.pdf", "a.pdf"]),
        ("text", []),
    ]
    path = tmp_path / "requests.jsonl"
    lines = [{"custom_id": name, "images": images, "prompt": "what?"} for name, images in asked]
    path.write_text("".join(f"{json.dumps(one)}\n" for one in lines))
    return path


def rows_of(*line: str | Path, code: int = 0) -> dict[str, dict[str, Any]]:
    done = pixelprune("infer", *line)
    assert done.returncode == code, done.stderr.decode()
    assert b"other sizes" not in done.stderr
    return {row["custom_id"]: row for row in map(json.loads, done.stdout.splitlines())}


@pytest.mark.parametrize("threshold", ["0", "8/255", "auto"])
def test_counts_are_those_of_the_server(server: ChatServer, requests: Path, threshold: str) -> None:
    line = ("--requests", requests, "--server", server.url, "--threshold", threshold)
    plain = rows_of(*line)
    assert all("sequence" not in one for one in _told(server))
    for sequence in BOTH:
        server.bodies.clear()
        rows = rows_of(*line, "--sequence", sequence)
        for name in ("screens", "sizes", "pdf"):
            assert rows[name]["prompt_tokens"] == rows[name]["kept"] + 8
            assert rows[name]["kept"] < plain[name]["kept"] <= plain[name]["tokens"]
            assert rows[name]["answer"] == plain[name]["answer"]  # the same pixels, in their order
        assert rows["text"]["prompt_tokens"] == 8
        assert [one["sequence"] for one in _told(server)] == [sequence] * 3


def _told(server: ChatServer) -> list[dict[str, Any]]:
    bodies = [one for one in server.questions if "mm_processor_kwargs" in one]
    return [one["mm_processor_kwargs"]["pixelprune"] for one in bodies]


@pytest.mark.parametrize("sequence", BOTH)
def test_images_are_sent_in_the_order_of_the_request(
    server: ChatServer, requests: Path, sequence: str
) -> None:
    rows = rows_of("--requests", requests, "--server", server.url, "--sequence", sequence)
    pages: list[Page] = [("0.png", 1), ("1.jpg", 1), ("2.tif", 1), ("2.tif", 2), ("4.bmp", 1)]
    digests = [digest_of(requests.parent / name, page) for name, page in pages]
    assert rows["screens"]["answer"].split()[1::2] == digests


@pytest.mark.parametrize(("pruning", "said"), [("by_server", "--trust-request"), ("none", "does")])
def test_a_server_that_would_ignore_it_is_refused(
    server: ChatServer, requests: Path, pruning: str, said: str
) -> None:
    server.pruning = pruning
    line = ("--requests", requests, "--server", server.url)
    done = pixelprune("infer", *line, "--sequence", "forward")
    assert done.returncode == 2
    assert said in done.stderr.decode()
    assert b"options of the coder" in done.stderr
    assert server.questions == []
    assert pixelprune("infer", *line).returncode == 0


def test_one_image_at_a_time_is_refused(server: ChatServer, requests: Path) -> None:
    line = (requests.parent / "0.png", "--prompt", "?", "--server", server.url)
    done = pixelprune("infer", *line, "--sequence", "forward")
    assert done.returncode == 2
    assert b"--requests FILE" in done.stderr
    assert server.bodies == []
