"""Tables: of labels and values, grids, and the lines of an invoice."""

from training.facts import Fact
from training.layouts.papers import pairs
from training.layouts.parts import Draft


def key_values(draft: Draft) -> None:
    """A table of two columns with borders."""
    rng, page = draft.rng, draft.page
    draft.title()
    line = page.line + rng.randint(0, 6)
    found = pairs(draft, draft.rows(line), draft.width - 16)
    while True:
        if not found:
            return
        first = max(page.width_of(label) for label, _ in found) + 10
        widest = max(page.width_of(value) for _, value in found) + 10
        if first + widest <= draft.width:
            break
        found.remove(max(found, key=lambda pair: max(map(page.width_of, pair))))
    whole = draft.width if rng.random() < 0.5 else first + widest
    page.box((draft.left, draft.top, whole, line * len(found)), None, page.theme.faint)
    if rng.random() < 0.4:
        page.box(
            (draft.left, draft.top, first, line * len(found)), page.theme.panel, page.theme.faint
        )
    page.pole(draft.left + first, draft.top, line * len(found))
    for number, (label, value) in enumerate(found):
        y = draft.top + line * (number + 0.5)
        if number:
            page.rule(draft.left, y - line / 2, whole)
        page.text(draft.left + 4, y, label)
        page.text(draft.left + first + 4, y, value)
        draft.facts.append(Fact("value", value, label))
    draft.facts.append(Fact("count", str(len(found)), "rows"))


def grid(draft: Draft) -> None:
    """Rows with labels under columns with names."""
    draft.title()
    labels = draft.rng.choice(("things", "people", "cities", "labels"))
    table(draft, labels, draft.bottom, "rows")


def table(draft: Draft, labels: str, bottom: float, called: str) -> float:
    """Draw a grid down to some height; gives where it ends."""
    rng, page, words = draft.rng, draft.page, draft.words
    line = page.line + rng.randint(-2, 5)
    count = int((bottom - draft.top) // line) - 1
    rows = [
        one for one in words.some(labels, max(0, count)) if page.width_of(one) < draft.width * 0.42
    ]
    rows = rows[: rng.randint(1, max(1, len(rows)))] if rng.random() < 0.4 else rows
    if not rows:
        return draft.top
    first = max(page.width_of(row) for row in rows) + 10
    make = rng.choice((words.number, words.number, words.cell, lambda: f"{rng.uniform(0, 99):.2f}"))
    room = draft.width - first
    narrow = page.theme.size * rng.uniform(3.2, 5)
    step = room / max(1, min(6, int(room // narrow)))
    taken = {fact.first for fact in draft.facts}
    names = [one for one in words.some("columns", 24) if one not in taken]
    columns = [one for one in names if page.width_of(one) < step - 8][: round(room / step)]
    if not columns:
        return draft.top
    step = room / len(columns)
    ruled, striped = rng.random() < 0.6, rng.random() < 0.3
    right = rng.random() < 0.5
    if rng.random() < 0.5:
        page.box((draft.left, draft.top, draft.width, line), page.theme.panel)
    for place, name in enumerate(columns):
        _cell(draft, first + place * step, step, draft.top + line / 2, name, right)
    for number, row in enumerate(rows, 1):
        y = draft.top + line * (number + 0.5)
        if striped and number % 2:
            page.box((draft.left, y - line / 2, draft.width, line), page.theme.panel)
        if ruled:
            page.rule(draft.left, y - line / 2, draft.width)
        page.text(draft.left + 3, y, row)
        for place, name in enumerate(columns):
            value = draft.fitting(make, step - 6)
            if value is not None:
                _cell(draft, first + place * step, step, y, value, right)
                draft.facts.append(Fact("cell", value, row, name))
    end = draft.top + line * (len(rows) + 1)
    if ruled and rng.random() < 0.5:
        page.box((draft.left, draft.top, draft.width, end - draft.top), None, page.theme.faint)
        for place in range(len(columns)):
            page.pole(draft.left + first + place * step, draft.top, end - draft.top)
    draft.facts.append(Fact("count", str(len(rows)), called))
    return end


def _cell(draft: Draft, x: float, wide: float, y: float, text: str, right: bool) -> None:
    at = draft.left + x + (wide - 3 if right else 3)
    draft.page.text(at, y, text, align="right" if right else "left")


def invoice(draft: Draft) -> None:
    """Who and when, what was bought, and what it comes to."""
    page, rng = draft.page, draft.rng
    draft.title()
    line = page.line
    most = int((draft.bottom - draft.top) // line)
    heads = pairs(draft, min(rng.randint(1, 3), most), draft.width * 0.8)
    for label, value in heads:
        end = page.text(draft.left, draft.top + line / 2, f"{label}:")
        page.text(end + page.theme.size * 0.5, draft.top + line / 2, value)
        draft.facts.append(Fact("value", value, label))
        draft.top += line
    draft.top += 4
    end = table(draft, "things", draft.bottom - line - 4, "items")
    last, value = draft.words.one("totals"), f"{rng.uniform(1, 9999):,.2f}"
    wide = page.width_of(last) + page.width_of(value) + page.theme.size
    if end + 2 + line > draft.bottom or wide > draft.width - 6:
        return
    page.rule(draft.left, end + 2, draft.width)
    page.text(draft.left + 3, end + 2 + line / 2, last)
    page.text(draft.right - 3, end + 2 + line / 2, value, align="right")
    draft.facts.append(Fact("value", value, last))


TABLES = {"key-values": key_values, "grid": grid, "invoice": invoice}
