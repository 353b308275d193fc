"""Changes in stores: objects are written whole or not at all, copied and deleted.

Requests that may pass the next time are tried again. Each of them may be: a second try has the
same effect as the first.
"""

import asyncio
import os
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

from ppcli.filesystems import patience
from ppcli.filesystems.objects import state_at
from ppcli.filesystems.opening import filesystem_of
from ppcli.filesystems.store_faults import FaultKind, StoreError

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

PART_BYTES = 16 << 20  # of a large object, which travels in parts
_AT_A_TIME = 4
_SLOWEST = 50_000  # bytes a second; a slower upload is given up
_COPY_SECONDS = 600.0  # in addition, for gigabytes inside the store


class TimedEntry(NamedTuple):
    """An object in a folder.

    Attributes:
        name: its name in the folder.
        seconds: when it was last written, by the clock of the store.
    """

    name: str
    seconds: float


def put(url: str, content: bytes, only_new: bool = False) -> None:
    """Write an object.

    Args:
        url: the object.
        content: its bytes.
        only_new: raise `StoreError` of the kind `EXISTS` if there is one already. Stores without
            conditional writes replace it all the same.

    Raises:
        StoreError: it cannot be written.
    """
    fs, path = filesystem_of(url)
    more = {"mode": "create"} if only_new else {}
    _ask(fs, url, len(content) / _SLOWEST, "pipe_file", path, content, **more)


def upload(url: str, file: BinaryIO, size: int, before_end: Callable[[], None]) -> None:
    """Write an object from a file; it is visible only when it is complete.

    A process that is killed may leave parts of a large object, which S3 keeps, and bills, until
    they are removed; they are not visible as objects.

    Args:
        url: the object.
        file: the file, with a descriptor of its own.
        size: of the file in bytes.
        before_end: called right before the object appears; an exception prevents that.

    Raises:
        StoreError: it cannot be written.
    """
    fs, path = filesystem_of(url)
    if size > 2 * PART_BYTES and "s3" in fs.protocol:
        _upload_parts(fs, path, _Parts(file, size), before_end, url)
        return
    before_end()
    if size > 2 * PART_BYTES and os.path.exists(own := f"/dev/fd/{file.fileno()}"):
        _ask(fs, url, size / _SLOWEST, "put_file", own, path)
        return
    file.seek(0)
    _ask(fs, url, size / _SLOWEST, "pipe_file", path, file.read())


def copy(url: str, target: str) -> None:
    """Copy an object inside the store.

    Raises:
        StoreError: it cannot be copied.
    """
    fs, path = filesystem_of(url)
    _ask(fs, target, _COPY_SECONDS, "cp_file", path, filesystem_of(target)[1])


def remove(urls: Iterable[str]) -> None:
    """Delete objects, several at a time; those that do not exist are fine.

    Raises:
        StoreError: one cannot be deleted.
    """
    with ThreadPoolExecutor(_AT_A_TIME) as threads:
        list(threads.map(_remove, urls))


def timed_entries(url: str) -> list[TimedEntry]:
    """Return the objects in a small folder; none if there is no such folder.

    Raises:
        StoreError: the folder cannot be listed.
    """
    fs, path = filesystem_of(url)
    try:
        found = _ask(fs, url, 0, "ls", path.rstrip("/"), detail=True)
    except StoreError as error:
        if error.kind is not FaultKind.MISSING:
            raise
        return []
    return [
        TimedEntry(one["name"].rpartition("/")[2], _seconds(one))
        for one in found
        if one["type"] == "file"
    ]


def _seconds(info: dict[str, Any]) -> float:
    times = (info.get(name) for name in ("LastModified", "last_modified", "updated", "created"))
    time = next((one for one in times if one is not None), 0)
    if isinstance(time, str):
        from datetime import datetime

        time = datetime.fromisoformat(time)
    return float(time if isinstance(time, float | int) else time.timestamp())


def _remove(url: str) -> None:
    fs, path = filesystem_of(url)
    try:
        _ask(fs, url, 0, "rm_file", path)
    except StoreError as error:
        if error.kind is not FaultKind.MISSING:
            raise


class _Parts:
    """The parts of a file, which several threads read."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file = file
        self._lock = threading.Lock()
        self.size = size
        self.numbers = range(-(-size // PART_BYTES))

    def __getitem__(self, number: int) -> bytes:
        with self._lock:
            self._file.seek(number * PART_BYTES)
            return self._file.read(PART_BYTES)


def _upload_parts(
    fs: "AbstractFileSystem", path: str, parts: _Parts, before_end: Callable[[], None], url: str
) -> None:
    bucket, key, _ = fs.split_path(path)
    where = {"Bucket": bucket, "Key": key}
    where["UploadId"] = _ask(fs, url, 0, "call_s3", "create_multipart_upload", **where)["UploadId"]
    send = partial(_send_part, fs, where, parts, url)
    threads = ThreadPoolExecutor(_AT_A_TIME)
    try:
        sent = list(threads.map(send, parts.numbers))
        before_end()
        _complete(fs, where, sent, parts.size, url)
    except BaseException:
        threads.shutdown(cancel_futures=True)
        with suppress(StoreError):
            _ask(fs, url, 0, "call_s3", "abort_multipart_upload", **where)
        raise
    threads.shutdown()


def _send_part(
    fs: "AbstractFileSystem", where: dict[str, str], parts: _Parts, url: str, number: int
) -> dict[str, Any]:
    body, name = parts[number], {"PartNumber": number + 1}
    answer = _ask(
        fs, url, len(body) / _SLOWEST, "call_s3", "upload_part", Body=body, **name, **where
    )
    return {**name, "ETag": answer["ETag"]}


def _complete(
    fs: "AbstractFileSystem", where: dict[str, str], sent: list[dict[str, Any]], size: int, url: str
) -> None:
    try:
        made = {"Parts": sent}
        _ask(fs, url, 0, "call_s3", "complete_multipart_upload", MultipartUpload=made, **where)
    except StoreError as error:
        # After an answer that was lost, the next try finds no upload any more.
        state = state_at(url) if error.kind is FaultKind.MISSING else None
        if state is None or state.size != size:
            raise


def _ask(
    fs: "AbstractFileSystem",
    url: str,
    more_seconds: float,
    method: str,
    *args: Any,  # noqa: ANN401
    **options: Any,  # noqa: ANN401
) -> Any:  # noqa: ANN401
    """Call a method of a file system, patiently; an exception in this thread ends the request."""
    if not fs.async_impl:
        return patience.patiently_here(partial(getattr(fs, method), *args, **options), url)
    name = "_" + method.removeprefix("_")
    ask = partial(getattr(fs, name), *args, **options)
    work = patience.patiently(ask, url, more_seconds)
    asked = asyncio.run_coroutine_threadsafe(work, fs.loop)
    try:
        return asked.result()
    except BaseException:
        asked.cancel()
        raise
