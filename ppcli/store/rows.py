"""The rows pixelprune writes: the one definition of its columns.

Names, order, types and meaning of the columns are taken from these classes: by the Parquet
schemas, by the text formats, and by the check of the column reference in the README.
"""

from dataclasses import dataclass

OK = "ok"
ERROR = "error"


@dataclass(slots=True, kw_only=True)
class StatsRow:
    """One input page or frame. What an error row does not know is null."""

    image_id: str
    path: str
    page: int = 1
    frames: int | None = None
    format: str | None = None
    file_bytes: int | None = None
    width: int | None = None
    height: int | None = None
    fitted_width: int | None = None
    fitted_height: int | None = None
    grid_h: int | None = None
    grid_w: int | None = None
    tile: int
    fit: str
    method: str
    metric: str
    mode: str
    threshold: float
    tokens: int | None = None
    kept: int | None = None
    keep_ratio: float | None = None
    unique: int | None = None
    unique_ratio: float | None = None
    decode_ms: float | None = None
    code_ms: float | None = None
    status: str = OK
    error_code: str | None = None
    error_message: str | None = None


@dataclass(slots=True, kw_only=True)
class PatchRow:
    """The patch set of one page or frame."""

    image_id: str
    width: int
    height: int
    fitted_width: int
    fitted_height: int
    grid_h: int
    grid_w: int
    tile: int
    fit: str
    method: str
    metric: str
    mode: str
    threshold: float
    keep: bytes
    tiles: bytes
    raster_digest: str

    @property
    def nbytes(self) -> int:
        """Bytes of the mask and of the compressed tiles."""
        return len(self.keep) + len(self.tiles)
