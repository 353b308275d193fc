"""The row classes: the only definition of the columns that pixelprune writes.

The Parquet schemas, the text formats and the test of the column reference take names, order and
types from these classes.
"""

from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar

from ppcli.coding.methods.method_registry import Method
from ppcli.errors import ErrorCode, ImageError, with_subject
from ppcli.store.formats import Config

OK = "ok"
ERROR = "error"
FULL = "full"  # the first variant of each question
# kinds of rows and of their files
STATS, PATCHES, ANSWERS, SCORES, SWEEP = "stats", "patches", "answers", "scores", "sweep"
ANSWER = "answer"  # a column that may have another name in files
CHOICES = "choices"  # column of patch sets of some methods
SEQUENCE = "sequence"  # in configurations
COLUMNS_OF_SEQUENCES = {
    STATS: ("kept_intra",),
    SWEEP: ("kept_intra",),
    PATCHES: ("reference", "unchanged"),
}
OUTCOME = ("status", "error_code", "error_message", "warning")
_COSTS = ("vision_flops", "prefill_flops", "kv_bytes")
COSTS = tuple(f"{name}{of}" for name in _COSTS for of in ("", "_kept"))


@dataclass(slots=True, kw_only=True)
class StatsRow:
    """One input page or frame. Unknown values of an error row are null."""

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
    threshold: float | None
    tokens: int | None = None
    kept: int | None = None
    kept_intra: int | None = None
    keep_ratio: float | None = None
    unique: int | None = None
    unique_ratio: float | None = None
    vision_flops: int | None = None
    vision_flops_kept: int | None = None
    prefill_flops: int | None = None
    prefill_flops_kept: int | None = None
    kv_bytes: int | None = None
    kv_bytes_kept: int | None = None
    decode_ms: float | None = None
    code_ms: float | None = None
    status: str = OK
    error_code: str | None = None
    error_message: str | None = None
    warning: str | None = None
    fingerprint: str | None = None

    @property
    def input_name(self) -> str:
        """The name of its input, which all pages share."""
        return without_page(self.image_id, self.page)

    def begins_input(self, before: "MainRow | None") -> bool:
        """Return whether this is the first row of its input; `before` is the previous row."""
        return not _is_next_page(self, before)


@dataclass(slots=True, kw_only=True)
class SweepRow(StatsRow):
    """The same in one of several settings; `asked` is the threshold that was asked for.

    Each page has a row for each setting, also if it failed.
    """

    asked: str

    @property
    def setting(self) -> tuple[str, str, str]:
        """Method, metric and threshold that were asked for."""
        return self.method, self.metric, self.asked

    def is_same_page(self, before: "MainRow | None") -> bool:
        """Return whether the previous row is about the same page."""
        if not isinstance(before, SweepRow):
            return False
        return (self.image_id, self.page) == (before.image_id, before.page)

    def begins_input(self, before: "MainRow | None") -> bool:
        """Return whether this is the first row of its input; `before` is the previous row."""
        return not (self.is_same_page(before) or _is_next_page(self, before))


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
    choices: bytes | None = None
    reference: str | None = None
    unchanged: bytes | None = None

    @property
    def nbytes(self) -> int:
        """Bytes of the masks, the compressed tiles and the compressed choices."""
        return sum(len(one or b"") for one in (self.keep, self.tiles, self.choices, self.unchanged))


@dataclass(slots=True, kw_only=True)
class AnswerRow:
    """One request. Unknown values of an error row are null.

    `image_id` is null without an image, and a JSON list for several images. The fitted size is
    null unless the request has one image.
    """

    image_id: str | None = None
    page: int = 1
    frames: int | None = None
    format: str | None = None
    custom_id: str | None = None
    prompt: str | None = None
    answer: str | None = None
    thinking: str | None = None
    finish_reason: str | None = None
    fitted_width: int | None = None
    fitted_height: int | None = None
    tokens: int | None = None
    kept: int | None = None
    prompt_tokens: int | None = None
    answer_tokens: int | None = None
    select_ms: float | None = None
    vision_ms: float | None = None
    prefill_ms: float | None = None
    decode_ms: float | None = None
    request_ms: float | None = None
    status: str = OK
    error_code: str | None = None
    error_message: str | None = None
    warning: str | None = None
    fingerprint: str | None = None

    @property
    def input_name(self) -> str:
        """The name of its input, which all pages share."""
        return self.custom_id or without_page(self.image_id or "", self.page)

    def begins_input(self, before: "MainRow | None") -> bool:
        """Return whether this is the first row of its input; `before` is the previous row."""
        return self.custom_id is not None or not _is_next_page(self, before)


@dataclass(slots=True, kw_only=True)
class ScoreRow:
    """The answer to one question with one variant of its image, and its scores in [0, 1].

    `answers` is a JSON list of the accepted answers.
    """

    image_id: str
    custom_id: str
    kind: str | None = None
    question: str | None = None
    answers: str | None = None
    variant: str
    answer: str | None = None
    thinking: str | None = None
    exact: float | None = None
    anls: float | None = None
    relaxed: float | None = None
    tokens: int | None = None
    kept: int | None = None
    prompt_tokens: int | None = None
    answer_tokens: int | None = None
    select_ms: float | None = None
    vision_ms: float | None = None
    prefill_ms: float | None = None
    decode_ms: float | None = None
    request_ms: float | None = None
    status: str = OK
    error_code: str | None = None
    error_message: str | None = None
    warning: str | None = None

    @property
    def input_name(self) -> str:
        """The name of its input, which all variants share."""
        return self.custom_id

    def begins_input(self, before: "MainRow | None") -> bool:
        """Return whether this is the first row of its input; `before` is the previous row."""
        return self.variant == FULL


def without_page(image_id: str, page: int) -> str:
    """Return the name of a file from that of one of its pages, as `a.pdf` from `a.pdf#3`."""
    return image_id.removesuffix(f"#{page}")


def _is_next_page(row: StatsRow | AnswerRow, before: "MainRow | None") -> bool:
    if before is None or isinstance(before, ScoreRow):
        return False
    return is_next_page((row.image_id or "", row.page), (before.image_id or "", before.page))


def is_next_page(now: tuple[str, int], before: tuple[str, int]) -> bool:
    """Return whether a row follows another of the same file, as `a.pdf#4` follows `a.pdf#3`.

    Args:
        now: image_id and page of the row.
        before: image_id and page of the row before it.
    """
    (named, page), (named_before, page_before) = now, before
    if page <= page_before:
        return False
    of, of_before = f"#{page}", f"#{page_before}"
    if not (named.endswith(of) and named_before.endswith(of_before)):
        return False
    return named.removesuffix(of) == named_before.removesuffix(of_before)


MainRow = StatsRow | AnswerRow | ScoreRow
ROW_TYPES: dict[str, type] = {
    STATS: StatsRow,
    PATCHES: PatchRow,
    ANSWERS: AnswerRow,
    SCORES: ScoreRow,
    SWEEP: SweepRow,
}
_METHODS_WITH_CHOICES = [one.value for one in Method if one.implementation.has_choices]


def column_names(kind: str, config: Config) -> list[str]:
    """Return the names of the columns of a kind of rows.

    Only methods with choices have a column of them, and only sequences have theirs.

    Args:
        kind: of the rows.
        config: options that they depend on.
    """
    absent: list[str] = []
    if kind == PATCHES and config.get("method") not in _METHODS_WITH_CHOICES:
        absent.append(CHOICES)
    if SEQUENCE not in config:
        absent += COLUMNS_OF_SEQUENCES.get(kind, ())
    return [one.name for one in fields(ROW_TYPES[kind]) if one.name not in absent]


_Row = TypeVar("_Row", StatsRow, AnswerRow, ScoreRow)


def error_columns(error: ImageError, subject: str = "") -> dict[str, Any]:
    """Return the columns for the code and the message of an error.

    Args:
        error: why something failed.
        subject: name that the message begins with; none when empty.
    """
    message = with_subject(subject, error.message) if subject else error.message
    return {"error_code": error.code.value, "error_message": message}


def as_error_row(row: _Row, error: ImageError, subject: str = "") -> _Row:
    """Return `row` with its error columns filled in.

    Args:
        row: what is known of the input.
        error: why it failed.
        subject: name that the message begins with; none when empty.
    """
    return replace(row, status=ERROR, **error_columns(error, subject))


def with_error_subject(row: _Row, subject: str) -> _Row:
    """Return an error row whose message begins with `subject`; other rows as they are."""
    if row.status != ERROR:
        return row
    return replace(row, error_message=with_subject(subject, row.error_message or ""))


def error_of(row: MainRow) -> ImageError | None:
    """Return the error that an error row records; None for other rows."""
    if row.status != ERROR:
        return None
    return ImageError(ErrorCode(row.error_code or ErrorCode.INTERNAL), row.error_message or "")


def outcome_of(row: MainRow) -> dict[str, Any]:
    """Return the columns for status, error and warning, for another row about the same input."""
    return {name: getattr(row, name) for name in OUTCOME}
