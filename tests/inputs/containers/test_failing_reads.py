"""Containers on a disk that fails while they are read: rows up to there, then an error row."""

import io
import os
import tarfile
import zipfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ppcli.errors import UsageError
from ppcli.files import LocalFile, OpenFile
from tests.inputs.containers.images import attached, listing_of, png

_IMAGES = {f"{number}.png": png(number) + os.urandom(9000) for number in range(5)}
_KINDS = ["c.zip", "c.tar", "c.tar.gz", "c.parquet"]


class _FailingDisk(io.RawIOBase):
    """A file of which only some reads succeed; each gives a few bytes."""

    def __init__(self, file: OpenFile, reads: int) -> None:
        self._file, self._reads = file, reads

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0, /) -> int:
        return self._file.seek(offset, whence)

    def close(self) -> None:
        self._file.close()
        super().close()

    def readinto(self, buffer: "bytearray | memoryview", /) -> int:
        if not self._reads:
            raise OSError(5, "Input/output error")
        self._reads -= 1
        data = self._file.read(min(len(buffer), 4096))
        buffer[: len(data)] = data
        return len(data)


@pytest.fixture(autouse=True)
def containers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name, mode in (("c.tar", "w"), ("c.tar.gz", "w:gz")):
        with tarfile.open(name, mode) as archive:
            for member, content in _IMAGES.items():
                info = tarfile.TarInfo(member)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    with zipfile.ZipFile("c.zip", "w") as zipped:
        for member, content in _IMAGES.items():
            zipped.writestr(member, content)
    pq.write_table(pa.table({"image": list(_IMAGES.values())}), "c.parquet", row_group_size=2)


def _fail_after(reads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = LocalFile.open

    def failing(file: LocalFile) -> OpenFile:
        whole = opened(file)
        return OpenFile(_FailingDisk(whole, reads), whole.state)

    monkeypatch.setattr(LocalFile, "open", failing)


@pytest.mark.parametrize("reads", [*range(12), 20, 30])
@pytest.mark.parametrize("name", _KINDS)
def test_a_failing_disk_is_an_error_row_and_no_damage(name: str, reads: int, monkeypatch) -> None:
    whole = attached(name)
    _fail_after(reads, monkeypatch)
    found = attached(name)
    bad = [content for _, content, _ in found if not isinstance(content, bytes)]
    assert set(bad) <= {"unreadable"}
    assert bad or found == whole
    assert [one for one in found if one in whole] == whole[: len(found) - len(bad)]


@pytest.mark.parametrize("name", _KINDS[1:3])
def test_a_member_behind_the_failure_is_not_called_missing(name: str, monkeypatch) -> None:
    _fail_after(4, monkeypatch)
    with pytest.raises(UsageError, match=r"4\.png: Input/output error"):
        listing_of(f"{name}::4.png")
