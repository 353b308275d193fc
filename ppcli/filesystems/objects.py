"""Files and folders in stores: what is there, in which order, and their bytes."""

import os
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from ppcli.files import FileState
from ppcli.filesystems import patience
from ppcli.filesystems.background import in_background
from ppcli.filesystems.local_order import in_local_order
from ppcli.filesystems.opening import filesystem_of
from ppcli.filesystems.states import state_from
from ppcli.filesystems.store_faults import FaultKind, StoreError, kind_of_fault, store_fault

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

    from ppcli.filesystems.s3_requests import Got

WHOLE_BYTES = 64 << 20  # a larger file is read in parts

_Result = TypeVar("_Result")


class StoredEntry(NamedTuple):
    """An entry of a folder in a store.

    Attributes:
        name: its name in the folder.
        state: size and version of a file; None for a folder.
    """

    name: str
    state: FileState | None


class StoredFile(NamedTuple):
    """The bytes of a file.

    Attributes:
        content: the bytes; None if the file is larger than `WHOLE_BYTES`.
        state: size and version of the file that they are of.
    """

    content: bytes | None
    state: FileState


def find(url: str) -> StoredEntry | None:
    """Return what is at a URL, a file or a folder; None if nothing is.

    A bucket without an object is a folder.

    Raises:
        StoreError: the store does not tell.
    """
    fs, path = filesystem_of(url)
    if _is_s3(fs):
        return _in_loop(fs, partial(_find_s3, fs, _exact(url, path)), url)
    info = patience.patiently_here(partial(_info, fs, path), url)
    if info is None:
        return None
    return StoredEntry("", state_from(info) if info["type"] == "file" else None)


def state_at(url: str) -> FileState | None:
    """Return size and version of the file at a URL now; None if there is none.

    Raises:
        StoreError: the store does not tell.
    """
    fs, path = filesystem_of(url)
    if _is_s3(fs):
        from ppcli.filesystems.s3_requests import head_object

        return _in_loop(fs, partial(head_object, fs, _exact(url, path)), url)
    found = find(url)
    return None if found is None else found.state


def entries_of(url: str) -> Iterator[StoredEntry]:
    """Yield the entries of a folder, files and folders in bytewise order of their names.

    Of S3 a page of the listing is in memory at a time, and those entries whose turn has not come.
    Empty objects that stand for folders are left out.

    Raises:
        StoreError: the folder cannot be listed.
    """
    fs, path = filesystem_of(url)
    if _is_s3(fs):
        yield from in_local_order(_s3_entries(fs, url, _exact(url, path)), lambda one: one.name)
        return
    listed = patience.patiently_here(partial(fs.ls, path, detail=True), url)
    found = []
    for info in listed:
        name = info["name"].rstrip("/").rpartition("/")[2]
        is_folder = info["type"] == "directory"
        if not name or (info["name"].rstrip("/") == path.rstrip("/")):
            continue
        found.append(StoredEntry(name, None if is_folder else state_from(info)))
    found.sort(key=lambda one: os.fsencode(one.name))
    yield from found


def start_reading(url: str, listed: FileState | None) -> "Future[StoredFile]":
    """Begin to read a file, in the background; many may be read at a time.

    Args:
        url: the file.
        listed: its state when it was listed, which saves a request; None if unknown.

    Returns:
        The file, or a `StoreError`.
    """
    if listed is not None and listed.size > WHOLE_BYTES:
        known: Future[StoredFile] = Future()
        known.set_result(StoredFile(None, listed))
        return known
    try:
        fs, path = filesystem_of(url)
    except Exception as error:
        failed: Future[StoredFile] = Future()
        failed.set_exception(error)
        return failed
    if _is_s3(fs):
        import asyncio

        ask = partial(_get_s3, fs, _exact(url, path), WHOLE_BYTES)
        work = patience.patiently(ask, url)
        return asyncio.run_coroutine_threadsafe(work, fs.loop)
    return in_background(patience.patiently_here, partial(_get_any, fs, path, listed, url), url)


def wait_for(reading: "Future[StoredFile]", url: str) -> StoredFile:
    """Return the file that `start_reading` began to read.

    Raises:
        StoreError: it cannot be read, or not in time.
    """
    try:
        return reading.result(patience.LONGEST_READ_SECONDS)
    except FutureTimeoutError:
        reading.cancel()
        raise patience.too_late(url) from None


def read_part(url: str, state: FileState, start: int, end: int) -> bytes:
    """Read the bytes of a file from `start` up to `end`.

    Raises:
        StoreError: they cannot be read, or the file has another state now.
    """
    fs, path = filesystem_of(url)
    if _is_s3(fs):
        from ppcli.filesystems.s3_requests import get_object

        span = start, end
        got: Got = _in_loop(fs, partial(get_object, fs, _exact(url, path), end - start, span), url)
        if got.state != state or got.content is None:
            raise _changed(url)
        return got.content
    if "http" in fs.protocol:
        content = _in_loop(fs, partial(_get_web, fs, path, start, end), url)
        if len(content) == state.size:
            content = content[start:end]
    else:
        span_only = {} if _sends_spans(fs) else {"cache_type": "none"}
        ask_any = partial(fs.cat_file, path, start=start, end=end, **span_only)
        content = patience.patiently_here(ask_any, url)
    if len(content) != end - start:
        raise _changed(url)
    return bytes(content)


def start_part(url: str, state: FileState, start: int, end: int) -> "Future[bytes]":
    """Begin to read a part of a file, in the background; see `read_part`."""
    return in_background(read_part, url, state, start, end)


def _changed(url: str) -> StoreError:
    return StoreError(FaultKind.OTHER, "the file changed while it was being read", url)


def _sends_spans(fs: "AbstractFileSystem") -> bool:
    """Return whether a driver asks for a span itself.

    Others open the file, and by default read some megabytes behind the span, as those of hf:// do.
    """
    from fsspec import AbstractFileSystem

    is_own = type(fs).cat_file is not AbstractFileSystem.cat_file
    return is_own or bool(fs.async_impl)  # whose instances have it


def _is_s3(fs: "AbstractFileSystem") -> bool:
    return "s3" in fs.protocol


def _exact(url: str, path: str) -> str:
    """Return the path with the slashes at its end, which are part of keys."""
    return path.rstrip("/") + url[len(url.rstrip("/")) :]


def _in_loop(
    fs: "AbstractFileSystem", ask: Callable[[], Coroutine[Any, Any, _Result]], url: str
) -> _Result:
    from fsspec.asyn import sync

    found: _Result = sync(fs.loop, patience.patiently, ask, url)
    return found


async def _get_s3(fs: Any, path: str, most: int) -> StoredFile:  # noqa: ANN401
    from ppcli.filesystems.s3_requests import get_object

    return StoredFile(*await get_object(fs, path, most))


async def _get_web(fs: Any, path: str, start: int, end: int) -> bytes:  # noqa: ANN401
    """Read a part from a web server; all of the file if it is small, and the server knows no parts.

    A large file would be sent once for each part, and held in memory.
    """
    headers = {"Accept-Encoding": "identity", "Range": f"bytes={start}-{end - 1}"}
    options = {**fs.kwargs, "headers": {**fs.kwargs.get("headers", {}), **headers}}
    session = await fs.set_session()
    async with session.get(fs.encode_url(path), **options) as response:
        fs._raise_not_found_for_status(response, path)
        if response.status != 206 and (response.content_length or 0) > WHOLE_BYTES:
            message = "its server sends whole files only; copy it to this machine first"
            raise StoreError(FaultKind.OTHER, message, path)
        return bytes(await response.read())


def _get_any(fs: Any, path: str, listed: FileState | None, url: str) -> StoredFile:  # noqa: ANN401
    """Read a file. Its state is older than its bytes, so that no change stays unnoticed."""
    state = listed or state_from(fs.info(path))
    if state.size > WHOLE_BYTES:
        return StoredFile(None, state)
    content = bytes(fs.cat_file(path))
    if len(content) != state.size:
        fs.invalidate_cache()
        state = state_from(fs.info(path))
        if len(content) != state.size:
            raise store_fault(FaultKind.CUT, url)
    return StoredFile(content, state)


def _info(fs: Any, path: str) -> dict[str, Any] | None:  # noqa: ANN401
    try:
        found: dict[str, Any] = fs.info(path)
    except FileNotFoundError as error:
        if kind_of_fault(error) is not FaultKind.MISSING:
            raise
        return None
    return found


async def _find_s3(fs: Any, path: str) -> StoredEntry | None:  # noqa: ANN401
    from ppcli.filesystems.s3_requests import head_object, list_page

    state = await head_object(fs, path)
    if state is not None:
        return StoredEntry("", state)
    bucket, prefix = _prefix_of(path.rstrip("/"))
    page = await list_page(fs, bucket, prefix, None, most=1)
    is_there = not prefix or page.get("Contents") or page.get("CommonPrefixes")
    return StoredEntry("", None) if is_there else None


def _prefix_of(path: str) -> tuple[str, str]:
    """Return the bucket of a folder, and the beginning of the keys below it."""
    bucket, slash, key = path.partition("/")
    return bucket, f"{key}/" if slash else ""


def _s3_entries(fs: Any, url: str, path: str) -> Iterator[tuple[bytes, StoredEntry]]:  # noqa: ANN401
    """Yield the entries of a folder as S3 sorts them, each with what it is sorted by."""
    from ppcli.filesystems.s3_requests import list_page

    bucket, prefix = _prefix_of(path)
    token = None
    while True:
        page = _in_loop(fs, partial(list_page, fs, bucket, prefix, token), url)
        found = [
            (one["Prefix"].encode(), StoredEntry(one["Prefix"][len(prefix) : -1], None))
            for one in page.get("CommonPrefixes", [])
        ]
        for one in page.get("Contents", []):
            key, state = one["Key"], state_from({"size": one["Size"], "ETag": one.get("ETag")})
            if not key.endswith("/"):
                found.append((key.encode(), StoredEntry(key[len(prefix) :], state)))
        for key, entry in sorted(found, key=lambda one: one[0]):
            yield key[len(prefix.encode()) :], entry
        token = page.get("NextContinuationToken")
        if not page.get("IsTruncated") or token is None:
            return
