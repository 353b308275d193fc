"""Finds an input in a dataset by its name, with a few bytes of memory for each."""

from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import xxhash

from ppcli.store.formats import Config
from ppcli.store.manifest import main_kind
from ppcli.store.places.place import Place
from ppcli.store.reader import open_parquet
from ppcli.store.rows import ERROR, is_next_page, without_page

_COLUMNS = ("image_id", "page", "custom_id", "status", "fingerprint")
_LOW = (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class KnownInput:
    """What a dataset tells of an input.

    Attributes:
        name: its name.
        fingerprint: the column of its rows.
        failed: whether one of its rows is an error row.
    """

    name: str
    fingerprint: str | None
    failed: bool


def known_inputs(path: Place, config: Config) -> Iterator[KnownInput]:
    """Yield the inputs of a file of main rows; only the columns that tell them are read.

    Raises:
        DamagedError: the file is unreadable, or a checksum does not match.
    """
    known, before = None, ("", 0)
    for image_id, page, custom_id, status, fingerprint in _cells(path, config):
        now = image_id or "", page
        if known is None or custom_id is not None or not is_next_page(now, before):
            if known is not None:
                yield known
            name = custom_id or without_page(*now)
            known = KnownInput(name, fingerprint, status == ERROR)
        elif status == ERROR:
            known = KnownInput(known.name, known.fingerprint, True)
        before = now
    if known is not None:
        yield known


def _cells(path: Place, config: Config) -> Iterator[tuple[Any, ...]]:
    """Yield the values of the columns of each row; None for a column that the file lacks."""
    with open_parquet(path, main_kind(config), config) as file:
        present = [name for name in _COLUMNS if name in file.schema_arrow.names]
        for batch in file.iter_batches(columns=present):
            nothing = [None] * batch.num_rows
            yield from zip(
                *(batch[name].to_pylist() if name in present else nothing for name in _COLUMNS),
                strict=True,
            )


class InputIndex:
    """The inputs of a dataset, numbered from 0 through all shards.

    It keeps 128 bits of each name and 64 of each fingerprint: 29 bytes for an input, 34 measured
    with the spare room of the arrays, and 51 while they are sorted.

    Args of the constructor:
        shards: the inputs of each shard.

    Attributes:
        starts: number of the first input of each shard, and at the end that of all inputs.
        failed: for each input, whether one of its rows is an error row.
    """

    def __init__(self, shards: Iterable[Iterable[KnownInput]]) -> None:
        high, low, prints = array("Q"), array("Q"), array("Q")
        failed = bytearray()
        starts = [0]
        for shard in shards:
            for known in shard:
                digest = xxhash.xxh3_128_intdigest(known.name.encode())
                high.append(digest >> 64)
                low.append(digest & _LOW)
                prints.append(_print_of(known.fingerprint))
                failed.append(known.failed)
            starts.append(len(failed))
        self.starts = starts
        self.failed = np.frombuffer(failed, np.bool_)
        self._prints = np.frombuffer(prints, np.uint64)
        order = np.argsort(np.frombuffer(high, np.uint64), kind="stable").astype(np.uint32)
        self._high, self._low = (np.frombuffer(half, np.uint64)[order] for half in (high, low))
        self._numbers = order

    def __len__(self) -> int:
        return self.starts[-1]

    def find(self, name: str) -> int | None:
        """Return the number of the input with a name; None if there is none."""
        digest = xxhash.xxh3_128_intdigest(name.encode())
        high, low = np.uint64(digest >> 64), np.uint64(digest & _LOW)
        place = int(np.searchsorted(self._high, high))
        while place < len(self._high) and self._high[place] == high:
            if self._low[place] == low:
                return int(self._numbers[place])
            place += 1
        return None

    def is_same(self, number: int, fingerprint: str | None) -> bool:
        """Return whether an input has this fingerprint; it must have one."""
        return bool(self._prints[number]) and int(self._prints[number]) == _print_of(fingerprint)

    def is_old(self, shard: int) -> bool:
        """Return whether no input of a shard has a fingerprint, as up to version 0.1.0."""
        return not self._prints[self.starts[shard] : self.starts[shard + 1]].any()

    def shard_of(self, number: int) -> int:
        """Return the number of the shard that has an input."""
        return bisect_right(self.starts, number) - 1


def _print_of(fingerprint: str | None) -> int:
    """Return a 64-bit hash of a fingerprint; 0 for none."""
    return xxhash.xxh3_64_intdigest(fingerprint.encode()) or 1 if fingerprint else 0
