"""Screens of fixed-width text: a code editor and a terminal."""

import keyword
import re

from drawing import Canvas, cell_width
from icons import icon

COLOURS = {
    "plain": "#d4d7dd",
    "keyword": "#c792ea",
    "string": "#b5d98a",
    "number": "#f5a97f",
    "comment": "#6f7b8d",
    "name": "#7fb4ff",
}

TOKEN = re.compile(
    r"(?P<comment>#.*)|(?P<string>\"+[^\"]*\"+)|(?P<number>\b\d[\d.]*\b)|(?P<name>\w+(?=\())"
    r"|(?P<word>\w+)|(?P<plain>.)"
)

CODE = '''\
"""Daily totals from the log of a rain gauge."""

from dataclasses import dataclass
from datetime import date


@dataclass(frozen=True)
class Reading:
    """One line of the log."""

    day: date
    millimetres: float
    missed: bool = False


def read_log(lines):
    """Yields the readings of a log, oldest first."""
    for number, line in enumerate(lines, start=1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        day, amount = line.split(";")
        if amount == "-":
            yield Reading(date.fromisoformat(day), 0.0, missed=True)
        else:
            yield Reading(date.fromisoformat(day), float(amount))


def monthly_totals(readings):
    """Adds up the days of every month."""
    totals = {}
    for reading in readings:
        month = reading.day.strftime("%Y-%m")
        totals[month] = totals.get(month, 0.0) + reading.millimetres
    return totals


def wettest(totals, count=3):
    # Months with the same total keep the order of the year.
    ranked = sorted(totals.items(), key=lambda item: -item[1])
    return ranked[:count]
'''


def coloured(line):
    """Splits a line of Python into pieces of text with their colours."""
    pieces = []
    for match in TOKEN.finditer(line):
        kind, piece = match.lastgroup, match.group()
        if kind == "word" or keyword.iskeyword(piece):
            kind = "keyword" if keyword.iskeyword(piece) else "plain"
        pieces.append((piece, COLOURS[kind]))
    return pieces


def editor():
    """Draws a dark code editor: file tree, tabs, numbered lines, a small map and a status bar."""
    window = Canvas(1000, 700, "#1d2129")
    _activity_bar(window)
    _file_tree(window)
    _tabs(window)
    _code(window, 270, 74)
    _code_map(window, 908, 74)
    window.box(0, 676, 1000, 24, "#2c5fb3")
    window.row_text(12, 688, "main", 12, "white")
    window.row_text(60, 688, "0 errors, 1 warning", 12, "white")
    window.row_text(988, 688, "Line 23, column 18     UTF-8     Python", 12, "white", right=True)
    return window.image


def _activity_bar(window):
    window.box(0, 0, 48, 676, "#14171d")
    for index, name in enumerate(("file", "search", "chart", "check", "user")):
        y = 18 + 52 * index if index < 4 else 634
        icon(window, name, 13, y, 22, "#ffffff" if index == 0 else "#7d8696", 1.8)
    window.box(0, 10, 3, 38, "#4f8cff")


def _file_tree(window):
    window.box(48, 0, 222, 676, "#191d24")
    window.row_text(64, 20, "FILES", 12, "#8c95a4", bold=True)
    entries = (
        (0, "down", "rain"),
        (1, "down", "logs"),
        (2, "file", "roof-north.csv"),
        (2, "file", "roof-south.csv"),
        (2, "file", "courtyard.csv"),
        (1, "down", "rainlog"),
        (2, "file", "__init__.py"),
        (2, "file", "charts.py"),
        (2, "file", "totals.py"),
        (2, "file", "units.py"),
        (1, "right", "tests"),
        (1, "file", "LICENSE"),
        (1, "file", "README.md"),
    )
    for index, (depth, name, label) in enumerate(entries):
        y = 50 + 26 * index
        active = label == "totals.py"
        if active:
            window.box(48, y - 13, 222, 26, "#2b3442")
        icon(window, name, 62 + 16 * depth, y - 7, 14, "#8c95a4", 1.2)
        window.row_text(84 + 16 * depth, y, label, 14, "#ffffff" if active else "#b9c0cb")
    window.pole(269, 0, 676, "#2b303a")


def _tabs(window):
    window.box(270, 0, 730, 40, "#14171d")
    for index, label in enumerate(("totals.py", "charts.py", "README.md")):
        x = 270 + 140 * index
        if index == 0:
            window.box(x, 0, 140, 40, "#1d2129")
            window.box(x, 0, 140, 2, "#4f8cff")
        ink = "#ffffff" if index == 0 else "#8c95a4"
        window.row_text(x + 18, 20, label, 14, ink)
        icon(window, "cross", x + 114, 14, 12, ink, 1.2)
        window.pole(x + 139, 0, 40, "#2b303a")
    window.row_text(284, 54, "rainlog  /  totals.py  /  read_log", 12, "#8c95a4")


def _code(window, x, y):
    lines = CODE.splitlines()[:41]
    size, step = 13, 15
    cell = cell_width(size)
    selected = next(index for index, line in enumerate(lines) if "amount ==" in line)
    for index, line in enumerate(lines):
        top = y + step * index - 2
        if index == selected:
            window.box(x, top + 1, 626, step, "#262c37")
            start = x + 58 + cell * line.index("amount")
            window.box(start, top + 1, cell * len("amount"), step, "#35507f")
            window.pole(start + cell * len("amount"), top + 1, step, "#ffffff", 2)
        number = f"{index + 1:>3}"
        window.mono(x + 12, top, number, size, "#c5cbd5" if index == selected else "#565f6e")
        left = x + 58
        for piece, colour in coloured(line):
            left = window.mono(left, top, piece, size, colour)


def _code_map(window, x, y):
    window.pole(x - 8, 40, 636, "#2b303a")
    window.box(x - 7, y - 8, 87, 124, "#262b35")
    for index, line in enumerate(CODE.splitlines()):
        left = x
        for piece, colour in coloured(line):
            if piece.strip():
                window.box(left, y + 3 * index, len(piece), 2, colour)
            left += len(piece)
    window.scrollbar(988, 40, 636, 4, 470, "#1d2129", "#434b59")


def terminal():
    """Draws a terminal with listings, bars and test results in a palette of few colours."""
    window = Canvas(900, 560, "#101216")
    window.box(0, 0, 900, 32, "#2a2e36")
    for index, colour in enumerate(("#ff5f57", "#febc2e", "#28c840")):
        window.disc(20 + 22 * index, 16, 6.5, colour)
    window.centred(450, 16, "rain: tests", 14, "#b9c0cb")
    y = 42
    for line in _session():
        x = 14
        for words, colour in line:
            x = window.mono(x, y, words, 14, colour)
        y += 18
    window.box(x, y - 17, cell_width(14), 17, "#d4d7dd")
    return window.image.quantize(256, dither=0)


def _session():
    white, dim, green = "#d4d7dd", "#7d8696", "#5fd787"
    blue, yellow, red = "#6cb6ff", "#e5c07b", "#ff7b72"
    prompt = [("guest@desk", green), (":", white), ("~/rain", blue), ("$ ", white)]
    files = (
        ("4096", "logs", blue),
        ("4096", "rainlog", blue),
        ("4096", "tests", blue),
        ("1071", "LICENSE", white),
        ("2290", "README.md", white),
    )
    yield [*prompt, ("ls -l", white)]
    yield [("total 20", white)]
    for size, name, colour in files:
        kind = "drwxr-xr-x" if colour == blue else "-rw-r--r--"
        yield [(f"{kind}  1 guest guest  {size:>5}  Jun 14 08:00  ", white), (name, colour)]
    yield [*prompt, ("rainlog fetch --all", white)]
    for name, share, speed in (("north", 100, "1.2"), ("south", 100, "1.1"), ("court", 62, "0.8")):
        bar = "#" * (share * 40 // 100)
        colour = green if share == 100 else yellow
        yield [
            (f"roof-{name:<8}[", white),
            (bar, colour),
            ("." * (40 - len(bar)), dim),
            (f"]  {share:>3} %   {speed} MB/s", white),
        ]
    yield [("warning: roof-court stopped early, 11 days are missing", yellow)]
    yield [*prompt, ("rainlog test", white)]
    yield [("collected 42 checks", white)]
    for name, count in (("totals", 18), ("units", 15), ("charts", 9)):
        done = "." * count
        yield [(f"tests/{name:<10}", white), (done, green)]
    yield [("=" * 18, green), (" 42 passed in 0.61 s ", green), ("=" * 18, green)]
    yield [*prompt, ("rainlog total --by month | tail -n 4", white)]
    for month, total in (
        ("2031-03", 104.2),
        ("2031-04", 61.0),
        ("2031-05", 88.4),
        ("2031-06", 47.1),
    ):
        yield [(f"{month}  ", blue), (f"{total:>6.1f} mm  ", white), ("*" * int(total / 4), yellow)]
    yield [*prompt, ("rainlog fetch court --again", white)]
    yield [("error: roof-court does not answer, try again later", red)]
    yield prompt
