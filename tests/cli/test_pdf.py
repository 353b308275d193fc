"""PDF files as a user gives them."""

import json
import shutil
import subprocess
from collections import Counter
from io import BytesIO
from pathlib import Path

import numpy as np
import pypdfium2
import pytest
from PIL import Image
from pypdf import PdfReader, PdfWriter

from ppcli import keep_mask
from ppcli.models.costs import NamedModel
from tests.command import command_line, pixelprune
from tests.imaging.pdfs import Page, pdf

SAMPLES = Path(__file__).parents[2] / "sample_data" / "questions"


def analyzed(*args: str | Path, code: int = 0, cwd: Path | None = None) -> list[dict]:
    done = pixelprune("analyze", *args, "-o", "-", cwd=cwd)
    assert done.returncode == code, done.stderr.decode()
    return [json.loads(line) for line in done.stdout.splitlines()]


def barred(number: int) -> Page:
    """A page that tells its number by which bars it has."""
    bars = " ".join(f"{40 * bit} 4 {20 + bit} 50 re f" for bit in range(8) if number >> bit & 1)
    return Page(f"0 0 0 rg {bars}", size=(512, 64))


@pytest.fixture
def papers(tmp_path: Path) -> Path:
    """A folder: sound, with a broken page, encrypted, cut off, and an image."""
    whole = pdf([barred(number) for number in range(1, 41)])
    (tmp_path / "a.pdf").write_bytes(whole)
    third = b"\n%d 0 obj\n<</Type/" % (3 + 3 * 2)
    (tmp_path / "b.pdf").write_bytes(whole.replace(third + b"Page", third + b"Sage"))
    writer = PdfWriter(clone_from=PdfReader(BytesIO(pdf([Page()]))))
    writer.encrypt("secret", algorithm="RC4-128")
    writer.write(tmp_path / "c.pdf")
    (tmp_path / "d.pdf").write_bytes(whole[:80])
    Image.new("RGB", (64, 64)).save(tmp_path / "e.png")
    return tmp_path


@pytest.mark.parametrize("workers", ["0", "2"])
def test_a_row_a_page(papers: Path, workers: str) -> None:
    rows = analyzed(papers, "--workers", workers, "--dpi", "72", "--fit", "pad", code=3)
    pages = [f"#{page}" for page in range(1, 41)]
    names = [f"{name}.pdf{page}" for name in "ab" for page in pages]
    assert [row["image_id"] for row in rows] == [*names, "c.pdf", "d.pdf", "e.png"]
    failed = {row["image_id"]: row["error_code"] for row in rows if row["status"] == "error"}
    assert failed == {"b.pdf#3": "corrupt", "c.pdf": "encrypted", "d.pdf": "truncated"}
    sound = rows[:40]
    assert [row["page"] for row in sound] == list(range(1, 41))
    assert {(row["format"], row["frames"], row["width"]) for row in sound} == {("PDF", 40, 512)}
    document = pypdfium2.PdfDocument(papers / "a.pdf")
    for row, page in zip(sound, document, strict=True):
        assert row["kept"] == keep_mask(np.array(page.render(scale=1).to_pil())).sum()
    assert len({row["kept"] for row in sound}) > 10


def test_some_pages(papers: Path) -> None:
    frames = [Image.new("RGB", (64, 64), (9 * n, 0, 0)) for n in range(4)]
    frames[0].save(papers / "f.tif", save_all=True, append_images=frames[1:])
    rows = analyzed(papers, "--pages", "38-44,2", "--no-patches", code=3)
    named = [row["image_id"] for row in rows]
    assert named == [
        *(f"{name}.pdf#{page}" for name in "ab" for page in (2, 38, 39, 40)),
        *("c.pdf", "d.pdf", "e.png", "f.tif#2"),
    ]


def test_pages_that_are_not_there(papers: Path) -> None:
    rows = analyzed(papers / "a.pdf", papers / "e.png", "--pages", "41-", code=3)
    assert [row["status"] for row in rows] == ["error", "ok"]
    assert rows[0]["error_code"] == "no_such_page"
    assert "--pages 41- selects none of 40 pages" in rows[0]["error_message"]
    done = pixelprune("analyze", papers, "--pages", "3-1", "-o", "-")
    assert done.returncode == 2
    assert b"--pages is '3-1'" in done.stderr


def test_dpi_and_limit(papers: Path) -> None:
    for dpi, width in (("36", 256), ("150", 1067)):
        row, *_ = analyzed(papers / "a.pdf", "--pages", "1", "--dpi", dpi)
        assert row["width"] == width
    row, *_ = analyzed(papers / "a.pdf", "--pages", "1", "--max-image-pixels", "100000", code=3)
    assert (row["error_code"], row["image_id"]) == ("too_large", f"{papers}/a.pdf#1")


def test_patch_sets_give_the_pages_back(papers: Path, tmp_path: Path) -> None:
    out, to = tmp_path / "out", tmp_path / "to"
    done = pixelprune("analyze", papers / "a.pdf", "--pages", "1-3", "--fit", "pad", "-o", out)
    assert done.returncode == 0, done.stderr
    assert pixelprune("verify", "--data", out).returncode == 0
    assert pixelprune("reconstruct", out, "--to", to).returncode == 0
    rebuilt = sorted(to.rglob("*.png"))
    assert [path.name for path in rebuilt] == ["a.pdf#1.png", "a.pdf#2.png", "a.pdf#3.png"]
    document = pypdfium2.PdfDocument(papers / "a.pdf")
    for path, number in zip(rebuilt, range(3), strict=True):
        drawn = np.asarray(document[number].render(scale=150 / 72).to_pil())
        assert np.array_equal(np.asarray(Image.open(path)), drawn)


@pytest.mark.slow
@pytest.mark.parametrize("pages", ["1-", "3,7-9,40", "41"])
@pytest.mark.parametrize("command", ["analyze", "infer"])
def test_a_dataset_of_pages_is_resumed(
    papers: Path, tmp_path: Path, model: Path, command: str, pages: str
) -> None:
    out = tmp_path / "out"
    asking = ("--model", model, "--prompt", "x", "--max-new-tokens", "1", "--device", "cpu")
    args = (command, papers, papers / "a.pdf", "-o", out, "--rows-per-shard", "10")
    args += ("--pages", pages, "--dpi", "36", *(asking if command == "infer" else ()))
    assert pixelprune(*args).returncode == 3
    files = {path: path.read_bytes() for path in out.rglob("*.parquet")}
    for more in ((), ("--retry-failed",)):
        again = pixelprune(*args, *more)
        assert again.returncode == 3, again.stderr.decode()
        assert b"done by an earlier run" in again.stderr
        if not more:
            assert files == {path: path.read_bytes() for path in out.rglob("*.parquet")}
    other = pixelprune(*args, "--dpi", "100")
    assert other.returncode == 5
    assert b"dpi" in other.stderr


def test_a_dataset_of_later_pages_is_asked_file_by_file(
    papers: Path, tmp_path: Path, model: Path
) -> None:
    """Of no file is the first page there."""
    least, most = NamedModel.of(str(model)).limits
    limits = ("--min-pixels", str(least), "--max-pixels", str(most))
    ds, out = tmp_path / "ds", tmp_path / "answers"
    files = [papers / "a.pdf", papers / "b.pdf", papers / "a.pdf"]
    pages = ("--pages", "2,5-6", "--dpi", "36")
    assert pixelprune("analyze", *files, *pages, *limits, "-o", ds).returncode == 0
    ask = ("infer", ds, "--model", model, "--prompt", "x", "--max-new-tokens", "1")
    ask += ("--device", "cpu")
    done = pixelprune(*ask, "--limit", "1", "-o", "-")
    assert done.returncode == 0, done.stderr.decode()
    assert [json.loads(line)["page"] for line in done.stdout.splitlines()] == [2, 5, 6]
    for said in (b"", b"done by an earlier run"):
        done = pixelprune(*ask, "-o", out)
        assert done.returncode == 0, done.stderr.decode()
        assert said in done.stderr


def test_a_page_count_that_no_file_of_its_size_has(papers: Path) -> None:
    lying = pdf([]).replace(b"/Count 0", b"/Count 1000000")
    (papers / "a.pdf").write_bytes(lying)
    rows = analyzed(papers / "a.pdf", papers / "e.png", code=3)
    assert [row["error_code"] for row in rows] == ["corrupt", None]
    assert "declares 1,000,000 pages in only" in rows[0]["error_message"]


@pytest.mark.parametrize("workers", ["0", "1"])
def test_a_reason_is_not_that_of_the_file_before(papers: Path, workers: str) -> None:
    (papers / "d.pdf").write_bytes(pdf([]))
    (papers / "f.pdf").write_text("<html>404</html>")
    files = [papers / f"{name}.pdf" for name in "cdf"]
    rows = analyzed(*files, "--workers", workers, code=3)
    assert [row["error_code"] for row in rows] == ["encrypted", "corrupt", "not_an_image"]


def test_a_reader_that_leaves_early_hears_nothing(papers: Path) -> None:
    """Although the file is open for the pages that nobody wants any more."""
    command = command_line(["analyze", papers / "a.pdf", "-o", "-", "--workers", "0", "-q"])
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as run:
        assert run.stdout.readline()
        run.stdout.close()
        assert run.stderr.read() == b""
        assert run.wait() == 0


def test_resolutions_that_no_page_has(papers: Path) -> None:
    for dpi in ("inf", "nan", "0", "9601"):
        done = pixelprune("analyze", papers / "a.pdf", "--dpi", dpi, "-o", "-")
        assert done.returncode == 2, dpi


def test_answers_about_the_own_pixels_of_scans(tmp_path: Path) -> None:
    """The same as about the files that went into the PDF."""
    names = ("form-1.png", "receipt-2.png")
    images = [np.asarray(Image.open(SAMPLES / name).convert("RGB")) for name in names]
    scans = [Page("q 72 0 0 36 0 0 cm /Im Do Q", image=image) for image in images]
    (tmp_path / "scans.pdf").write_bytes(pdf(scans))
    for name in names:
        shutil.copy(SAMPLES / name, tmp_path)
    ask = ("--prompt", "What is the title?", "--device", "cpu", "-q")
    done = pixelprune("infer", tmp_path, "--pdf-images", "native", *ask)
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row["image_id"] for row in rows] == [*names, "scans.pdf#1", "scans.pdf#2"]
    answers = [row["answer"] for row in rows]
    assert answers[:2] == answers[2:]
    assert len(set(answers)) == 2


def test_every_pdf_of_the_corpus(corpus: Path) -> None:
    rows = analyzed(corpus / "images" / "pdf", corpus / "hostile", "--include", "*.pdf")
    count = Counter(Path(row["image_id"]).name.partition("#")[0] for row in rows)
    files = [*corpus.glob("images/pdf/*.pdf"), *corpus.glob("hostile/*.pdf")]
    assert count == {path.name: len(pypdfium2.PdfDocument(path)) for path in files}
    assert count.total() == 45
    assert {row["status"] for row in rows} == {"ok"}
