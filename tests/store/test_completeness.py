"""Rows of which pages are missing: refused as they come, found afterwards, and mended."""

from dataclasses import replace

import pyarrow.parquet as pq
import pytest
from PIL import Image

from ppcli.errors import DamagedError, PixelpruneError
from ppcli.files import LocalFile
from ppcli.inputs.refs import ImageRef
from ppcli.jobs.file_plan import FilePlan
from ppcli.jobs.stored_images import StoredImages
from ppcli.store.completeness import PageCheck
from ppcli.store.formats import Format
from ppcli.store.output_paths import RowFileType
from ppcli.store.rows import AnswerRow, StatsRow
from ppcli.store.single_file import file_output
from ppcli.store.verify import verify
from tests.command import pixelprune
from tests.conftest import blocks
from tests.store import small_run

CONFIG = small_run.OPTIONS.as_config()
ROW = StatsRow(
    image_id="a", path="a", tile=32, fit="pad", method="pred_2d", metric="max", mode="anchored",
    threshold=0.0,
)  # fmt: skip


def missing(kind: str | None, declared: int | None, *pages: int, failed: bool = False, **config):
    check = PageCheck(CONFIG | config)
    for page in pages:
        check.add(replace(ROW, format=kind, frames=declared, page=page))
    if failed:
        check.add(replace(ROW, page=len(pages) + 1, status="error"))
    return check.missing()


@pytest.mark.parametrize(
    "whole",
    [
        missing("PNG", 1, 1),
        missing("TIFF", 3, 1, 2, 3),
        missing("PDF", 3, 1, 2, failed=True),
        missing("GIF", 9, 1),
        missing("GIF", 3, 1, 2, 3, frames="all"),
        missing("GIF", 1 << 40, 1, 2, frames="all", failed=True),
        missing("PDF", 30, 2, 3, 29, 30, pages="2-3,29-"),
        missing("TIFF", 3, 1, pages="7"),
        missing(None, None, 1),
        PageCheck(CONFIG).missing(),
    ],
)
def test_what_is_whole(whole: str) -> None:
    assert whole == ""


@pytest.mark.parametrize(
    ("lost", "words"),
    [
        (missing("TIFF", 6, 1), "5 rows missing, from page 2 on; the file has 6 pages"),
        (missing("PDF", 3, 1, 3), "1 row missing, from page 2 on; the file has 3 pages"),
        (missing("PDF", 9, failed=True), ""),
        (missing("GIF", 4, 1, 2, frames="all"), "2 rows missing, from frame 3 on"),
        (missing("GIF", 1 << 40, 1, frames="all"), "1,099,511,627,775 rows missing"),
        (missing("PDF", 30, 2, 3, 30, pages="2-3,29-"), "1 row missing, from page 29 on"),
        (missing("TIFF", 2, 1, 2, 2), "it has 3 rows instead of 2"),
        (missing("PDF", (1 << 63) - 1, 1, pages="1-"), "4,611,686,018,427,387,903 rows missing"),
        (missing("PDF", (1 << 63) - 1, 1), "9,223,372,036,854,775,806 rows missing"),
        (missing("TIFF", -5, 1, 2), "it has 2 rows instead of 1"),
    ],
)
def test_what_lacks_pages(lost: str, words: str) -> None:
    assert lost.startswith(words)
    assert bool(lost) == bool(words)


def test_answers_lack_pages_too() -> None:
    check = PageCheck(CONFIG)
    for page in (1, 3):
        check.add(AnswerRow(image_id=f"a#{page}", page=page, frames=3, format="TIFF"))
    assert check.missing() == "1 row missing, from page 2 on; the file has 3 pages"
    check.add(AnswerRow(custom_id="a request", image_id="a"))
    assert check.missing() == ""


def test_each_input_begins_anew() -> None:
    check = PageCheck(CONFIG)
    check.add(replace(ROW, format="TIFF", frames=2))
    assert check.missing()
    check.add(replace(ROW, format="PNG", frames=1))
    assert not check.missing()


@pytest.fixture
def losing(monkeypatch):
    """A plan that ends after the first page of each file, as could happen in 0.1.0."""
    completed = FilePlan.completed

    def first_page_only(self, call, result):
        return replace(completed(self, call, result), repeat=(), is_last=True)

    monkeypatch.setattr(FilePlan, "completed", first_page_only)


def test_a_run_that_loses_pages_ends_with_an_error(tmp_path, losing) -> None:
    inputs = small_run.make_inputs(tmp_path / "in")
    with pytest.raises(PixelpruneError, match=r"3-pages\.tif: 1 row missing, from page 2 on"):
        small_run.run(inputs, tmp_path / "out")
    stats, patches = small_run.rows_of(tmp_path / "out")
    assert len(stats) == 4, "the shards before it are whole"
    assert len(patches) == 3
    assert verify(str(tmp_path / "out")).damage == []


@pytest.mark.parametrize("row_format", [Format.CSV, Format.PARQUET])
def test_single_files_are_not_put_in_place_without_all_pages(tmp_path, row_format) -> None:
    target = tmp_path / "rows"
    one = ImageRef(LocalFile("a"), "a")
    with (
        pytest.raises(PixelpruneError, match="2 rows missing"),
        file_output(str(target), RowFileType(row_format), CONFIG) as sink,
    ):
        sink.add(replace(ROW, format="TIFF", frames=3), None)
        sink.end_of_input(one)
    assert not target.exists()


@pytest.fixture
def lossy(tmp_path, losing, monkeypatch):
    """A dataset that lacks a page, finished as if nothing were amiss."""
    inputs = small_run.make_inputs(tmp_path / "in")
    with monkeypatch.context() as patched:
        patched.setattr("ppcli.store.shard_writer.require_complete", lambda *_: None)
        small_run.run(inputs, tmp_path / "out")
    monkeypatch.undo()
    return inputs, tmp_path / "out"


def test_verify_finds_lost_pages_and_resuming_adds_them(lossy, tmp_path) -> None:
    inputs, out = lossy
    [damage] = verify(str(out), data=True).damage
    assert "3-pages.tif#1: 1 row missing, from page 2 on; the file has 2 pages" in damage
    small_run.run(inputs, out)
    assert verify(str(out), data=True).damage == []
    small_run.run(inputs, tmp_path / "fresh")
    assert small_run.rows_of(out) == small_run.rows_of(tmp_path / "fresh")


def test_lost_pages_through_the_command(tmp_path) -> None:
    """A file of statistics by itself, too."""
    pages = [Image.fromarray(blocks(seed=seed)) for seed in range(4)]
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
    target = tmp_path / "a.parquet"
    assert pixelprune("analyze", tmp_path / "a.tif", "-o", target).returncode == 0
    assert pixelprune("verify", target).returncode == 0
    table = pq.read_table(target)
    pq.write_table(table.slice(0, 3), target)
    done = pixelprune("verify", target)
    assert done.returncode == 6
    assert b"1 row missing, from page 4 on; the file has 4 pages" in done.stderr


def test_what_lacks_pages_is_not_asked_about(lossy) -> None:
    _, out = lossy
    with pytest.raises(DamagedError, match=r"3-pages\.tif#1: 1 row missing.*same analyze command"):
        list(StoredImages(str(out)))
