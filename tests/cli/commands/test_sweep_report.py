"""`report` about a sweep, opened in a browser, its numbers against those of DuckDB."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import duckdb
import numpy as np
import pytest
from playwright.sync_api import Browser, Page

from ppcli.store.manifest import Manifest
from tests.cli.commands.test_report import (
    COLOURS,
    browser,
    column,
    contrast,
    number,
    report,
    without_complaints,
)
from tests.command import pixelprune

__all__ = ["browser"]
SAMPLES = Path(__file__).parents[3] / "sample_data"
METHODS, THRESHOLDS = ("pred_2d", "left_or_above_flat", "random"), ("0", "2/255", "0.03")
ASKED = ("--methods", ",".join(METHODS), "--thresholds", ",".join(THRESHOLDS))


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep of images in three formats, of which one fails."""
    root = tmp_path_factory.mktemp("sweep")
    (root / "in").mkdir()
    for name in ("dialog.png", "form.png", "chart.webp", "invoice-q40.jpg"):
        shutil.copy(SAMPLES / name, root / "in")
    (root / "in" / "half.png").write_bytes((SAMPLES / "form.png").read_bytes()[:999])
    done = pixelprune("sweep", root / "in", *ASKED, "-o", root / "out")
    assert done.returncode == 3, done.stderr.decode()
    return root / "out"


@pytest.fixture
def opened(browser: Browser, swept: Path, tmp_path: Path) -> Iterator[Page]:
    report(swept, tmp_path / "r.html")
    with without_complaints(browser, tmp_path / "r.html", ()) as page:
        yield page


@pytest.mark.slow
def test_numbers_are_those_of_the_parquet(opened: Page, swept: Path) -> None:
    good = f"from '{swept}/sweep/*.parquet' where status = 'ok'"
    query = f"""select method || ', ' || metric setting, asked, sum(kept), sum(kept) / sum(tokens),
        avg(keep_ratio), quantile_cont(keep_ratio, 0.1), median(keep_ratio),
        quantile_cont(keep_ratio, 0.9), median(code_ms) {good} group by 1, 2"""
    expected = {row[:2]: row[2:] for row in duckdb.sql(query).fetchall()}
    assert len(expected) == 9
    table = "table:has(th:has-text('median'))"
    shown = list(zip(*(column(opened, table, place) for place in range(1, 10)), strict=True))
    order = [
        (f"{method}, max", asked)
        for method in ASKED[1].split(",")
        for asked in ("0", "2/255", "0.03")
    ]
    assert [row[:2] for row in shown] == order
    for name, asked, *numbers in shown:
        values = expected[name, asked]
        assert [number(one) for one in numbers] == pytest.approx(values, abs=6e-3)
        assert [number(one) for one in numbers[1:6]] == pytest.approx(values[1:6], abs=5e-4)
    summary = [number(opened.locator(f"#{name}").text_content()) for name in ("images", "failed")]
    assert summary == [4, 1]
    query = f"""select method || ', ' || metric, asked, format, sum(kept) / sum(tokens)
        {good} group by 1, 2, 3"""
    by_format = {row[:3]: row[3] for row in duckdb.sql(query).fetchall()}
    heads = opened.locator("table:has(th:has-text('WEBP')) th button").all_text_contents()
    assert heads == ["setting", "threshold", "PNG (2)", "JPEG (1)", "WEBP (1)"]
    table = "table:has(th:has-text('WEBP'))"
    rows = zip(*(column(opened, table, place) for place in range(1, 6)), strict=True)
    for name, asked, *numbers in rows:
        values = [by_format[name, asked, one] for one in ("PNG", "JPEG", "WEBP")]
        assert [number(one) for one in numbers] == pytest.approx(values, abs=5e-4)


@pytest.mark.slow
def test_charts_have_a_line_for_each_method(opened: Page) -> None:
    assert opened.locator("figure svg").count() == 2
    for chart in opened.locator("figure svg").all():
        words = chart.locator("text").all_text_contents()
        assert {"pred_2d, max", "left_or_above_flat, max", "random, max"} < set(words)
        assert {"threshold, levels of 255", "keep ratio"} < set(words)
        assert "auto" not in words
    own = opened.evaluate("[...document.querySelectorAll('[id]')].map((one) => one.id)")
    assert len(set(own)) == len(own)


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_lines_and_text_stand_out(browser: Browser, swept: Path, tmp_path: Path, scheme) -> None:
    report(swept, tmp_path / "r.html")
    page = browser.new_page(color_scheme=scheme)
    page.goto((tmp_path / "r.html").as_uri())
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    seen = {fill if in_chart else colour for colour, fill, in_chart in page.evaluate(COLOURS)}
    assert min(contrast(one, ground) for one in seen) > 4.5
    lines = page.evaluate(
        """() => [1, 2, 3, 4, 5, 6, 7, 8].map((number) => {
            const one = document.createElement("p");
            one.style.color = `var(--line-${number})`;
            document.body.append(one);
            return getComputedStyle(one).color;
        })"""
    )
    assert len(set(lines)) == 8
    assert min(contrast(one, ground) for one in lines) > 4.5
    page.close()


@pytest.mark.parametrize(
    ("chart", "value"),
    [("Share of all", "sum(kept) / sum(tokens)"), ("Keep ratio of the", "median(keep_ratio)")],
)
def test_points_are_where_their_numbers_are(
    swept: Path, tmp_path: Path, chart: str, value: str
) -> None:
    """Places on the page are linear in thresholds and ratios, in the order of the settings."""
    text = report(swept, tmp_path / "r.html")
    svg = text.split(f'aria-label="{chart}')[1].partition("</svg>")[0]
    paths = re.findall(r'<path d="(M [^"]+)" style="fill: none; stroke[^"]*var\(--line-', svg)
    lines = [re.findall(r"[ML] (\S+) (\S+)", path) for path in paths]
    places = np.array([point for line in lines if len(line) == 3 for point in line], float)[:9]
    query = f"""select threshold, {value} from '{swept}/sweep/*.parquet' where status = 'ok'
        group by method, threshold
        order by list_position(['pred_2d', 'left_or_above_flat', 'random'], method), threshold"""
    expected = np.array(duckdb.sql(query).fetchall())
    assert places.shape == expected.shape == (9, 2)
    for place, told in zip(places.T, expected.T, strict=True):
        assert abs(np.corrcoef(place, told)[0, 1]) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("thresholds", ["0,2/255,auto", "auto"])
def test_a_threshold_that_images_choose_stands_apart(
    swept: Path, tmp_path: Path, thresholds: str
) -> None:
    images, asked = swept.with_name("in"), (*ASKED[:2], "--thresholds", thresholds)
    assert pixelprune("sweep", images, *asked, "-o", tmp_path / "x.parquet").returncode == 3
    text = report(tmp_path / "x.parquet", tmp_path / "r.html")
    assert text.count(">auto</text>") == 2
    assert text.count("<td>auto</td>") == 2 * 3
    assert text.count(">pred_2d, max</text>") == 2


def test_one_file_gives_the_report_of_its_folder(swept: Path, tmp_path: Path) -> None:
    out = tmp_path / "x.parquet"
    assert pixelprune("sweep", swept.with_name("in"), *ASKED, "-o", out).returncode == 3
    times = re.compile(r"<td>[\d.]+</td></tr>")
    pages = [report(one, tmp_path / f"{one.name}.html") for one in (swept, out)]
    first, second = (times.sub("", text).replace(str(out), str(swept)) for text in pages)
    assert first == second


def test_a_run_that_has_not_come_to_its_end(swept: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shutil.copytree(swept, out)
    manifest = Manifest.read(str(out))
    manifest.finished = False
    manifest.write(str(out))
    assert "The run is not finished" in report(out, tmp_path / "b.html")
    manifest.shards = []
    manifest.write(str(out))
    done = pixelprune("report", out, cwd=tmp_path)
    assert (done.returncode, b"run the same sweep command" in done.stderr) == (4, True)


def test_images_that_all_fail(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"no image")
    out = tmp_path / "out"
    assert pixelprune("sweep", tmp_path / "a.png", "-o", out).returncode == 3
    text = report(out, tmp_path / "r.html")
    assert "not_an_image</code>: 1" in text
    assert "<svg" not in text


def test_what_cannot_be_reported(swept: Path, tmp_path: Path) -> None:
    cases = [
        (("--model", "qwen3-vl-2b"), "--model is for datasets of analyze"),
        (("--answers", swept), "--answers is for datasets of analyze"),
    ]
    for args, words in cases:
        done = pixelprune("report", swept, *args, cwd=tmp_path)
        assert (done.returncode, words in done.stderr.decode()) == (2, True), args
    assert not list(tmp_path.iterdir())
