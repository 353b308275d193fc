"""The text of a manifest, made piece by piece: a manifest may have a hundred thousand shards.

It is the text that `canonical_json` with an indent of 1 makes of the whole content.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from json import JSONEncoder
from typing import Any, Protocol

import xxhash

_COMPACT = JSONEncoder(sort_keys=True).encode
_LINES = JSONEncoder(sort_keys=True, indent=1).encode
_AT_A_TIME = 1000


class Entry(Protocol):
    """One of many parts of a manifest."""

    @property
    def content(self) -> dict[str, Any]:
        """The part as JSON values."""


@dataclass(frozen=True, slots=True)
class ManifestText:
    """The content of a manifest.

    Attributes:
        fields: its short fields, as JSON values.
        lists: its long fields.
    """

    fields: Mapping[str, Any]
    lists: Mapping[str, Sequence[Entry]]

    def digest(self) -> str:
        """Return the XXH3-128 of the content, hexadecimal; see `content_digest`."""
        state = xxhash.xxh3_128()
        for position, name in enumerate(sorted([*self.fields, *self.lists])):
            begin = (", " if position else "{") + _COMPACT(name) + ": "
            if name in self.lists:
                texts = (_COMPACT(one.content) for one in self.lists[name])
                for piece in _joined(texts, begin + "[", ", ", "]"):
                    state.update(piece.encode())
            else:
                state.update((begin + _COMPACT(self.fields[name])).encode())
        state.update(b"}")
        return state.hexdigest()

    def pieces(self, digest: str) -> Iterator[bytes]:
        """Yield the text piece by piece.

        Args:
            digest: of the content.
        """
        fields = {**self.fields, "digest": digest}
        for position, name in enumerate(sorted([*fields, *self.lists])):
            begin = (",\n " if position else "{\n ") + _COMPACT(name) + ": "
            if not self.lists.get(name):
                yield (begin + _indented(fields.get(name, []), 1)).encode()
                continue
            texts = (_indented(one.content, 2) for one in self.lists[name])
            for piece in _joined(texts, begin + "[\n  ", ",\n  ", "\n ]"):
                yield piece.encode()
        yield b"\n}\n"


def _joined(texts: Iterable[str], begin: str, between: str, end: str) -> Iterator[str]:
    """Yield the texts as one, many of them at a time."""
    texts, lead = iter(texts), begin
    while some := list(islice(texts, _AT_A_TIME)):
        yield lead + between.join(some)
        lead = between
    yield begin + end if lead is begin else end


def _indented(value: Any, depth: int) -> str:  # noqa: ANN401
    """Return the lines of a value; those after the first begin with `depth` spaces more."""
    return _LINES(value).replace("\n", "\n" + " " * depth)
