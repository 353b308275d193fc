"""Files are read before their turn, within limits, and each once."""

from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import ClassVar

import pytest

from ppcli.files import FileState, OpenFile
from ppcli.inputs import ahead
from ppcli.inputs.ahead import reading_ahead, taken


@dataclass(frozen=True)
class Noted:
    """A file that notes when its reading begins."""

    name: str
    begun: list[str] = field(compare=False)
    listed: FileState | None = field(default=None, compare=False)
    local_path: None = None
    is_far: ClassVar[bool] = True

    def start(self) -> "Future[str]":
        self.begun.append(self.name)
        reading: Future[str] = Future()
        reading.set_result(self.name)
        return reading

    def open(self) -> OpenFile:
        raise AssertionError("nothing opens it")

    def state(self) -> FileState | None:
        return None


def test_the_next_files_are_begun_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ahead, "_MOST_FILES", 3)
    begun: list[str] = []
    files = [Noted(str(number), begun) for number in range(6)]
    with reading_ahead(files):
        assert begun == ["0", "1", "2"]
        for number, file in enumerate(files):
            reading = taken(file)
            assert reading is not None
            assert reading.result() == file.name
            assert len(begun) == min(6, number + 4)
        assert taken(files[0]) is None
    assert taken(files[1]) is None


def test_large_files_are_begun_one_by_one() -> None:
    begun: list[str] = []
    sizes = [1, 30 << 20, 30 << 20, 100 << 20, 1]
    files = [Noted(str(n), begun, FileState(size, 0)) for n, size in enumerate(sizes)]
    with reading_ahead(files):
        assert begun == ["0", "1"]
        taken(files[0])
        assert begun == ["0", "1"]
        taken(files[1])
        assert begun == ["0", "1", "2"]
        taken(files[2])
        assert begun == ["0", "1", "2", "3"]
        taken(files[3])
        assert begun == ["0", "1", "2", "3", "4"]


def test_no_more_are_begun_once_it_is_closed_to_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ahead, "_MOST_FILES", 2)
    begun: list[str] = []
    files = [Noted(str(number), begun) for number in range(5)]
    with reading_ahead(files) as reading:
        reading.is_open = False
        assert taken(files[0]) is not None
        assert reading.has_begun([files[1]])
        assert not reading.has_begun([files[2]])
    assert begun == ["0", "1"]
