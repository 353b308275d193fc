"""An input file is opened once and looked up once, whatever its format."""

import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from PIL import Image

import ppcli
from ppcli.api import RunControl, WorkerOptions
from ppcli.files import LocalFile
from ppcli.inputs.marks import DRAWN
from ppcli.store.png_folder import encode_png
from tests.conftest import blocks

FORMATS = ("png", "jpg", "gif", "tif", "pdf")
PAGES = {"tif": 3, "pdf": 3}


@dataclass
class Calls:
    """How often one path was asked of the system.

    Attributes:
        path: that is watched.
        opens: of the path, in any thread.
        lookups: `stat` and `lstat` of the path.
        states: `fstat` of a descriptor that pixelprune opened the path with.
    """

    path: str
    opens: int = 0
    lookups: int = 0
    states: int = 0

    @property
    def counts(self) -> tuple[int, int, int]:
        return self.opens, self.lookups, self.states


_watched: list[Calls] = []


def _on_audit_event(event: str, args: tuple) -> None:
    if event == "open" and _watched and _is_watched(args[0]):
        _watched[0].opens += 1


def _is_watched(path: object) -> bool:
    return isinstance(path, str | bytes | os.PathLike) and os.fsdecode(path) == _watched[0].path


@pytest.fixture(scope="session")
def audit_hook() -> None:
    sys.addaudithook(_on_audit_event)  # for good; it counts while a path is watched


@pytest.fixture
def watch(audit_hook: None, monkeypatch) -> Iterator[Callable[[Path], Calls]]:
    """Count the calls about a path until the test ends."""
    stat, lstat, fstat = os.stat, os.lstat, os.fstat

    def counted_stat(path, **options):
        _watched[0].lookups += _is_watched(path)
        return stat(path, **options)

    def counted_lstat(path, **options):
        _watched[0].lookups += _is_watched(path)
        return lstat(path, **options)

    def counted_fstat(descriptor):
        status = fstat(descriptor)
        _watched[0].states += os.path.samestat(status, stat(_watched[0].path))
        return status

    def start(path: Path) -> Calls:
        calls = Calls(str(path))
        _watched.append(calls)
        monkeypatch.setattr(os, "stat", counted_stat)
        monkeypatch.setattr(os, "lstat", counted_lstat)
        monkeypatch.setattr(os, "fstat", counted_fstat)
        return calls

    yield start
    monkeypatch.undo()
    _watched.clear()


@pytest.fixture(params=FORMATS)
def image(request, tmp_path: Path) -> Path:
    """A file of each format, alone in its folder; TIFF and PDF have three pages."""
    path = tmp_path / "in" / f"image.{request.param}"
    path.parent.mkdir()
    first, *others = (
        Image.fromarray(blocks(seed=seed)) for seed in range(PAGES.get(request.param, 1))
    )
    first.save(path, **({"save_all": True, "append_images": others} if others else {}))
    return path


def analyze(path: Path, *, counted: bool = False) -> int:
    """Analyze in this process, with a progress report or without, and return how many rows."""
    control = RunControl(on_progress=lambda _: None) if counted else RunControl()
    result = ppcli.analyze(path, workers=WorkerOptions(workers=0), control=control)
    assert result.failures == {}
    return len(result.rows)


def tasks_after_the_first(rows: int) -> int:
    """The first page has a task of its own, and up to 16 others have the next."""
    return int(rows > 1)


@pytest.mark.parametrize("counted", [False, True])
def test_a_named_file_is_opened_and_looked_up_once(image: Path, watch, counted: bool) -> None:
    """A later task for other pages asks whether the path has another file now."""
    calls = watch(image)
    rows = analyze(image, counted=counted)
    assert rows == PAGES.get(image.suffix[1:], 1)
    assert calls.counts == (1, 1 + tasks_after_the_first(rows), 1)


@pytest.mark.parametrize("counted", [False, True])
def test_a_file_in_a_folder_is_looked_up_by_its_folder(image: Path, watch, counted: bool) -> None:
    """Of PNG files it is read beforehand whether `view` drew them, once for run and progress."""
    calls = watch(image)
    rows = analyze(image.parent, counted=counted)
    opens = 2 if image.suffix == ".png" else 1
    assert calls.counts == (opens, tasks_after_the_first(rows), opens)


def test_a_file_without_the_extension_of_an_image_is_read_beforehand(image: Path, watch) -> None:
    path = image.rename(image.with_name("image"))
    calls = watch(path)
    rows = analyze(image.parent, counted=True)
    assert calls.counts == (2, tasks_after_the_first(rows), 2)


def test_a_file_that_is_no_image_is_read_once_for_run_and_progress(folder: Path, watch) -> None:
    calls = watch(folder / "notes.txt")
    (folder / "broken.png").unlink()
    analyze(folder, counted=True)
    assert calls.counts == (1, 0, 1)


def test_a_picture_that_view_drew_is_read_once_for_run_and_progress(folder: Path, watch) -> None:
    (folder / "broken.png").unlink()
    path = folder / "seen.png"
    path.write_bytes(encode_png(Image.fromarray(blocks()), DRAWN, "a.png"))
    calls = watch(path)
    assert analyze(folder, counted=True) == 3
    assert calls.counts == (1, 0, 1)


@pytest.mark.parametrize(
    ("extra", "expected"),
    [
        (lambda path: path.open("rb").close(), (2, 1, 1)),
        (lambda path: Image.open(path).close(), (2, 1, 1)),
        (lambda path: os.close(os.open(path, os.O_RDONLY)), (2, 1, 1)),
        (os.path.exists, (1, 2, 1)),
        (os.path.getsize, (1, 2, 1)),
        (os.path.islink, (1, 2, 1)),
        (lambda path: LocalFile(str(path)).state(), (1, 2, 1)),
        (lambda path: LocalFile(str(path)).open().close(), (2, 1, 2)),
    ],
    ids=["open", "Image.open", "os.open", "exists", "getsize", "islink", "state", "LocalFile"],
)
def test_the_counts_see_one_call_more(folder: Path, watch, monkeypatch, extra, expected) -> None:
    from ppcli.jobs import page_analysis

    made = page_analysis.distinct_tiles

    def distinct_tiles(*args):
        extra(path)
        return made(*args)

    monkeypatch.setattr(page_analysis, "distinct_tiles", distinct_tiles)
    path = folder / "a.png"
    calls = watch(path)
    assert analyze(path) == 1
    assert calls.counts == expected
