"""`report` as a user runs it, opened in a browser, its numbers against those of DuckDB."""

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pypdfium2
import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from ppcli.models.costs import NamedModel
from ppcli.models.families.family_registry import PUBLISHED_SIZES
from ppcli.store.manifest import Manifest
from tests.command import pixelprune, pixelprune_process

SAMPLES = Path(__file__).parents[3] / "sample_data"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
COLOURS = """() => {
  const all = [...document.querySelectorAll("h1, p, td, dt, dd, caption, figcaption, svg text *")];
  const style = (one) => getComputedStyle(one);
  return all.map((one) => [style(one).color, style(one).fill, one.closest("svg") !== null]);
}"""
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample images in folders, and files that fail."""
    root = tmp_path_factory.mktemp("report")
    source = root / "in"
    for path in sorted(SAMPLES.glob("*.*")):
        folder = source / path.suffix[1:]
        folder.mkdir(parents=True, exist_ok=True)
        if path.suffix != ".py":
            shutil.copy(path, folder)
    (source / "half.png").write_bytes((SAMPLES / "form.png").read_bytes()[:999])
    (source / "<script>alert(1)<script>.png").write_bytes(b"no image")
    done = pixelprune("analyze", source, "-o", root / "out")
    assert done.returncode == 3, done.stderr.decode()
    return root / "out"


def report(dataset: Path, output: Path, *args: str | Path) -> str:
    done = pixelprune("report", dataset, "-o", output, *args)
    assert done.returncode == 0, done.stderr.decode()
    return output.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@contextmanager
def without_complaints(browser: Browser, file: Path, loads: tuple[str, ...]) -> Iterator[Page]:
    """A report in a browser that complains about anything it logs or wants to load.

    Args:
        browser: opens it.
        file: the report.
        loads: how addresses begin that it may load.
    """
    page = browser.new_page(color_scheme="dark")
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: complaints.append(request.url))
    page.goto(file.as_uri())
    yield page
    wanted = [one for one in complaints if not one.startswith(loads)]
    assert wanted == [file.as_uri()]
    page.close()


@pytest.fixture
def opened(browser: Browser, dataset: Path, tmp_path: Path) -> Iterator[Page]:
    report(dataset, tmp_path / "r.html")
    with without_complaints(browser, tmp_path / "r.html", ("data:image/jpeg;base64,",)) as page:
        yield page


def number(text: str | None) -> float:
    return float((text or "").replace(",", ""))


def column(page: Page, table: str, place: int) -> list[str]:
    return page.locator(table).locator(f"tbody tr > :nth-child({place})").all_text_contents()


@pytest.mark.slow
def test_numbers_are_those_of_the_parquet(opened: Page, dataset: Path) -> None:
    stats = f"'{dataset}/stats/*.parquet'"
    query = """select count(*) filter (status = 'ok'), count(*) filter (status = 'error'),
        sum(tokens), sum(kept), sum("unique"), median(keep_ratio), median(unique_ratio)
        from """
    expected = duckdb.sql(query + stats).fetchall()[0]
    names = ("images", "failed", "tokens", "kept", "unique", "median-keep", "median-unique")
    shown = [number(opened.locator(f"#{name}").text_content()) for name in names]
    assert shown == pytest.approx(expected, abs=5e-4)
    for table, by in (
        ("table:has(caption:text-is('Images by format'))", "format"),
        (
            "table:has(caption:text-is('Images by folder'))",
            "regexp_replace(image_id, '/?[^/]*$', '')",
        ),
    ):
        query = f"""select {by} name, count(*), sum(tokens), sum(kept), median(keep_ratio),
            median(unique_ratio) from {stats} where status = 'ok' group by 1 order by 2 desc, 1"""
        names, *numbers = zip(*duckdb.sql(query).fetchall(), strict=True)
        assert len(names) > 2
        assert column(opened, table, 1) == list(names)
        for place, values in enumerate(numbers, 2):
            assert [number(one) for one in column(opened, table, place)] == pytest.approx(
                values, abs=5e-4
            )


@pytest.mark.slow
def test_histograms_and_rows_are_those_of_the_parquet(opened: Page, dataset: Path) -> None:
    good = f"from '{dataset}/stats/*.parquet' where status = 'ok'"
    for place, name in ((2, "keep_ratio"), (3, "unique_ratio")):
        query = f"select least(floor(20 * {name}), 19)::int, count(*) {good} group by 1"
        expected = dict(duckdb.sql(query).fetchall())
        shown = [int(number(one)) for one in column(opened, "#histograms", place)]
        assert shown == [expected.get(part, 0) for part in range(20)]
        assert sum(map(bool, shown)) > 3
    query = f"select image_id, format, tokens, kept, keep_ratio, unique_ratio {good}"
    expected_rows = {row[0]: row[1:] for row in duckdb.sql(query).fetchall()}
    table = "table:has(caption:text-is('All images'))"
    shown_rows = zip(*(column(opened, table, place) for place in range(1, 7)), strict=True)
    for name, kind, *numbers in shown_rows:
        expected_kind, *values = expected_rows.pop(name)
        assert kind == expected_kind
        assert [number(one) for one in numbers] == pytest.approx(values, abs=5e-4)
    assert expected_rows == {}


@pytest.mark.slow
def test_printed_nothing_is_closed(opened: Page, tmp_path: Path) -> None:
    opened.pdf(path=tmp_path / "r.pdf")
    document = pypdfium2.PdfDocument(tmp_path / "r.pdf")
    text = " ".join(page.get_textpage().get_text_bounded() for page in document)
    assert "half.png" in text
    assert "KV cache: 2" in text


@pytest.mark.slow
def test_identifiers_in_charts_are_their_own(opened: Page) -> None:
    own = opened.evaluate("[...document.querySelectorAll('[id]')].map((one) => one.id)")
    assert len(set(own)) == len(own) > 100
    wanted = """[...document.querySelectorAll('use')].map((one) => one.href.baseVal.slice(1))"""
    used = opened.evaluate(wanted)
    assert set(used) < set(own)
    assert used
    clips = opened.evaluate("document.documentElement.outerHTML.match(/url[(]#[^)]+/g)")
    assert {clip.removeprefix("url(#") for clip in clips} < set(own)


@pytest.mark.slow
def test_savings_are_the_sums_of_the_images(opened: Page, dataset: Path) -> None:
    rows = pq.read_table(dataset / "stats", columns=["tokens", "kept", "status"]).to_pylist()
    good = [row for row in rows if row["status"] == "ok"]
    shown = opened.locator("#savings tbody tr").all()
    names = [name for name in PUBLISHED_SIZES if NamedModel.of(name).tile == 32]
    assert {"qwen3-vl-2b", "qwen3.5-9b"} <= {*names} < {*PUBLISHED_SIZES}
    for line, name in zip(shown, names, strict=True):
        model = NamedModel.of(name)
        assert line.locator("th").text_content() == name
        cells = line.locator("td").all_text_contents()
        for cell, cost in zip(cells, ("vision_flops", "prefill_flops", "kv_bytes"), strict=True):
            full, pruned = (
                sum(getattr(model.costs(row[side]), cost) for row in good)
                for side in ("tokens", "kept")
            )
            left, right, unit, times = re.match(
                r"([\d,.]+) → ([\d,.]+) (\w) \(([\d.]+) ×\)", cell
            ).groups()
            size = {"M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15}[unit]
            assert number(left) * size == pytest.approx(full, rel=0.01)
            assert number(right) * size == pytest.approx(pruned, rel=0.01)
            assert float(times) == pytest.approx(full / pruned, abs=0.006)


@pytest.mark.slow
def test_tables_are_sorted_by_their_heads_and_by_keys(opened: Page) -> None:
    table = opened.locator("table.sortable").last
    kept = table.locator("th", has_text="kept")
    kept.locator("button").click()
    values = [number(text) for text in table.locator("td:nth-child(4)").all_text_contents()]
    assert values == sorted(values)
    assert kept.get_attribute("aria-sort") == "ascending"
    opened.keyboard.press("Enter")
    values = [number(text) for text in table.locator("td:nth-child(4)").all_text_contents()]
    assert values == sorted(values, reverse=True)
    assert kept.get_attribute("aria-sort") == "descending"
    opened.keyboard.press("Shift+Tab")
    opened.keyboard.press("Shift+Tab")
    opened.keyboard.press("Space")
    formats = table.locator("td:nth-child(2)").all_text_contents()
    assert formats == sorted(formats)
    assert kept.get_attribute("aria-sort") is None


@pytest.mark.slow
def test_names_of_files_are_text(opened: Page) -> None:
    opened.locator("summary", has_text="not_an_image").click()
    assert opened.get_by_text("<script>alert(1)<script>.png").first.is_visible()
    assert opened.locator("script").count() == 1


@pytest.mark.slow
def test_pictures_and_charts_are_there(opened: Page) -> None:
    loaded = opened.evaluate("[...document.images].map((one) => one.naturalWidth)")
    assert len(loaded) == 22  # all, where there are fewer than 24
    assert min(loaded) > 100
    assert opened.locator("figure svg").count() == 5
    named = opened.locator("[role=img]").all()
    assert all(one.get_attribute("aria-label") for one in named)
    assert opened.evaluate("[...document.images].every((one) => one.alt)")


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read_in_the_light_and_in_the_dark(browser, dataset, tmp_path, scheme) -> None:
    """Every text against the ground, by the contrast of WCAG 2; those of charts too."""
    report(dataset, tmp_path / "r.html")
    page = browser.new_page(color_scheme=scheme)
    page.goto((tmp_path / "r.html").as_uri())
    colours = page.evaluate(COLOURS)
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    seen = {fill if in_chart else colour for colour, fill, in_chart in colours}
    assert len(colours) > 100
    assert min(contrast(one, ground) for one in seen) > 4.5
    page.close()


def contrast(one: str, other: str) -> float:
    lights = sorted(light(colour) for colour in (one, other))
    return (lights[1] + 0.05) / (lights[0] + 0.05)


def light(colour: str) -> float:
    channels = [int(value) / 255 for value in re.findall(r"\d+", colour)[:3]]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return sum(share * c for share, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def test_answers_stand_under_their_pictures(dataset: Path, tmp_path: Path, model: Path) -> None:
    asked = ("--model", model, "--prompt", "What is <b>this</b>?", "--max-new-tokens", "4")
    images = dataset.with_name("in")
    done = pixelprune("infer", images, *asked, "--device", "cpu", "-o", tmp_path / "answers")
    assert done.returncode == 3, done.stderr.decode()
    text = report(dataset, tmp_path / "r.html", "--answers", tmp_path / "answers")
    assert text.count("What is &lt;b&gt;this&lt;/b&gt;?") == 22
    assert text.count("<blockquote>") == 22
    assert "no answer" not in text


def test_answers_that_failed_or_are_about_other_images(
    dataset: Path, tmp_path: Path, model: Path
) -> None:
    images = tmp_path / "in"
    shutil.copytree(dataset.with_name("in"), images)
    (images / "png" / "form.png").write_bytes(b"no image")
    asked = ("--model", model, "--prompt", "What?", "--max-new-tokens", "1", "--device", "cpu")
    folder = tmp_path / "answers"
    assert pixelprune("infer", images, *asked, "-o", folder).returncode == 3
    text = report(dataset, tmp_path / "r.html", "--answers", folder)
    assert text.count("<blockquote>") == 22
    assert text.count("no answer: png/form.png: ") == 1
    others = tmp_path / "others"
    done = pixelprune("infer", images / "png" / "dialog.png", *asked, "-o", others)
    assert done.returncode == 0, done.stderr.decode()
    done = pixelprune("report", dataset, "-o", tmp_path / "s.html", "--answers", others)
    assert done.returncode == 2
    assert b"no answer in" in done.stderr


def test_names_that_are_no_mathematics(tmp_path: Path) -> None:
    for name in (r"a$\frac$", "$5 and $6", "請求書", "a_b^c"):
        (tmp_path / "in" / name).mkdir(parents=True)
        shutil.copy(SAMPLES / "dialog.png", tmp_path / "in" / name)
    assert pixelprune("analyze", tmp_path / "in", "-o", tmp_path / "out").returncode == 0
    done = pixelprune("report", tmp_path / "out", "-o", tmp_path / "r.html")
    assert done.returncode == 0, done.stderr.decode()
    page = tmp_path / "r.html"
    shown = f"Report written to {page}. Open it in a browser: {page.as_uri()}\n"
    assert done.stderr.decode() == shown
    chart = (tmp_path / "r.html").read_text(encoding="utf-8").split("by folder; the table")[1]
    for name in (r"a$\frac$ (1)", "$5 and $6 (1)", "請求書 (1)", "a_b^c (1)"):
        assert name in chart.partition("</svg>")[0]


def test_a_run_that_has_not_come_to_its_end(dataset: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shutil.copytree(dataset, out)
    manifest = Manifest.read(str(out))
    assert "The run is not finished" not in report(out, tmp_path / "a.html")
    replace(manifest, finished=False).write(str(out))
    assert "The run is not finished" in report(out, tmp_path / "b.html")
    replace(manifest, finished=False, shards=[]).write(str(out))
    for command in ("report", "view"):
        done = pixelprune(command, out, cwd=tmp_path)
        assert done.returncode == 4
        assert b"has no finished rows" in done.stderr


def test_models_with_other_tiles(tmp_path: Path) -> None:
    other = ("--patch-size", "13", "-o", tmp_path / "out")
    assert pixelprune("analyze", SAMPLES / "dialog.png", *other).returncode == 0
    assert "What a model saves" not in report(tmp_path / "out", tmp_path / "r.html")
    done = pixelprune("report", tmp_path / "out", "-o", "s.html", "--model", "qwen3-vl-2b")
    assert done.returncode == 2
    assert b"has tiles of 32 pixels, but the images are cut into tiles of 26" in done.stderr


def test_ten_thousand_images_are_a_small_file(dataset: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shutil.copytree(dataset, out)
    path = out / "stats" / "part-00000.parquet"
    table = pq.read_table(path)
    place = table.schema.get_field_index("image_id")
    names = table["image_id"].to_pylist()
    ratio = table.schema.get_field_index("keep_ratio")
    middle = pa.array([0.6] * len(names))  # the pictures of the others are drawn
    copies = [
        table.set_column(
            place, table.field(place), pa.array([f"{copy:04}/{name}" for name in names])
        ).set_column(ratio, table.field(ratio), middle)
        for copy in range(11_000 // len(names))
    ]
    pq.write_table(pa.concat_tables([table, *copies]).cast(table.schema), path)
    text = report(out, tmp_path / "r.html", "--model", "qwen3-vl-8b")
    assert (
        duckdb.sql(f"select count(*) from '{path}' where status = 'ok'").fetchall()[0][0] > 10_000
    )
    assert len(text.encode()) < 5_000_000
    assert text.count("<img") >= 20
    assert "smaller folders are not shown" in text
    assert "2,000 of 1" in text


@pytest.mark.parametrize("options", [(), ("--no-patches",)])
def test_datasets_with_little_in_them(folder: Path, tmp_path: Path, options) -> None:
    for name in ("a.png", "b.jpg", "sub/a.png"):
        if options:
            (folder / name).write_bytes(b"")
    pixelprune("analyze", folder, "-o", tmp_path / "out", *options)
    text = report(tmp_path / "out", tmp_path / "r.html")
    assert text.count("<img") == (0 if options else 3)
    assert ("every token" in text) == (not options)


def test_what_cannot_be_reported(dataset: Path, tmp_path: Path, model: Path) -> None:
    cases = [
        ((tmp_path,), 2, "is not a dataset that analyze wrote"),
        ((dataset, "--model", "qwen"), 2, "neither a model directory nor one of"),
        ((dataset, "--answers", dataset), 2, "not one of infer"),
        ((dataset, "-o", "-"), 2, "a report is an .html file"),
        ((dataset, "-o", "there.html"), 5, "exists"),
        ((dataset, "-o", tmp_path / "there.html" / "r.html"), 5, "cannot be written"),
    ]
    (tmp_path / "there.html").touch()
    for args, code, words in cases:
        done = pixelprune("report", *args, cwd=tmp_path)
        assert (done.returncode, words in done.stderr.decode()) == (code, True), args
    assert [path.name for path in tmp_path.iterdir()] == ["there.html"]
    assert (tmp_path / "there.html").stat().st_size == 0


def test_without_matplotlib(dataset: Path, tmp_path: Path) -> None:
    (tmp_path / "matplotlib.py").write_text("raise ImportError('not here')")
    done = pixelprune_process("report", dataset, cwd=tmp_path, PYTHONPATH=str(tmp_path))
    assert done.returncode == 7
    assert b'pip install "pixelprune[report]"' in done.stderr
