"""Limits how often the form XObjects of a PDF page are drawn: PDFium stores each time in memory."""

from collections.abc import Iterable
from typing import NamedTuple, TypeAlias

from ppcli.errors import ErrorCode, ImageError

MAX_FORM_DEPTH = 40  # PDFium ignores forms at deeper levels
_MAX_DRAWN = 100_000  # each takes 3 kB or more
_MAX_REPEATED = 32 << 20  # bytes of content drawn again; each takes about 30 bytes

ObjectId: TypeAlias = tuple[int, int]  # object and generation number


class _Form(NamedTuple):
    size: int
    draws: dict[ObjectId, int]


class _Total(NamedTuple):
    times: int = 0
    size: int = 0


class FormCount:
    """Counts how often the forms of a page are drawn, directly and by other forms."""

    def __init__(self) -> None:
        self._forms: dict[ObjectId, _Form] = {}
        self._totals: dict[tuple[ObjectId, int], _Total] = {}
        self._distinct = 0

    def add(self, form: ObjectId, size: int, draws: dict[ObjectId, int]) -> None:
        """Register a form.

        Args:
            form: its object.
            size: bytes of its content.
            draws: how often its content draws each other object.
        """
        if form not in self._forms:
            self._forms[form] = _Form(size, draws)
            self._distinct += size

    def check(self, drawn: Iterable[tuple[ObjectId, int]]) -> None:
        """Refuse a page whose forms are drawn too often.

        Args:
            drawn: the forms that the page itself draws, and how often.

        Raises:
            ImageError: `too_large`.
        """
        times, size = self._sum(drawn, MAX_FORM_DEPTH)
        if times > _MAX_DRAWN or size > self._distinct + _MAX_REPEATED:
            raise ImageError(
                ErrorCode.TOO_LARGE,
                f"the page draws forms {times:,} times, {size:,} bytes in total; "
                "save it with fewer, or as an image",
            )

    def _sum(self, drawn: Iterable[tuple[ObjectId, int]], levels: int) -> _Total:
        times = size = 0
        for form, count in drawn:
            total = self._total(form, levels)
            times, size = times + count * total.times, size + count * total.size
        return _Total(times, size)

    def _total(self, form_id: ObjectId, levels: int) -> _Total:
        """Return the total of a form and all it draws; recursion ends after `levels` levels."""
        form = self._forms.get(form_id)
        if form is None or levels == 0:
            return _Total()
        if (form_id, levels) not in self._totals:
            inner = self._sum(form.draws.items(), levels - 1)
            total = _Total(1 + inner.times, form.size + inner.size)
            self._totals[form_id, levels] = total
        return self._totals[form_id, levels]
