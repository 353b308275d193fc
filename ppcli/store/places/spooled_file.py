"""Files that are made in the temporary folder of this machine and then uploaded."""

import tempfile
from collections.abc import Callable
from contextlib import suppress
from typing import BinaryIO, cast

from ppcli.filesystems.changes import upload
from ppcli.store.atomic import HashingFile, as_output_error
from ppcli.store.places.far_faults import as_far_output


class SpoolPlace:
    """The temporary folder, in words."""

    def __str__(self) -> str:
        return f"the temporary folder {tempfile.gettempdir()} (TMPDIR sets another one)"


SPOOL = SpoolPlace()


class SpooledFile:
    """An object that is being made. The system deletes the file if the process is killed.

    Args of the constructor:
        url: the object.
        check: called before the object appears; an exception prevents that.

    Raises:
        OutputError: from every method but `discard`.
    """

    def __init__(self, url: str, check: Callable[[], None]) -> None:
        self._url = url
        self._check = check
        with as_output_error(SPOOL):
            self._raw = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115
            self._file = HashingFile(self._raw, SPOOL)

    @property
    def file(self) -> BinaryIO:
        """The file to write to."""
        return cast(BinaryIO, self._file)

    @property
    def size(self) -> int:
        """Bytes written so far."""
        return self._file.size

    def hexdigest(self) -> str:
        """XXH3-128 of the bytes written so far."""
        return self._file.hexdigest()

    def finish(self) -> None:
        """Write all bytes; a crash of the machine loses them, and the next run makes them again."""
        self._file.flush()

    def put_in_place(self) -> None:
        """Upload the file."""
        with as_far_output(self._url):
            raw = cast(BinaryIO, self._raw)
            upload(self._url, raw, self.size, self._check)

    def discard(self) -> None:
        """Delete the temporary file."""
        with suppress(OSError):
            self._raw.close()
