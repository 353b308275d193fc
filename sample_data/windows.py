"""Application windows: a light mail program and a dark dashboard."""

from math import sin

import words
from drawing import Canvas
from icons import icon

DARK = {
    "back": "#15181e",
    "panel": "#1e232c",
    "line": "#2f3642",
    "ink": "#e6e9ee",
    "dim": "#8c95a4",
    "blue": "#4f8cff",
    "green": "#3ecf8e",
    "red": "#ff6b6b",
}


def title_bar(canvas, width, title, back, ink):
    """Draws a title bar with the buttons to minimise, enlarge and close."""
    canvas.box(0, 0, width, 36, back)
    canvas.centred(width // 2, 18, title, 14, ink)
    for index, name in enumerate(("minus", "square", "cross")):
        icon(canvas, name, width - 118 + 40 * index, 11, 14, ink, 1.2)


def mail_window():
    """Draws a light mail program: folders, a list with a selected message, the message."""
    window = Canvas(1000, 700, "#ffffff")
    title_bar(window, 1000, "Inbox - Mail", "#e9ecf1", "#2b3440")
    _toolbar(window)
    _folders(window)
    _messages(window)
    _message(window)
    window.box(0, 676, 1000, 24, "#e9ecf1")
    window.row_text(12, 688, "214 messages, 3 unread", 12, "#5b6675")
    window.row_text(988, 688, "Up to date", 12, "#5b6675", right=True)
    return window.image


def _toolbar(window):
    window.box(0, 36, 1000, 48, "#f6f7f9")
    window.rule(0, 83, 1000, "#d5dae1")
    window.button(12, 45, 112, 30, "", "#2563eb")
    icon(window, "plus", 24, 53, 14, "white", 1.6)
    window.row_text(46, 60, "Write", 14, "white")
    tools = (("inbox", "Get mail"), ("trash", "Delete"), ("folder", "Move"), ("star", "Mark"))
    for index, (name, label) in enumerate(tools):
        x = 146 + 100 * index
        icon(window, name, x, 52, 16)
        window.row_text(x + 23, 60, label, 14, "#374151")
    window.box(700, 46, 284, 28, "#ffffff", "#c5ccd6", radius=5)
    icon(window, "search", 709, 53, 14, "#7b8594")
    window.row_text(730, 60, "Search all messages", 13, "#8a94a3")


def _folders(window):
    window.box(0, 84, 190, 592, "#f1f3f6")
    window.pole(189, 84, 592, "#d5dae1")
    window.row_text(16, 106, "Folders", 12, "#6b7280", bold=True)
    folders = (
        ("inbox", "Inbox", "3"),
        ("star", "Marked", ""),
        ("send", "Sent", ""),
        ("file", "Drafts", "1"),
        ("folder", "Bills", ""),
        ("folder", "Garden club", ""),
        ("folder", "Reading room", ""),
        ("trash", "Bin", ""),
    )
    for index, (name, label, count) in enumerate(folders):
        y = 140 + 32 * index
        if index == 0:
            window.box(8, y - 15, 174, 30, "#d8e4fb", radius=5)
        icon(window, name, 20, y - 8, 16, "#1d4ed8" if index == 0 else "#5b6675")
        window.row_text(46, y, label, 14, "#1f2937", bold=index == 0)
        if count:
            window.disc(165, y, 10, "#2563eb")
            window.centred(165, y, count, 12, "white")


def _messages(window):
    messages = (
        ("Reading room desk", "New shelves on Thursday", "09:12"),
        ("Garden club", "Watering plan for the dry weeks", "08:47"),
        ("Corner grocery", "Your order is ready", "08:05"),
        ("Team calendar", "Reminder: open day", "Mon"),
        ("Sample Supplies", "Invoice 2031-0482", "Mon"),
        ("Bicycle workshop", "Spare parts have arrived", "Sun"),
        ("Choir", "Rehearsal moved to room 4 upstairs", "Sat"),
        ("Weather club", "Readings for the second quarter", "Fri"),
        ("Reading room desk", "Two reservations for you", "Thu"),
    )
    for index, (sender, subject, when) in enumerate(messages):
        y = 84 + 66 * index
        if index == 0:
            window.box(190, y, 298, 65, "#2563eb")
        ink, dim = ("white", "#d6e2ff") if index == 0 else ("#111827", "#6b7280")
        window.row_text(210, y + 22, sender, 14, ink, bold=index < 3)
        window.row_text(474, y + 22, when, 12, dim, right=True)
        window.row_text(210, y + 45, subject, 13, dim, width=230)
        if 0 < index < 3:
            window.disc(200, y + 22, 4, "#2563eb")
        if index in {1, 4}:
            icon(window, "star", 459, y + 37, 15, "#f59e0b")
        window.rule(190, y + 65, 298, "#e5e8ed")
    window.scrollbar(488, 84, 592, 4, 130, "#f3f4f6", "#c3c9d2")
    window.pole(500, 84, 592, "#d5dae1")


def _message(window):
    window.text(524, 104, "New shelves on Thursday", 22, bold=True)
    window.disc(545, 164, 20, "#0f766e")
    window.centred(545, 164, "R", 18, "white")
    window.row_text(578, 155, "Reading room desk", 14, bold=True)
    window.row_text(578, 175, "to all members", 13, "#6b7280")
    window.row_text(976, 155, "Today, 09:12", 13, "#6b7280", right=True)
    window.rule(524, 200, 452, "#e1e5ea")
    y = 216
    for part in words.MAIL_BODY:
        y = window.paragraph(524, y, 446, part, 14, "#1f2937", 22) + 9
    window.box(524, y + 8, 250, 52, "#f6f7f9", "#d5dae1", radius=6)
    icon(window, "file", 536, y + 21, 26, "#dc2626")
    window.row_text(572, y + 26, "shelf-plan.pdf", 14)
    window.row_text(572, y + 45, "182 KB", 12, "#6b7280")
    window.button(524, 624, 92, 32, "Reply", "#2563eb")
    window.button(626, 624, 104, 32, "Reply all", "#ffffff", "#1f2937", "#c5ccd6")
    window.button(740, 624, 104, 32, "Forward", "#ffffff", "#1f2937", "#c5ccd6")


def dashboard_window():
    """Draws a dark dashboard: numbers, a curve, bars and a list of jobs."""
    window = Canvas(1000, 700, DARK["back"])
    title_bar(window, 1000, "Greenhouse monitor", "#0f1216", "#aab2bf")
    _side_menu(window)
    _number_cards(window)
    _curve(window, 216, 188, 500, 230)
    _zone_bars(window, 732, 188, 252, 230)
    _job_list(window, 216, 434, 768, 250)
    return window.image


def _side_menu(window):
    window.box(0, 36, 200, 664, DARK["panel"])
    window.pole(199, 36, 664, DARK["line"])
    icon(window, "drop", 20, 54, 26, DARK["green"])
    window.row_text(54, 68, "House 3", 18, DARK["ink"], bold=True)
    entries = ("home", "chart", "calendar", "bell", "user", "settings")
    labels = ("Overview", "Climate", "Schedule", "Alerts", "Members", "Settings")
    for index, (name, label) in enumerate(zip(entries, labels, strict=True)):
        y = 122 + 42 * index
        active = index == 0
        if active:
            window.box(10, y - 18, 180, 36, "#2a3a57", radius=6)
        icon(window, name, 24, y - 9, 18, DARK["blue"] if active else DARK["dim"])
        window.row_text(54, y, label, 15, DARK["ink"] if active else DARK["dim"])
    window.box(152, 122 + 3 * 42 - 10, 28, 20, DARK["red"], radius=10)
    window.centred(166, 122 + 3 * 42, "2", 12, "white")
    window.rule(16, 636, 168, DARK["line"])
    window.disc(34, 668, 14, "#3b4658")
    icon(window, "user", 26, 660, 16, DARK["ink"])
    window.row_text(58, 661, "Guest", 14, DARK["ink"])
    window.row_text(58, 679, "read only", 12, DARK["dim"])


def _number_cards(window):
    cards = (
        ("Temperature", "21.4", "+0.6 since noon", "green"),
        ("Humidity", "63 %", "-4 since noon", "red"),
        ("Water today", "118 l", "27 l below plan", "green"),
        ("Open vents", "5 / 8", "by schedule", "dim"),
    )
    for index, (label, value, note, colour) in enumerate(cards):
        x = 216 + 194 * index
        _panel(window, x, 52, 186, 120)
        window.text(x + 16, 66, label, 13, DARK["dim"])
        window.text(x + 16, 88, value, 32, DARK["ink"], bold=True)
        window.row_text(x + 16, 150, note, 13, DARK[colour])


def _panel(window, x, y, width, height, title=None):
    window.box(x, y, width, height, DARK["panel"], DARK["line"], radius=8)
    if title:
        window.text(x + 16, y + 12, title, 15, DARK["ink"], bold=True)


def _curve(window, x, y, width, height):
    _panel(window, x, y, width, height, "Last 24 hours")
    left, base, span = x + 46, y + height - 32, width - 64
    for tick in range(5):
        level = base - 35 * tick
        window.rule(left, level, span, DARK["line"])
        window.row_text(left - 8, level, str(12 + 4 * tick), 12, DARK["dim"], right=True)
    for tick in range(7):
        window.centred(left + tick * span // 6, base + 16, f"{tick * 4:02}", 12, DARK["dim"])
    steps = range(0, span + 1, 6)
    warm = [(left + s, base - 62 - 42 * sin(s / 70 - 1.9) - 6 * sin(s / 11)) for s in steps]
    moist = [(left + s, base - 78 + 38 * sin(s / 74 - 1.6) + 4 * sin(s / 7)) for s in steps]
    window.path(moist, DARK["green"], 2)
    window.path(warm, DARK["blue"], 2.4)
    for index, (label, colour) in enumerate((("Temperature", "blue"), ("Humidity", "green"))):
        window.disc(x + 290 + 112 * index, y + 22, 4, DARK[colour])
        window.row_text(x + 300 + 112 * index, y + 22, label, 12, DARK["dim"])


def _zone_bars(window, x, y, width, height):
    _panel(window, x, y, width, height, "Soil moisture")
    zones = (("Tomatoes", 72), ("Peppers", 64), ("Herbs", 41), ("Salad", 83), ("Seedlings", 28))
    for index, (name, share) in enumerate(zones):
        top = y + 48 + 36 * index
        window.text(x + 16, top, name, 13, DARK["ink"])
        window.text(x + width - 16, top, f"{share} %", 13, DARK["dim"], "ra")
        window.box(x + 16, top + 19, width - 32, 6, DARK["line"], radius=3)
        colour = DARK["red"] if share < 30 else DARK["green"]
        window.box(x + 16, top + 19, (width - 32) * share // 100, 6, colour, radius=3)


def _job_list(window, x, y, width, height):
    _panel(window, x, y, width, height, "Jobs")
    window.button(x + width - 104, y + 9, 90, 26, "Add job", DARK["blue"], size=13)
    columns = (16, 250, 400, 540, 660)
    for title, left in zip(("Job", "Zone", "Next run", "Duration", "State"), columns, strict=True):
        window.row_text(x + left, y + 56, title, 12, DARK["dim"])
    window.rule(x + 1, y + 70, width - 2, DARK["line"])
    jobs = (
        ("Morning watering", "Tomatoes", "06:00", "12 min", "on"),
        ("Morning watering", "Salad", "06:15", "8 min", "on"),
        ("Open roof vents", "All", "10:30", "-", "on"),
        ("Mist", "Seedlings", "11:00", "2 min", "failed"),
        ("Evening watering", "Peppers", "19:45", "10 min", "paused"),
    )
    colours = {"on": "green", "failed": "red", "paused": "dim"}
    for index, job in enumerate(jobs):
        middle = y + 88 + 35 * index
        if index == 3:
            window.box(x + 1, middle - 17, width - 2, 34, "#2a2530")
        for cell, left in zip(job, columns, strict=True):
            indent = 16 if cell in colours else 0
            window.row_text(x + left + indent, middle, cell, 14, DARK["ink"])
        window.disc(x + columns[-1] + 4, middle, 4.5, DARK[colours[job[-1]]])
        if index < 4:
            window.rule(x + 1, middle + 17, width - 2, DARK["line"])
