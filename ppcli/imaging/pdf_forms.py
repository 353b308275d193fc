"""How much the forms of a PDF page draw: PDFium keeps each time that one is drawn in memory."""

from collections.abc import Iterable
from typing import NamedTuple, TypeAlias

from ppcli.errors import ErrorCode, ImageError

DEEPEST = 40  # PDFium draws no form that lies within more
_MOST_DRAWN = 100_000  # it keeps 3 kB and more for each
_MOST_REPEATED = 32 << 20  # bytes of content that are drawn again; it keeps some 30 for each

Place: TypeAlias = tuple[int, int]  # object and generation


class _Form(NamedTuple):
    size: int
    draws: dict[Place, int]


class _Drawn(NamedTuple):
    times: int = 0
    size: int = 0


class FormCount:
    """Which forms draw which, and how often that comes to."""

    def __init__(self) -> None:
        self._forms: dict[Place, _Form] = {}
        self._counted: dict[tuple[Place, int], _Drawn] = {}
        self._distinct = 0

    def add(self, form: Place, size: int, draws: dict[Place, int]) -> None:
        """Take up what a form draws, of so many bytes of content, and how often."""
        if form not in self._forms:
            self._forms[form] = _Form(size, draws)
            self._distinct += size

    def check(self, drawn: Iterable[tuple[Place, int]]) -> None:
        """Refuse a page whose forms draw one another too often.

        Args:
            drawn: the forms that the page draws itself, and how often.

        Raises:
            ImageError: `too_large`.
        """
        times, size = self._sum(drawn, DEEPEST)
        if times > _MOST_DRAWN or size > self._distinct + _MOST_REPEATED:
            raise ImageError(
                ErrorCode.TOO_LARGE,
                f"the forms of the page draw one another {times:,} times, {size:,} bytes in all; "
                "save it with fewer, or as an image",
            )

    def _sum(self, drawn: Iterable[tuple[Place, int]], levels: int) -> _Drawn:
        times = size = 0
        for form, often in drawn:
            one = self._of(form, levels)
            times, size = times + often * one.times, size + often * one.size
        return _Drawn(times, size)

    def _of(self, place: Place, levels: int) -> _Drawn:
        """What one form comes to; one that draws itself is drawn again at each level."""
        form = self._forms.get(place)
        if form is None or levels == 0:
            return _Drawn()
        if (place, levels) not in self._counted:
            within = self._sum(form.draws.items(), levels - 1)
            drawn = _Drawn(1 + within.times, form.size + within.size)
            self._counted[place, levels] = drawn
        return self._counted[place, levels]
