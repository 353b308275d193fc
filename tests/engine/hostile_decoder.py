"""A test decoder whose files contain commands: crash, hang, use up the memory, or decode.

The module imports Pillow only, so that its text can also serve as a `sitecustomize`.
"""

import contextlib
import ctypes
import os
import signal
import struct
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, NoReturn

from PIL import Image, ImageFile
from PIL.TiffImagePlugin import TiffImageFile

FORMAT = "PPTEST"
_SIGNATURE = b"PPTEST"
_KNOWN = b"\x89PNG\r\n\x1a\n"
_TRAILER_BYTES = 1 << 10
_CHUNK = 64 << 20
_MORE_THAN_ANY_LIMIT = 8 << 30
_PAUSE = 0.3

MARKS = "PPTEST_MARKS"
TAME = "PPTEST_TAME"


class DiedError(BaseException):
    """Simulates the death of a worker where there is no worker process."""


def hostile(*pages: str, known: bool = False) -> bytes:
    """Return a file of the test decoder.

    Args:
        pages: a verb for each page.
        known: start the file like a PNG, so that its first bytes are those of a known format.
    """
    return (_KNOWN if known else b"") + _SIGNATURE + b" " + " ".join(pages).encode()


def sabotaged(tiff: bytes, *pages: str) -> bytes:
    """Return a little-endian TIFF file with a verb for each page after the end of the image data.

    The offset of its directory identifies a page, because a page may be opened by itself.
    """
    (place,) = struct.unpack_from("<I", tiff, 4)
    verbs = []
    for verb in pages:
        verbs.append(f"{place}:{verb}")
        (entries,) = struct.unpack_from("<H", tiff, place)
        (place,) = struct.unpack_from("<I", tiff, place + 2 + 12 * entries)
    text = _SIGNATURE + b" " + " ".join(verbs).encode()
    return tiff + text + struct.pack("<I", len(text))


def size_of_page(page: int) -> tuple[int, int]:
    """Return width and height of a page (one-based) of the test decoder."""
    return 32 * (1 + page % 5), 64


def register() -> None:
    """Register the decoder with Pillow in this process."""
    with contextlib.suppress(ImportError, ValueError):
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    Image.init()
    Image.register_open(FORMAT, HostileImage, _accept)
    Image.register_open("TIFF", SabotagedTiff, Image.OPEN["TIFF"][1])


@contextlib.contextmanager
def registered() -> Iterator[None]:
    """Register the decoder inside the block only."""
    Image.init()
    formats, known = dict(Image.OPEN), list(Image.ID)
    register()
    try:
        yield
    finally:
        Image.OPEN.clear()
        Image.OPEN.update(formats)
        Image.ID[:] = known


def refuse() -> NoReturn:
    """Fail; used as the setup of a worker."""
    raise RuntimeError("no decoder for this worker")


def refuse_once(mark: str) -> None:
    """Fail in the first worker only."""
    try:
        Path(mark).touch(exist_ok=False)
    except FileExistsError:
        return
    refuse()


def environment(folder: Path) -> dict[str, str]:
    """Return environment variables that register the decoder in every Python process.

    Args:
        folder: an empty folder. Processes write their numbers to its subfolder `marks`.
    """
    (folder / "marks").mkdir()
    (folder / "sitecustomize.py").write_text(Path(__file__).read_text() + "\n\nregister()\n")
    return {"PYTHONPATH": first_on_path(folder), MARKS: os.fspath(folder / "marks")}


def first_on_path(folder: Path) -> str:
    """Return the search path of Python processes with a folder prepended."""
    return os.pathsep.join(filter(None, (os.fspath(folder), os.environ.get("PYTHONPATH"))))


def marked(surroundings: dict[str, str]) -> set[int]:
    """Return the processes of an `environment` that have left a mark, such as those that hang."""
    return {int(name) for name in os.listdir(surroundings[MARKS])}


class HostileImage(ImageFile.ImageFile):
    """An image whose pages carry out their verbs when they are decoded."""

    format = FORMAT

    def _open(self) -> None:
        _, *self._verbs = self.fp.read().removeprefix(_KNOWN).decode().split()
        if self._verbs[0].startswith("open-"):
            _do(self._verbs[0].removeprefix("open-"))
        self._mode = "RGB"
        self.seek(0)

    @property
    def n_frames(self) -> int:
        return len(self._verbs)

    def seek(self, frame: int) -> None:
        self._frame = frame
        self._size = size_of_page(frame + 1)

    def load(self) -> object:
        verb = self._verbs[self._frame]
        _do("fault" if verb == "late" and self._im is not None else verb)
        self.im = Image.new(self.mode, self.size, (self._frame % 256, 80, 120)).im
        return super().load()


class SabotagedTiff(TiffImageFile):
    """A TIFF image whose pages carry out the verbs after the end of the file."""

    def _open(self) -> None:
        super()._open()
        self._verbs = _verbs_behind(self.fp)

    def load(self) -> object:
        _do(self._verbs.get(self._frame_pos[self.tell()], "ok"))
        return super().load()


def _verbs_behind(file: BinaryIO) -> dict[int, str]:
    position = file.tell()
    file.seek(0, os.SEEK_END)
    file.seek(-min(file.tell(), _TRAILER_BYTES), os.SEEK_CUR)
    end = file.read()
    file.seek(position)
    (length,) = struct.unpack("<I", end[-4:])
    text = end[-4 - length : -4]
    words = text.decode().split()[1:] if text.startswith(_SIGNATURE) else []
    return {int(place): verb for place, _, verb in (word.partition(":") for word in words)}


def _accept(prefix: bytes) -> bool:
    return prefix.removeprefix(_KNOWN).startswith(_SIGNATURE)


def _do(verb: str) -> None:
    if TAME not in os.environ:
        _VERBS[verb]()


def _die() -> NoReturn:
    raise DiedError


def hang() -> NoReturn:
    _leave_mark()
    while True:
        time.sleep(0.05)


def _fault() -> NoReturn:
    raise RuntimeError("a fault of the test decoder")


def _hang_in_c() -> None:
    """Hang without releasing the interpreter: no other thread or signal handler runs."""
    _leave_mark()
    ctypes.PyDLL(None).sleep(600)


def _leave_mark() -> None:
    if MARKS in os.environ:
        Path(os.environ[MARKS], str(os.getpid())).touch()


def _take_all_memory() -> NoReturn:
    held: list[bytearray] = []
    while len(held) * _CHUNK < _MORE_THAN_ANY_LIMIT:
        held.append(bytearray(_CHUNK))
    raise AssertionError("nothing limits the memory of this process")


_VERBS: dict[str, Callable[[], object]] = {
    "ok": lambda: None,
    "slow": lambda: time.sleep(_PAUSE),
    "mark": _leave_mark,
    "die": _die,
    "crash": lambda: os.kill(os.getpid(), signal.SIGSEGV),
    "exit": lambda: os._exit(7),
    "exit-0": lambda: os._exit(0),
    "late": lambda: None,
    "fault": _fault,
    "leave": lambda: sys.exit(0),
    "hang": hang,
    "hang-in-c": _hang_in_c,
    "memory": _take_all_memory,
}


class LargeResult:
    """A result that declares its size."""

    def __init__(self, nbytes: int) -> None:
        self.nbytes = nbytes
