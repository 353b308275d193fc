"""Forms, receipts and lists."""

from functools import partial

from training.facts import Fact
from training.layouts.parts import Draft, window


def pairs(draft: Draft, count: int, room: float) -> list[tuple[str, str]]:
    """Labels with values that fit side by side."""
    found = []
    for label in draft.words.some("labels", count):
        room_left = room - draft.page.width_of(label)
        value = draft.fitting(partial(draft.words.value_of, label), room_left)
        if value is not None:
            found.append((label, value))
    return found


def form(draft: Draft) -> None:
    """Labels and values, in one of the ways forms are set."""
    rng, page = draft.rng, draft.page
    if rng.random() < 0.15:
        window(draft)
    else:
        draft.title()
    style = rng.choice(("colon", "column", "leaders", "boxes", "right", "stripes"))
    line = page.line + rng.randint(-2, 6)
    gap = page.theme.size
    found = pairs(draft, draft.rows(line), draft.width - 2 * gap)
    column = max((page.width_of(f"{label}:") for label, _ in found), default=0) + gap
    colon = rng.choice(("", ":")) if style != "colon" else ":"
    for number, (label, value) in enumerate(found):
        y = draft.top + line * (number + 0.5)
        if style == "stripes" and number % 2:
            page.box((draft.left, y - line / 2, draft.width, line), page.theme.panel)
        end = page.text(draft.left + 2, y, label + colon)
        wide = page.width_of(value)
        start = draft.left + column
        if style == "colon" or start + wide > draft.right - 3:
            start = min(end + gap * 0.6, draft.right - wide)
        elif style in ("right", "leaders"):
            start = draft.right - wide - 3
        if style == "leaders":
            dot = page.width_of(".") * 2
            x = end + dot
            while x + 2 * dot < start:
                page.box((x, y + page.theme.size * 0.3, 1, 1), page.theme.ink)
                x += dot
        if style == "boxes":
            page.box(
                (start - 3, y - line / 2 + 1, draft.right - start + 2, line - 3),
                None,
                page.theme.faint,
            )
        page.text(start, y, value)
        draft.facts.append(Fact("value", value, label))
    if len(found) > 1:
        draft.facts.append(Fact("count", str(len(found)), "fields"))


def receipt(draft: Draft) -> None:
    """Things and their prices, and what they come to."""
    rng, page, words = draft.rng, draft.page, draft.words
    draft.title()
    line = page.line + rng.randint(-3, 2)
    inset = rng.uniform(0, draft.width * 0.15)
    left, right = draft.left + inset, draft.right - inset
    space = right - left - page.width_of("99.99") - page.theme.size
    things = [
        one for one in words.some("things", draft.rows(line) - 1) if page.width_of(one) < space
    ]
    total = 0.0
    y = draft.top
    for thing in things:
        price = rng.uniform(0.2, 60)
        total += round(price, 2)
        y += line
        page.text(left, y - line / 2, thing)
        page.text(right, y - line / 2, f"{price:.2f}", align="right")
        draft.facts.append(Fact("value", f"{price:.2f}", thing))
    if not things:
        total = rng.uniform(1, 900)
    if rng.random() < 0.7:
        page.rule(left, y + 1, right - left)
    y += line
    larger, sum_up = rng.choice((1.0, 1.0, 1.15)), f"{total:.2f}"
    room = right - left - page.theme.size - page.width_of(sum_up, larger)
    last = draft.fitting(lambda: words.one("totals"), room / larger)
    if last:
        page.text(left, y - line / 2 + 1, last, larger=larger)
        page.text(right, y - line / 2 + 1, sum_up, larger=larger, align="right")
        draft.facts.append(Fact("value", sum_up, last))
    if things:
        draft.facts.append(Fact("count", str(len(things)), "items"))


def listing(draft: Draft) -> None:
    """Lines of text, numbered, with bullets, or plain."""
    rng, page, words = draft.rng, draft.page, draft.words
    titled = len(draft.facts)
    draft.title()
    titled = len(draft.facts) > titled
    # below a title only a number tells which line is the first
    style = "number" if titled else rng.choice(("number", "bullet", "plain"))
    line = page.line + rng.randint(-2, 5)
    count, mark = draft.rows(line), rng.choice((".", ")"))
    indent = 0.0 if style == "plain" else page.width_of(f"{count}.") + page.theme.size * 0.6
    makers = (
        lambda: words.sentence(2),
        lambda: words.one("things"),
        words.person,
        words.made_up,
        words.value,
    )
    for number in range(count):
        text = draft.fitting(rng.choice(makers), draft.width - indent) or "-"
        y = draft.top + line * (number + 0.5)
        if style == "number":
            page.text(draft.left, y, f"{number + 1}{mark}")
        elif style == "bullet":
            side = max(2, page.theme.size // 4)
            page.box((draft.left + 3, y - side / 2, side, side), page.theme.ink)
        page.text(draft.left + indent, y, text)
        draft.facts.append(Fact("line", text, str(number + 1)))
    draft.facts.append(Fact("count", str(count), "lines" if style == "plain" else "items"))


FORMS = {"form": form, "receipt": receipt, "list": listing}
