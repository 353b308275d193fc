"""`sweep` as a user runs it, its rows against those of `analyze` in each setting."""

import json
import subprocess
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

import ppcli
from ppcli.api import FailureOptions, SweepOptions, WorkerOptions
from ppcli.errors import ExitCode, StoppedError, UsageError
from tests.command import command_line, pixelprune
from tests.conftest import blocks
from tests.processes import eventually

METHODS, METRICS, THRESHOLDS = (
    ("pred_2d", "left_or_above_flat", "conncomp"),
    ("max", "mae"),
    ("0", "9/255"),
)
SETTINGS = list(product(METHODS, METRICS, THRESHOLDS))
TIMES = {"decode_ms", "code_ms"}
ASKED = ("--methods", ",".join(METHODS), "--metrics", ",".join(METRICS))
ASKED += ("--thresholds", ",".join(THRESHOLDS))


@pytest.fixture
def pages(folder: Path) -> Path:
    """The folder, with noise in an image and a file of three pages."""
    noise = np.random.default_rng(3).integers(0, 12, (256, 288, 3)).astype(np.uint8)
    Image.fromarray(blocks(288, 256) // 2 + noise).save(folder / "noisy.png")
    several = [Image.fromarray(blocks(256 + 32 * n, 256, seed=n)) for n in range(3)]
    several[0].save(folder / "pages.tif", save_all=True, append_images=several[1:])
    return folder


def rows_of(path: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(path).to_pylist()
    return rows


def without_times(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: one for name, one in row.items() if name not in TIMES} for row in rows]


def test_rows_are_those_of_analyze_in_each_setting(pages: Path, tmp_path: Path) -> None:
    done = pixelprune("sweep", pages, *ASKED, "-o", tmp_path / "out")
    assert done.returncode == ExitCode.INPUTS_FAILED, done.stderr.decode()
    rows = rows_of(tmp_path / "out" / "sweep")
    names = [row["image_id"] for row in rows[:: len(SETTINGS)]]
    assert names == [
        *("a.png", "b.jpg", "broken.png", "noisy.png"),
        *("pages.tif#1", "pages.tif#2", "pages.tif#3", "sub/a.png"),
    ]
    kept = set()
    for number, (method, metric, threshold) in enumerate(SETTINGS):
        asked = ("--method", method, "--metric", metric, "--threshold", threshold)
        alone = tmp_path / f"{number}.parquet"
        done = pixelprune("analyze", pages, *asked, "-o", alone)
        assert done.returncode == ExitCode.INPUTS_FAILED, done.stderr.decode()
        expected = [row | {"asked": threshold} for row in without_times(rows_of(alone))]
        mine = rows[number :: len(SETTINGS)]
        assert without_times(mine) == expected
        assert all((row["code_ms"] or 0) > 0 for row in mine if row["status"] == "ok")
        kept.add(sum(row["kept"] or 0 for row in mine))
    assert len(kept) >= 6, "the settings hardly differ, so that rows could be mixed up"
    assert pixelprune("verify", tmp_path / "out").returncode == 0


def test_a_threshold_that_images_choose_is_that_of_analyze(pages: Path, tmp_path: Path) -> None:
    asked = ("--thresholds", "0,auto", "-o", tmp_path / "out.parquet")
    done = pixelprune("sweep", pages, *asked)
    assert done.returncode == ExitCode.INPUTS_FAILED, done.stderr.decode()
    done = pixelprune("analyze", pages, "--threshold", "auto", "-o", tmp_path / "x.parquet")
    assert done.returncode == ExitCode.INPUTS_FAILED, done.stderr.decode()
    expected = [row | {"asked": "auto"} for row in without_times(rows_of(tmp_path / "x.parquet"))]
    mine = without_times(rows_of(tmp_path / "out.parquet"))
    assert mine[1::2] == expected
    taken = {row["threshold"] for row in mine[1::2]}
    assert taken > {None, 0.0}, "no image has chosen another threshold"
    assert b"  auto " in pixelprune("sweep", pages / "a.png", "-o", "-", *asked[:2]).stderr


def test_what_the_table_says_is_what_the_rows_say(pages: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.parquet"
    done = pixelprune("sweep", pages, *ASKED, "-o", out, "--log-format", "json")
    told = json.loads(done.stderr.splitlines()[-2])
    assert (told["images"], told["failures"]) == (7, {"truncated": 1})
    rows = rows_of(out)
    assert len(told["settings"]) == len(SETTINGS)
    for number, (setting, told_of) in enumerate(zip(SETTINGS, told["settings"], strict=True)):
        assert (told_of["method"], told_of["metric"], told_of["threshold"]) == setting
        good = [row for row in rows[number :: len(SETTINGS)] if row["status"] == "ok"]
        ratios = [row["keep_ratio"] for row in good]
        assert (told_of["images"], told_of["tokens"]) == (7, sum(row["tokens"] for row in good))
        assert told_of["kept"] == sum(row["kept"] for row in good)
        percentiles = {f"p{one}": np.percentile(ratios, one) for one in (10, 50, 90)}
        expected = {"mean": np.mean(ratios)} | percentiles
        assert told_of["keep_ratio"] == pytest.approx(expected, abs=1e-4)
        spent = np.percentile([row["code_ms"] for row in good], 50, method="inverted_cdf")
        assert told_of["milliseconds"] == pytest.approx(spent, rel=0.006)


def test_the_widest_table_fits_into_a_narrow_terminal(pages: Path, tmp_path: Path) -> None:
    metrics, thresholds = "rmse,two_scale", "0,128/255,0.1"
    asked = (
        *("--methods", "left_or_above_flat", "--metrics", metrics, "--thresholds", thresholds),
        *("--min-pixels", str(1 << 24)),  # many tokens
    )
    done = pixelprune("sweep", pages, *asked, "-o", tmp_path / "x.csv", "-q", COLUMNS="80")
    shown = done.stderr.decode()
    assert "left_or_above_flat, rmse" in shown
    assert "two_scale" in shown
    assert "  128/255" in shown
    assert "  0.1 " in shown
    assert "…" not in shown


def test_a_bad_page_has_a_row_in_each_setting_and_is_one_failure(folder: Path) -> None:
    (folder / "worse.png").write_bytes(b"no image")
    settings = SweepOptions(thresholds=(0.0, 0.1), methods=["pred_2d", "random"])
    in_process = WorkerOptions(workers=0)
    result = ppcli.sweep(folder, settings=settings, workers=in_process)
    bad = [row for row in result.rows if row.status == "error"]
    assert [(row.image_id, row.method, row.asked) for row in bad] == [
        (name, method, asked)
        for name in ("broken.png", "worse.png")
        for method in ("pred_2d", "random")
        for asked in ("0", "0.1")
    ]
    assert all(row.error_message and row.kept is None for row in bad)
    assert result.failures == {"truncated": 1, "not_an_image": 1}
    assert (result.summary.good, result.summary.inputs) == (3, 5)
    assert {tally.images for tally in result.summary.settings.values()} == {3}
    failures = FailureOptions(max_failures=2)
    with pytest.raises(StoppedError, match="2 failures") as caught:
        ppcli.sweep(folder, settings=settings, workers=in_process, failures=failures)
    assert caught.value.result.summary.inputs == 5


def test_a_failure_is_said_once(folder: Path, tmp_path: Path) -> None:
    done = pixelprune("sweep", folder, *ASKED, "-o", tmp_path / "x.jsonl")
    assert done.returncode == ExitCode.INPUTS_FAILED
    assert done.stderr.count(b"broken.png") == 1
    lines = [json.loads(line) for line in (tmp_path / "x.jsonl").read_bytes().splitlines()]
    assert len(lines) == 4 * len(SETTINGS)


def test_a_run_that_is_killed_goes_on(pages: Path, tmp_path: Path) -> None:
    args = ["sweep", "-", *ASKED, "--rows-per-shard", "20", "-o"]
    names = "".join(f"{path}\n" for path in sorted(pages.rglob("*.*")) * 4).encode()
    shard = tmp_path / "out" / "sweep" / "part-00001.parquet"
    with subprocess.Popen(
        command_line([*args, tmp_path / "out", "--workers", "1"]),
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdin is not None
        process.stdin.write(names)
        process.stdin.flush()  # and it stays open, so that the run waits for more
        assert eventually(shard.exists)
        process.kill()
    again = pixelprune(*args, tmp_path / "out", stdin=names)
    assert again.returncode == ExitCode.INPUTS_FAILED, again.stderr.decode()
    assert b"done by an earlier run" in again.stderr
    assert pixelprune(*args, tmp_path / "fresh", stdin=names).returncode == again.returncode
    mine, fresh = (without_times(rows_of(tmp_path / one / "sweep")) for one in ("out", "fresh"))
    assert mine == fresh
    assert len(mine) == (len(names.splitlines()) + 2 * 4) * len(SETTINGS)  # a file has three pages
    assert pixelprune("verify", tmp_path / "out").returncode == 0


def test_other_settings_are_another_dataset(pages: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert pixelprune("sweep", pages, *ASKED, "-o", out).returncode == ExitCode.INPUTS_FAILED
    before = rows_of(out / "sweep")
    done = pixelprune("sweep", pages, "--thresholds", "0", "-o", out)
    assert done.returncode == ExitCode.OUTPUT, done.stderr.decode()
    assert rows_of(out / "sweep") == before
    (pages / "broken.png").write_bytes((pages / "a.png").read_bytes())
    done = pixelprune("sweep", pages, *ASKED, "-o", out, "--retry-failed")
    assert done.returncode == ExitCode.OK, done.stderr.decode()
    after = rows_of(out / "sweep")
    assert {row["status"] for row in after} == {"ok"}
    others = [row["image_id"] != "broken.png" for row in before]
    assert [row for row, other in zip(after, others, strict=True) if other] == [
        row for row, other in zip(before, others, strict=True) if other
    ]


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (("--metrics", "exact,max"), "metric exact requires threshold 0"),
        (("--methods", "pred_2d,raster,pred_2d"), "pred_2d max 0 comes twice"),
        (("--thresholds", "0.1,0,0/255"), "the setting pred_2d max 0 comes twice"),
        (("--thresholds", "4/255,0.01568627450980392"), "pred_2d max 4/255 comes twice"),
        (("--methods", "pred2d"), "Did you mean 'pred_2d'"),
        (("--metrics", "mae", "--thresholds", "0,auto"), "threshold auto is for metrics max"),
        (("--metrics", "l2"), "unknown metric 'l2'; known: exact, max"),
        (("--thresholds", "4"), "4 levels of 255 are 4/255"),
        (("--thresholds", ""), "the threshold '' is not a number"),
    ],
)
def test_impossible_settings_are_refused_at_once(
    folder: Path, tmp_path: Path, asked: tuple[str, ...], words: str
) -> None:
    done = pixelprune("sweep", folder, *asked, "-o", tmp_path / "out")
    assert (done.returncode, words in done.stderr.decode()) == (ExitCode.USAGE, True), done.stderr
    assert not (tmp_path / "out").exists()


def test_settings_of_a_program_are_checked() -> None:
    assert SweepOptions(methods=["raster"], thresholds=[0]).settings[0].method == "raster"
    for wrong in (
        {"thresholds": ()},
        {"thresholds": "0"},
        {"thresholds": (2,)},
        {"thresholds": ("a",)},
        {"methods": "pred_2d"},
        {"methods": ()},
        {"metrics": (3,)},
        {"mode": "loose"},
    ):
        with pytest.raises(UsageError):
            SweepOptions(**wrong)


def test_commands_that_need_patch_sets_say_why_there_are_none(folder: Path, tmp_path: Path) -> None:
    assert pixelprune("sweep", folder / "a.png", "-o", tmp_path / "out").returncode == 0
    done = pixelprune("reconstruct", tmp_path / "out", "--to", tmp_path / "png")
    assert done.returncode == ExitCode.USAGE
    assert b"has no patch sets: it was made by sweep" in done.stderr
