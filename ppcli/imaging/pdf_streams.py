"""Decodes the streams of a PDF, and checks that their data are complete."""

import zlib
from collections.abc import Callable
from dataclasses import dataclass

import pikepdf

from ppcli.imaging.pdf_structure import Value, entry, name_text

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
_HEADER, _CHECKSUM = 2, 4  # bytes around the deflated data of a zlib stream


class UnreadableError(Exception):
    """An object of a page is missing or damaged; the message says which."""


@dataclass(frozen=True)
class FilteredData:
    """The data of a stream with all filters but the last decoded.

    Attributes:
        data: the data, encoded with the last filter.
        by: name of the last filter; None if there is none.
        parameters: parameters of that filter.
    """

    data: bytes
    by: str | None
    parameters: Value

    @property
    def has_predictor(self) -> bool:
        """Whether each row is preceded by a predictor byte."""
        predictor = entry(self.parameters, "/Predictor")
        return isinstance(predictor, int) and predictor >= 10


def filtered_data(stream: Value) -> FilteredData:
    """Read a stream, and decode all filters but the last.

    Raises:
        UnreadableError: the stream is missing, or a filter before the last fails.
    """
    filters = _as_list(entry(stream, "/Filter"))
    parameters = _as_list(entry(stream, "/DecodeParms"))
    names = [_SHORT_NAMES.get(name, name) for name in map(name_text, filters)]
    own = parameters[-1] if len(parameters) == len(filters) > 0 else None
    try:
        data = stream.read_raw_bytes()
    except pikepdf.PikepdfError as error:
        raise UnreadableError("cannot be found in the file") from error
    if len(names) > 1:
        data = _decode(data, names[:-1], parameters[:-1])
    return FilteredData(data, names[-1] if names else None, own)


def _as_list(value: Value) -> list[Value]:
    if value is None:
        return []
    return list(value) if isinstance(value, pikepdf.Array) else [value]


def _decode(data: bytes, names: list[str], parameters: list[Value]) -> bytes:
    document = pikepdf.new()
    stream = pikepdf.Stream(document, data)
    valid = [one if isinstance(one, pikepdf.Dictionary) else None for one in parameters]
    try:
        stream.Filter = pikepdf.Array([pikepdf.Name("/" + name) for name in names])
        if any(one is not None for one in valid):
            stream.DecodeParms = pikepdf.Array(valid)
        return stream.read_bytes(pikepdf.StreamDecodeLevel.specialized)
    except (pikepdf.PikepdfError, UnicodeDecodeError) as error:  # a message may not be UTF-8
        raise UnreadableError(f"cannot be decoded ({', '.join(names)})") from error


def decoded_data(source: FilteredData, most: int) -> tuple[bytes, bool]:
    """Decode the last filter.

    Args:
        source: data with one of the `GENERAL` filters, or with none.
        most: number of bytes after which decoding may stop.

    Returns:
        The data, and whether their checksum is right; True if they have none.

    Raises:
        UnreadableError: the data are damaged or truncated.
    """
    if source.by is None:
        return source.data, True
    if source.by != _FLATE:
        return _decode(source.data, [source.by], [source.parameters]), True
    pieces: list[bytes] = []
    _, is_checksum_right = _inflate(source.data, most, pieces.append)
    return b"".join(pieces), is_checksum_right


def decoded_size(source: FilteredData, most: int) -> tuple[int, bool]:
    """Return the number of bytes that `decoded_data` would return, and the checksum's state."""
    if source.by == _FLATE:
        return _inflate(source.data, most, len)
    data, is_checksum_right = decoded_data(source, most)
    return len(data), is_checksum_right


def _inflate(data: bytes, most: int, on_piece: Callable[[bytes], object]) -> tuple[int, bool]:
    """Inflate a zlib stream; return its size and whether the checksum is right.

    The checksum is verified here, because zlib returns no data if it is wrong, and qpdf ignores
    it.
    """
    if not data:
        return 0, True  # qpdf writes empty streams this way
    engine = zlib.decompressobj(-zlib.MAX_WBITS)
    size, checksum, remaining = 0, 1, data[_HEADER:]
    try:
        while not engine.eof and size <= most:
            piece = engine.decompress(remaining, _PIECE)
            remaining = engine.unconsumed_tail
            if not piece and not remaining and not engine.eof:
                raise UnreadableError("is truncated")
            on_piece(piece)
            size += len(piece)
            checksum = zlib.adler32(piece, checksum)
    except zlib.error as error:
        raise UnreadableError("is damaged") from error
    stored = engine.unused_data[:_CHECKSUM]
    return size, len(stored) < _CHECKSUM or int.from_bytes(stored, "big") == checksum
