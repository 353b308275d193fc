"""Streams of a PDF: whether their data are whole, by the filters that pack them."""

import zlib
from collections.abc import Callable
from dataclasses import dataclass

import pikepdf

from ppcli.imaging.pdf_structure import Value, entry, spelled

_SHORT_NAMES = {
    "AHx": "ASCIIHexDecode",
    "A85": "ASCII85Decode",
    "LZW": "LZWDecode",
    "Fl": "FlateDecode",
    "RL": "RunLengthDecode",
    "CCF": "CCITTFaxDecode",
    "DCT": "DCTDecode",
}
_FLATE = "FlateDecode"
GENERAL = frozenset({_FLATE, "LZWDecode", "ASCII85Decode", "ASCIIHexDecode", "RunLengthDecode"})
_PIECE = 1 << 18
_HEADER, _CHECKSUM = 2, 4  # bytes that zlib puts around what is deflated


class UnreadableError(Exception):
    """Something that a page draws is missing or damaged; the text says what."""


@dataclass(frozen=True)
class Packed:
    """Data under a last filter, those before it undone.

    Attributes:
        data: packed.
        by: the name of the filter; None for none.
        parameters: of that filter.
    """

    data: bytes
    by: str | None
    parameters: Value

    @property
    def has_predictor(self) -> bool:
        """Whether each row begins with a byte of its own."""
        predictor = entry(self.parameters, "/Predictor")
        return isinstance(predictor, int) and predictor >= 10


def packed(stream: Value) -> Packed:
    """The data of a stream under its last filter.

    Raises:
        UnreadableError: when a filter before it fails.
    """
    filters = _listed(entry(stream, "/Filter"))
    parameters = _listed(entry(stream, "/DecodeParms"))
    names = [_SHORT_NAMES.get(name, name) for name in map(spelled, filters)]
    own = parameters[-1] if len(parameters) == len(filters) > 0 else None
    try:
        data = stream.read_raw_bytes()
    except pikepdf.PikepdfError as error:
        raise UnreadableError("cannot be found in the file") from error
    if len(names) > 1:
        data = _undone(data, names[:-1], parameters[:-1])
    return Packed(data, names[-1] if names else None, own)


def _listed(value: Value) -> list[Value]:
    if value is None:
        return []
    return list(value) if isinstance(value, pikepdf.Array) else [value]


def _undone(data: bytes, names: list[str], parameters: list[Value]) -> bytes:
    document = pikepdf.new()
    stream = pikepdf.Stream(document, data)
    given = [one if isinstance(one, pikepdf.Dictionary) else None for one in parameters]
    try:
        stream.Filter = pikepdf.Array([pikepdf.Name("/" + name) for name in names])
        if any(one is not None for one in given):
            stream.DecodeParms = pikepdf.Array(given)
        return stream.read_bytes(pikepdf.StreamDecodeLevel.specialized)
    except (pikepdf.PikepdfError, UnicodeDecodeError) as error:  # the latter in its message
        raise UnreadableError(f"cannot be decoded ({', '.join(names)})") from error


def unpacked(source: Packed, most: int) -> tuple[bytes, bool]:
    """The data themselves, and whether their checksum is right where they have one.

    Args:
        source: under one of the filters that any data may have, or under none.
        most: about how many bytes are wanted; the rest may be left.

    Raises:
        UnreadableError: when they are damaged, or end too early.
    """
    if source.by is None:
        return source.data, True
    if source.by != _FLATE:
        return _undone(source.data, [source.by], [source.parameters]), True
    pieces: list[bytes] = []
    _, right = _inflate(source.data, most, pieces.append)
    return b"".join(pieces), right


def size_unpacked(source: Packed, most: int) -> tuple[int, bool]:
    """How many bytes `unpacked` would give, without keeping them."""
    if source.by == _FLATE:
        return _inflate(source.data, most, len)
    data, right = unpacked(source, most)
    return len(data), right


def _inflate(data: bytes, most: int, take: Callable[[bytes], object]) -> tuple[int, bool]:
    """By hand, since zlib gives nothing of data whose checksum is wrong, and qpdf asks for none."""
    if not data:
        return 0, True  # so qpdf writes what is empty
    engine = zlib.decompressobj(-zlib.MAX_WBITS)
    size, checksum, ahead = 0, 1, data[_HEADER:]
    try:
        while not engine.eof and size <= most:
            piece = engine.decompress(ahead, _PIECE)
            ahead = engine.unconsumed_tail
            if not piece and not ahead and not engine.eof:
                raise UnreadableError("ends too early")
            take(piece)
            size += len(piece)
            checksum = zlib.adler32(piece, checksum)
    except zlib.error as error:
        raise UnreadableError("is damaged") from error
    stored = engine.unused_data[:_CHECKSUM]
    right = len(stored) < _CHECKSUM or int.from_bytes(stored, "big") == checksum
    return size, right
