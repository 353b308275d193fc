"""Kinds that training never sees: they tell how far what was learnt carries."""

from training.facts import Fact
from training.layouts.papers import pairs
from training.layouts.parts import Draft


def stacked(draft: Draft) -> None:
    """Each label above its value."""
    page, rng = draft.page, draft.rng
    draft.title()
    line = page.line * 2 + rng.randint(0, 6)
    for number, (label, value) in enumerate(pairs(draft, draft.rows(line, 1), draft.width)):
        y = draft.top + line * number + page.line / 2
        page.text(draft.left, y, label, page.theme.accent)
        page.text(draft.left, y + page.line * 0.95, value)
        draft.facts.append(Fact("value", value, label))


def side_by_side(draft: Draft) -> None:
    """Two columns of labels and values."""
    page = draft.page
    draft.title()
    line = page.line + draft.rng.randint(0, 5)
    half = draft.width / 2 - page.theme.size
    rows = draft.rows(line)
    found = pairs(draft, 2 * rows, half - page.theme.size)
    for number, (label, value) in enumerate(found):
        x = draft.left + (number % 2) * (half + page.theme.size)
        y = draft.top + line * (number // 2 + 0.5)
        page.text(page.text(x, y, f"{label}:") + page.theme.size * 0.5, y, value)
        draft.facts.append(Fact("value", value, label))


def card(draft: Draft) -> None:
    """A frame in the middle with what belongs to one thing, values first."""
    page, rng = draft.page, draft.rng
    inset = rng.uniform(0.02, 0.12) * draft.width
    draft.left, draft.right = draft.left + inset, draft.right - inset
    area = (draft.left, draft.top, draft.width, draft.bottom - draft.top)
    page.box(area, page.theme.panel, page.theme.faint, rng.choice((0, 8)))
    draft.left, draft.top = draft.left + 8, draft.top + 6
    draft.title(always=True)
    line = page.line + rng.randint(0, 4)
    found = pairs(draft, draft.rows(line), draft.width - 3 * page.theme.size)
    for number, (label, value) in enumerate(found):
        y = draft.top + line * (number + 0.5)
        end = page.text(draft.left, y, value)
        page.text(end + page.theme.size, y, label, page.theme.accent)
        draft.facts.append(Fact("value", value, label))


UNSEEN = {"stacked": stacked, "side by side": side_by_side, "card": card}
