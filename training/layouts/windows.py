"""Dialogs, settings and menus."""

from training.facts import Fact
from training.layouts.parts import Draft, window


def dialog(draft: Draft) -> None:
    """A message and one, two or three buttons."""
    rng, page, words = draft.rng, draft.page, draft.words
    window(draft)
    line = page.line
    high = line + rng.randint(0, 6)
    while draft.top + line + high + 8 < draft.bottom and rng.random() < 0.85:
        text = draft.fitting(lambda: words.sentence(4), draft.width)
        if text:
            page.text(draft.left, draft.top + line / 2, text)
        draft.top += line
    labels = words.some("buttons", rng.randint(1, 3))
    wide = max(page.width_of(label) for label in labels) + rng.randint(10, 24)
    gap = rng.randint(4, 12)
    while labels and len(labels) * (wide + gap) > draft.width:
        labels.pop()
    whole = len(labels) * (wide + gap) - gap
    left = {
        "left": draft.left,
        "middle": (draft.left + draft.right - whole) / 2,
        "right": draft.right - whole,
    }[rng.choice(("left", "middle", "right", "right"))]
    y = draft.bottom - high / 2 - 2
    primary = rng.randrange(len(labels) + 1) if labels else 0
    radius = rng.choice((0, 3, 6))
    for place, label in enumerate(labels):
        x = left + place * (wide + gap)
        filled = place == primary
        fill = page.theme.accent if filled else page.theme.panel
        page.box((x, y - high / 2, wide, high), fill, page.theme.faint, radius)
        ink = page.theme.paper if filled else page.theme.ink
        page.text(x + wide / 2, y, label, ink, align="middle")
    for side, label in zip(_SIDES[len(labels)], labels, strict=True):
        draft.facts.append(Fact("button", label, side))
    if labels:
        draft.facts.append(Fact("count", str(len(labels)), "buttons"))


_SIDES = {0: (), 1: ("only",), 2: ("left", "right"), 3: ("left", "middle", "right")}


def settings(draft: Draft) -> None:
    """Options that are on or off."""
    rng, page = draft.rng, draft.page
    if rng.random() < 0.7:
        window(draft)
    else:
        draft.title()
    line = page.line + rng.randint(0, 6)
    kind = rng.choice(("check", "filled", "cross", "switch", "disc"))
    side = round(page.theme.size * rng.uniform(0.85, 1.1))
    after = rng.random() < 0.3
    room = draft.width - 3 * side
    labels = draft.words.some("settings", draft.rows(line))
    labels = [label for label in labels if page.width_of(label) < room]
    chosen = rng.randrange(max(1, len(labels)))
    for number, label in enumerate(labels):
        y = draft.top + line * (number + 0.5)
        ticked = number == chosen if kind == "disc" else rng.random() < 0.5
        box = side * (2 if kind == "switch" else 1)
        if after:
            page.text(draft.left, y, label)
            page.tick_box(draft.right - box - 2, y, side, ticked, kind)
        else:
            page.tick_box(draft.left, y, side, ticked, kind)
            page.text(draft.left + box + page.theme.size * 0.5, y, label)
        draft.facts.append(Fact("ticked", "yes" if ticked else "no", label))
    if labels:
        draft.facts.append(Fact("count", str(len(labels)), "options"))


def menu(draft: Draft) -> None:
    """Entries under one another, with shortcuts."""
    rng, page, words = draft.rng, draft.page, draft.words
    line = page.line + rng.randint(-2, 4)
    entries = words.some("entries", draft.rows(line))
    shortcuts = rng.random() < 0.6
    inset = rng.uniform(0, draft.width * 0.2)
    draft.left, draft.right = draft.left + inset, draft.right - rng.uniform(0, inset)
    entries = [entry for entry in entries if page.width_of(entry) < draft.width * 0.7]
    lit = rng.randrange(2 * len(entries) + 1)
    area = (draft.left, draft.top, draft.width, line * len(entries) + 4)
    page.box(area, page.theme.panel, page.theme.faint)
    draft.top += 2
    for number, entry in enumerate(entries):
        y = draft.top + line * (number + 0.5)
        if number == lit:
            page.box((draft.left + 1, y - line / 2, draft.width - 2, line), page.theme.accent)
        ink = page.theme.paper if number == lit else page.theme.ink
        end = page.text(draft.left + 8, y, entry, ink)
        keys = f"{rng.choice(('Ctrl+', 'Alt+', 'F'))}{rng.randint(1, 9)}"
        shown = shortcuts and end + page.width_of(keys) + 14 < draft.right
        if shown:
            page.text(draft.right - 6, y, keys, ink, align="right")
        whole = f"{entry} {keys}" if shown else entry
        draft.facts.append(Fact("line", whole, str(number + 1)))
    if entries:
        draft.facts.append(Fact("count", str(len(entries)), "entries"))


WINDOWS = {"dialog": dialog, "settings": settings, "menu": menu}
