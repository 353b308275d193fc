"""Whole files of stores in pieces, of which several are on their way at a time."""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import xxhash

from ppcli.files import FileState
from ppcli.filesystems.objects import read_part

_PIECE_BYTES = 8 << 20
_AHEAD = 4


def pieces_of(url: str, state: FileState) -> Iterator[bytes]:
    """Yield the bytes of a file in order.

    Args:
        url: the file.
        state: size and version that it must have.

    Raises:
        StoreError: it cannot be read, or has another state now.
    """
    starts = range(0, state.size, _PIECE_BYTES)
    threads = ThreadPoolExecutor(_AHEAD, thread_name_prefix="pixelprune-read")
    waiting: deque[Future[bytes]] = deque()
    try:
        for start in starts:
            end = min(start + _PIECE_BYTES, state.size)
            waiting.append(threads.submit(read_part, url, state, start, end))
            if len(waiting) == _AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        threads.shutdown(wait=False, cancel_futures=True)


def digest_of(url: str, state: FileState) -> str:
    """Return the XXH3-128 (hexadecimal) of a file, all of which is read.

    Raises:
        StoreError: it cannot be read, or has another state now.
    """
    digest = xxhash.xxh3_128()
    for piece in pieces_of(url, state):
        digest.update(piece)
    return digest.hexdigest()
