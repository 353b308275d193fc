"""`--threshold auto` through the commands: each image has its own threshold."""

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from ppcli import keep_mask
from ppcli.coding.coder_options import CoderOptions
from tests.chat_server import chat_server
from tests.cli.commands.answers import PROMPT, infer, lines
from tests.coding import twin
from tests.command import pixelprune
from tests.conftest import blocks

AUTO = ("--threshold", "auto")
SMALL = ("--min-pixels", "4096")
NAMES = ["broken.png", "clean.png", "noisy.png"]


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """A clean image, one with 5 levels of noise, and one that is cut off."""
    folder = tmp_path / "in"
    folder.mkdir()
    clean = blocks(384, 256, levels=3, seed=1)
    noise = np.random.default_rng(1).integers(0, 6, clean.shape, dtype=np.uint8)
    Image.fromarray(clean).save(folder / "clean.png")
    Image.fromarray(np.clip(clean, 20, 200) + noise).save(folder / "noisy.png")
    content = (folder / "clean.png").read_bytes()
    (folder / "broken.png").write_bytes(content[: len(content) // 2])
    return folder


def raster(path: Path) -> np.ndarray:
    """The pixels, which fit the grid as they are."""
    return np.asarray(Image.open(path).convert("RGB"))


def stats_of(out: Path) -> list[dict]:
    return pq.read_table(out / "stats").to_pylist()


def test_the_row_tells_the_threshold_that_was_taken(images: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert pixelprune("analyze", images, "-o", out, *AUTO, *SMALL).returncode == 3
    rows = stats_of(out)
    assert [row["image_id"] for row in rows] == NAMES
    assert [row["threshold"] for row in rows] == [None, 0.0, 6 / 255]
    for row in rows[1:]:
        pixels = raster(images / row["image_id"])
        assert row["threshold"] == float(twin.auto_threshold(pixels, 32))
        assert row["kept"] == int(keep_mask(pixels, threshold=row["threshold"]).sum())
    assert rows[2]["kept"] < int(keep_mask(raster(images / "noisy.png")).sum())
    patches = pq.read_table(out / "patches").to_pylist()
    assert [row["threshold"] for row in patches] == [0.0, 6 / 255]
    assert not pq.read_schema(out / "patches" / "part-00000.parquet").field("threshold").nullable


def test_a_dataset_is_verified_and_rebuilt_by_the_threshold_of_each_row(
    images: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    pixelprune("analyze", images, "-o", out, *AUTO, *SMALL, "--fit", "pad")
    done = pixelprune("verify", out, "--data")
    assert done.returncode == 0, done.stderr
    assert pixelprune("reconstruct", out, "--to", tmp_path / "png", "-q").returncode == 0
    made = sorted((tmp_path / "png").rglob("*.png"))
    for path, most in zip(made, (0, 6), strict=True):
        source = np.asarray(Image.open(images / path.name).convert("RGB")).astype(int)
        off = np.abs(np.asarray(Image.open(path)) - source)
        assert (off.max() > 0) == (most > 0)
        assert off.max() <= most
    report = pixelprune("report", out, "-o", tmp_path / "report.html")
    assert report.returncode == 0, report.stderr
    assert "τ = auto (max, anchored)" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_resuming_compares_the_option(images: Path, tmp_path: Path) -> None:
    auto, number = tmp_path / "auto", tmp_path / "number"
    pixelprune("analyze", images, "-o", auto, *AUTO, *SMALL)
    pixelprune("analyze", images, "-o", number, "--threshold", "6/255", *SMALL)
    before = stats_of(auto)
    assert pixelprune("analyze", images, "-o", auto, *AUTO, *SMALL).returncode == 3
    assert stats_of(auto) == before
    done = pixelprune("analyze", images, "-o", auto, "--threshold", "6/255", *SMALL)
    assert done.returncode == 5
    assert b'threshold: "auto", now 0.02' in done.stderr
    done = pixelprune("analyze", images, "-o", number, *AUTO, *SMALL)
    assert done.returncode == 5
    assert b', now "auto"' in done.stderr
    schemas = [pq.read_schema(one / "stats" / "part-00000.parquet") for one in (auto, number)]
    assert [one.field("threshold").nullable for one in schemas] == [True, False]


@pytest.mark.parametrize("row_format", ["jsonl", "csv"])
def test_rows_as_text(images: Path, row_format: str) -> None:
    done = pixelprune("analyze", images, "-o", "-", "--format", row_format, *AUTO, *SMALL)
    assert done.returncode == 3
    text = done.stdout.decode()
    if row_format == "jsonl":
        assert [row["threshold"] for row in lines(done.stdout)] == [None, 0.0, 6 / 255]
    else:
        assert ",anchored,,," in text
        assert f",anchored,{6 / 255}," in text


@pytest.mark.parametrize("metric", ["mae", "rmse", "exact"])
def test_a_metric_without_auto(images: Path, metric: str) -> None:
    done = pixelprune("analyze", images, "--metric", metric, *AUTO)
    assert done.returncode == 2
    assert b"auto" in done.stderr


def test_answers_are_about_the_same_tiles(images: Path, model: Path, tmp_path: Path) -> None:
    stored = tmp_path / "stored"
    pixelprune("analyze", images, "-o", stored, *AUTO, *SMALL)
    kept = [row["kept"] for row in stats_of(stored)]
    direct = lines(infer(images, "--model", model, *PROMPT, *AUTO, code=3).stdout)
    assert [row["kept"] for row in direct] == kept
    of_dataset = lines(infer(stored, "--model", model, *PROMPT, code=3).stdout)
    assert [row["answer"] for row in of_dataset] == [row["answer"] for row in direct]
    done = infer(stored, "--model", model, *PROMPT, "--no-prune", code=2)
    assert "made with threshold auto" in done.stderr.decode()
    requests = tmp_path / "requests.jsonl"
    requests.write_text(json.dumps({"image": "in/noisy.png", "prompt": "?"}))
    asked = infer("--requests", requests, "--model", model, "--max-new-tokens", "4", *AUTO)
    assert lines(asked.stdout)[0]["kept"] == kept[2]


def test_a_server_is_told_auto(images: Path, tmp_path: Path) -> None:
    (images / "broken.png").unlink()
    with chat_server() as server:
        done = pixelprune("infer", images, "--prompt", "?", "--server", server.url, *AUTO)
        assert done.returncode == 0, done.stderr
        told = [one["mm_processor_kwargs"]["pixelprune"] for one in server.questions]
    assert [one["threshold"] for one in told] == ["auto", "auto"]
    rows = lines(done.stdout)
    assert rows[1]["kept"] == keep_mask(raster(images / "noisy.png"), threshold=6 / 255).sum()


def test_options_spell_auto() -> None:
    assert CoderOptions(threshold="auto").label == "pred_2d (anchored, max, threshold auto)"
