"""Small screens: a dialog with a soft shadow and a mobile screen."""

from PIL import Image, ImageDraw, ImageFilter

from drawing import GREY, Canvas
from icons import icon

BLUE = "#2563eb"


def dialog():
    """Draws a dialog cut out with its shadow: the corners and the shadow are transparent."""
    width, height, margin = 560, 392, 32
    card = _dialog_card(width, height)
    mask = Image.new("L", (width * 4, height * 4))
    ImageDraw.Draw(mask).rounded_rectangle((0, 0, width * 4 - 1, height * 4 - 1), 40, 255)
    mask = mask.reduce(4)
    size = (width + 2 * margin, height + 2 * margin)
    shadow = Image.new("L", size)
    shadow.paste(mask.point(lambda level: level * 2 // 5), (margin, margin + 8))
    cut = Image.new("RGBA", size, (12, 18, 28, 0))
    cut.putalpha(shadow.filter(ImageFilter.GaussianBlur(11)))
    card.putalpha(mask)
    cut.alpha_composite(card, (margin, margin))
    return cut


def _dialog_card(width, height):
    card = Canvas(width, height, "#f8f9fb")
    card.box(0, 0, width, 40, "#e9ecf1")
    card.row_text(18, 20, "Export pages", 15, bold=True)
    icon(card, "cross", width - 30, 13, 14)
    icon(card, "warning", 26, 62, 34, "#f59e0b")
    card.centred(43, 83, "!", 18, "white", bold=True)
    card.text(78, 60, "Three pages are larger than the rest", 17, bold=True)
    note = "They will be scaled down to fit. The originals are not changed."
    card.text(78, 88, note, 14, GREY)
    for index, (label, value) in enumerate(
        (("Format", "PNG, lossless"), ("Pages", "All, 1 to 48"))
    ):
        y = 142 + 44 * index
        card.row_text(78, y, label, 14)
        card.box(170, y - 16, 240, 32, "white", "#b9c1cc", radius=5)
        card.row_text(182, y, value, 14)
        icon(card, "down", 386, y - 7, 14)
    for index, (label, ticked) in enumerate(
        (("Keep the file names", True), ("Open the folder", False))
    ):
        y = 232 + 30 * index
        card.box(
            78, y - 9, 18, 18, BLUE if ticked else "white", BLUE if ticked else "#9aa3b0", radius=3
        )
        if ticked:
            icon(card, "check", 80, y - 7, 14, "white", 2)
        card.row_text(106, y, label, 14)
    card.box(78, 286, 452, 8, "#dde2e9", radius=4)
    card.box(78, 286, 290, 8, BLUE, radius=4)
    card.row_text(78, 310, "31 of 48 pages", 12, GREY)
    card.row_text(530, 310, "64 %", 12, GREY, right=True)
    card.rule(0, height - 60, width, "#dde2e9")
    card.button(width - 214, height - 46, 92, 32, "Cancel", "white", "#1f2937", "#b9c1cc")
    card.button(width - 112, height - 46, 92, 32, "Export", BLUE)
    return card.image.convert("RGBA")


def mobile_screen():
    """Draws a mobile screen with a list, switches, a round button and tabs."""
    screen = Canvas(450, 900, "#f2f4f7")
    _status_bar(screen)
    screen.box(0, 36, 450, 64, BLUE)
    icon(screen, "menu", 20, 57, 22, "white", 2)
    screen.row_text(60, 68, "Shopping list", 22, "white", bold=True)
    icon(screen, "search", 364, 57, 22, "white", 2)
    icon(screen, "more", 408, 57, 22, "white", 2)
    _filters(screen, 116)
    _shopping_rows(screen, 166)
    _sharing(screen, 674)
    screen.disc(396, 770, 31, "#c9d3e4")
    screen.disc(396, 767, 30, "#f97316")
    icon(screen, "plus", 382, 753, 28, "white", 2.6)
    _tabs(screen, 826)
    return screen.image


def _status_bar(screen):
    screen.box(0, 0, 450, 36, "#1d4fbf")
    screen.row_text(20, 18, "14:26", 15, "white", bold=True)
    for index in range(4):
        screen.box(346 + 7 * index, 22 - 4 * index, 5, 6 + 4 * index, "white")
    screen.row_text(380, 18, "82", 13, "white")
    screen.box(402, 11, 28, 14, None, "white", radius=3)
    screen.box(404, 13, 19, 10, "white")
    screen.box(430, 15, 2, 6, "white")


def _filters(screen, y):
    x = 16
    for index, (label, width) in enumerate(
        (("All", 62), ("Today", 84), ("Market", 90), ("Later", 78))
    ):
        active = index == 0
        screen.box(x, y, width, 34, BLUE if active else "white", None if active else "#cfd6e0", 17)
        screen.centred(x + width // 2, y + 17, label, 15, "white" if active else "#374151")
        x += width + 10


def _shopping_rows(screen, y):
    items = (
        ("Oat flakes", "500 g", False, "#fde68a"),
        ("Milk", "2 litres", True, "#bfdbfe"),
        ("Apples", "1 kg, the sour ones", False, "#fecaca"),
        ("Rye bread", "one loaf, sliced", False, "#fed7aa"),
        ("Tomatoes", "3 packs", True, "#fecaca"),
        ("Coffee", "ground", False, "#e7d3c2"),
        ("Dish soap", "refill bag", False, "#bbf7d0"),
    )
    screen.box(16, y, 418, 70 * len(items), "white", "#e1e5eb", radius=12)
    for index, (name, detail, done, colour) in enumerate(items):
        middle = y + 70 * index + 35
        screen.disc(52, middle, 21, colour)
        screen.centred(52, middle, name[0], 18, "#4b5563", bold=True)
        ink = "#9ca3af" if done else "#111827"
        screen.row_text(90, middle - 11, name, 18, ink)
        screen.row_text(90, middle + 13, detail, 14, "#9ca3af")
        screen.box(390, middle - 12, 24, 24, BLUE if done else "white", "#b6bfcc", radius=5)
        if done:
            icon(screen, "check", 393, middle - 9, 18, "white", 2.4)
        if index + 1 < len(items):
            screen.rule(90, middle + 34, 344, "#e8ebf0")


def _sharing(screen, y):
    screen.box(16, y, 418, 136, "white", "#e1e5eb", radius=12)
    for index, (label, on) in enumerate(
        (("Share with the house", True), ("Remind me at five", False))
    ):
        middle = y + 36 + 62 * index
        icon(screen, ("user", "bell")[index], 38, middle - 11, 22)
        screen.row_text(76, middle, label, 17)
        x = 290
        screen.box(x, middle - 13, 48, 26, BLUE if on else "#c9d0da", radius=13)
        screen.disc(x + (35 if on else 13), middle, 10, "white")
    screen.rule(76, y + 67, 262, "#e8ebf0")


def _tabs(screen, y):
    screen.box(0, y, 450, 74, "white")
    screen.rule(0, y, 450, "#dfe3e9")
    tabs = (("home", "Home"), ("inbox", "Lists"), ("calendar", "Week"), ("settings", "Options"))
    for index, (name, label) in enumerate(tabs):
        x = 56 + 113 * index
        colour = BLUE if index == 1 else "#6b7280"
        icon(screen, name, x - 12, y + 12, 24, colour, 1.8)
        screen.centred(x, y + 52, label, 13, colour)
