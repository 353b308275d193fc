"""Pages of running text: a guide, a paper, a table, a form and scanned minutes."""

from math import sin
from random import Random

from PIL import Image, ImageFilter

import words
from drawing import GREY, INK, Canvas


def text_page():
    """Draws a page of a guide in shades of grey."""
    page = Canvas(800, 1000)
    page.text(90, 52, "A SMALL GUIDE TO RAIN GAUGES", 12, GREY)
    page.text(710, 52, "17", 12, GREY, "ra")
    page.rule(90, 72, 620)
    page.text(90, 100, "2  Reading the gauge", 28, bold=True)
    y = 156
    for part in words.GUIDE[:2]:
        y = page.paragraph(90, y, 620, part, 15, leading=23, justify=True) + 10
    y += 6
    page.pole(104, y - 2, 48, GREY, 3)
    y = page.paragraph(124, y, 540, words.GUIDE[2], 15, GREY, leading=23) + 18
    page.text(90, y, "2.1  Before every reading", 19, bold=True)
    y += 36
    for item in words.GUIDE_LIST:
        page.disc(104, y + 9, 2.5, INK)
        page.text(120, y, item, 15)
        y += 26
    y += 14
    page.text(90, y, "2.2  Dry days and snow", 19, bold=True)
    y += 36
    for part in words.GUIDE[3:]:
        y = page.paragraph(90, y, 620, part, 15, leading=23, justify=True) + 10
    page.rule(90, 920, 160)
    page.text(
        90, 930, "* A cup of ten centimetres across collects 78.5 ml for each centimetre.", 12
    )
    return page.image.convert("L")


def two_columns():
    """Draws the first page of a paper in two columns."""
    page = Canvas(800, 1000)
    page.centred(400, 66, "A Season of Rainfall on Six Flat Roofs", 25, bold=True)
    page.centred(400, 100, "Rooftop Weather Club", 14)
    page.centred(400, 120, "Working note 7", 12, GREY)
    page.centred(400, 154, "Abstract", 13, bold=True)
    page.paragraph(130, 168, 540, words.PAPER_ABSTRACT, 12, leading=17, justify=True)
    y = _sections(page, 60, 244, words.PAPER_LEFT)
    _roof_table(page, 60, y + 8)
    _roof_figure(page, 415, 250)
    y = _sections(page, 415, 478, words.PAPER_RIGHT)
    page.text(415, y + 4, "References", 15, bold=True)
    y += 30
    for entry in words.REFERENCES:
        y = page.paragraph(415, y, 325, entry, 12, leading=16) + 3
    page.centred(400, 972, "1", 12, GREY)
    return page.image


def _sections(page, x, y, sections):
    for title, *parts in sections:
        page.text(x, y, title, 15, bold=True)
        y += 25
        for part in parts:
            y = page.paragraph(x, y, 325, part, 12, leading=17, justify=True) + 7
        y += 8
    return y


def _roof_table(page, x, y):
    page.text(x, y, "Table 1. Height and seasonal total of each roof.", 12, GREY)
    y += 20
    page.rule(x, y, 325, INK, 2)
    for column, (title, right) in enumerate(
        (("Roof", 70), ("Height (m)", 190), ("Total (mm)", 320))
    ):
        if column:
            page.text(x + right, y + 8, title, 12, anchor="ra", bold=True)
        else:
            page.text(x + 5, y + 8, title, 12, bold=True)
    y += 28
    page.rule(x, y, 325, INK)
    rows = (
        ("North", "8.5", "318.4"),
        ("Mill", "11.0", "309.9"),
        ("Court", "4.2", "331.7"),
        ("Yard", "6.8", "325.0"),
        ("Tower", "19.4", "302.6"),
        ("Quay", "14.1", "305.3"),
    )
    for index, (name, height, total) in enumerate(rows):
        top = y + 7 + 20 * index
        page.text(x + 5, top, name, 12)
        page.text(x + 190, top, height, 12, anchor="ra")
        page.text(x + 320, top, total, 12, anchor="ra")
    page.rule(x, y + 7 + 20 * len(rows) + 3, 325, INK, 2)


def _roof_figure(page, x, y):
    page.box(x, y, 325, 178, outline=INK)
    for tick in range(4):
        level = y + 146 - 40 * tick
        page.dashes(x + 38, level, 275)
        page.text(x + 32, level, str(5 * tick), 12, anchor="rm")
    for index, height in enumerate((62, 48, 96, 80, 30, 41)):
        left = x + 52 + index * 44
        page.box(left, y + 146 - height, 26, height, "#b9c0c9", INK)
        page.path([(left + 13, y + 138 - height), (left + 13, y + 154 - height)], INK)
        page.centred(left + 13, y + 160, "NMCYTQ"[index], 12)
    page.rule(x + 38, y + 146, 275, INK)
    page.text(x, y + 188, "Figure 1. Mean storm total by roof, with its spread (mm).", 12, GREY)


def table():
    """Draws a landscape table with striped rows and totals."""
    page = Canvas(1000, 700)
    page.text(40, 34, "Visits by branch and month", 24, bold=True)
    page.text(40, 68, "First half of the year, all opening days, counted at the door", 13, GREY)
    columns = ("Jan", "Feb", "Mar", "Apr", "May", "Jun")
    rights = [330 + 96 * index for index in range(6)] + [930]
    page.box(40, 104, 920, 54, "#1f3a5f")
    page.text(56, 132, "Branch", 14, "white", "lm", bold=True)
    for title, middle in (("First quarter", 402), ("Second quarter", 690)):
        page.centred(middle, 118, title, 13, "white", bold=True)
        page.rule(middle - 125, 130, 250, "#8fa6c4")
    for title, right in zip((*columns, "Total"), rights, strict=True):
        page.row_text(right, 145, title, 13, "white", bold=title == "Total", right=True)
    _visit_rows(page, rights)
    page.text(40, 660, "Closed days count as zero. Figures are made up.", 12, GREY)
    page.text(960, 660, "Sheet 1 of 1", 12, GREY, "ra")
    return page.image


def _visit_rows(page, rights):
    names = (
        *("Main hall", "North branch", "South branch", "Harbour", "Old mill", "Station"),
        *("School street", "Upper town", "Lower town", "Riverside", "Garden house", "Market"),
        *("Bridge end", "West gate", "Hill top", "Mobile van"),
    )
    dice = Random(11)
    totals = [0] * 7
    for index, name in enumerate(names):
        y = 158 + 28 * index
        if index % 2:
            page.box(40, y, 920, 28, "#eef2f7")
        counts = [dice.randrange(180, 4200) for _ in range(6)]
        counts.append(sum(counts))
        totals = [old + new for old, new in zip(totals, counts, strict=True)]
        page.row_text(56, y + 14, name, 14)
        for right, count in zip(rights, counts, strict=True):
            page.row_text(right, y + 14, f"{count:,}", 14, right=True)
    y = 158 + 28 * len(names)
    page.rule(40, y, 920, INK, 2)
    page.row_text(56, y + 18, "All branches", 14, bold=True)
    for right, count in zip(rights, totals, strict=True):
        page.row_text(right, y + 18, f"{count:,}", 14, bold=True, right=True)
    page.box(40, 104, 920, y + 36 - 104, outline="#9aa7b8")
    for x in (240, 546, 834):
        page.pole(x, 158, y + 36 - 158, "#c8d1dc")


def form():
    """Draws a filled-in form with fields, boxes and a signature."""
    page = Canvas(800, 1000)
    page.text(50, 46, "Equipment loan request", 26, bold=True)
    page.text(50, 82, "Please write in capital letters. Fields with a star must be filled in.", 12)
    page.barcode(600, 44, 150, 36, 5)
    page.centred(675, 92, "F-204  0031 7785", 12)
    _section(page, 116, "1", "Member")
    _field(page, 50, 156, 340, "Membership number *", "4 4 0 1 7 2")
    _field(page, 410, 156, 340, "Group", "BEEKEEPING")
    _field(page, 50, 216, 340, "Postal code", "00000")
    _field(page, 410, 216, 340, "Town", "EXAMPLETOWN")
    _section(page, 288, "2", "Loan")
    _comb(page, 50, 328, "From *", "14062031")
    _comb(page, 410, 328, "To *", "21062031")
    _choices(page, 400)
    _section(page, 520, "3", "Purpose")
    _lines(
        page, 560, ("OPEN DAY IN THE PARK. WE NEED A TENT AND TWO", "TABLES FOR THE SEED EXCHANGE.")
    )
    _section(page, 678, "4", "Agreement")
    _tick(page, 50, 720, "I return everything clean and dry.", True)
    _tick(page, 50, 748, "I have read the rules for borrowed tools.", True)
    _tick(page, 50, 776, "I would like to hear about workshops.", False)
    _signature(page, 470, 730)
    _office_box(page, 50, 850)
    return page.image


def _section(page, y, number, title):
    page.box(50, y, 700, 28, "#dfe7ee")
    page.box(50, y, 28, 28, "#2f5d7c")
    page.centred(64, y + 14, number, 15, "white", bold=True)
    page.row_text(90, y + 14, title, 15, bold=True)


def _field(page, x, y, width, label, value):
    page.text(x, y, label, 12, GREY)
    page.box(x, y + 17, width, 32, outline="#7d8b99")
    page.mono(x + 10, y + 22, value, 17, "#1c3f94")


def _comb(page, x, y, label, digits):
    page.text(x, y, f"{label}   (day, month, year)", 12, GREY)
    for index, digit in enumerate(digits):
        left = x + index * 34 + 14 * ((index > 1) + (index > 3))
        page.box(left, y + 17, 30, 34, outline="#7d8b99")
        page.centred(left + 15, y + 34, digit, 19, "#1c3f94")


def _choices(page, y):
    page.text(50, y, "Category", 12, GREY)
    kinds = ("Garden tools", "Tents and tables", "Measuring", "Books", "Kitchen", "Other")
    for index, kind in enumerate(kinds):
        _tick(page, 50 + 180 * (index % 2), y + 22 + 28 * (index // 2), kind, index in {1, 4})
    page.text(440, y, "How will you collect it?", 12, GREY)
    for index, way in enumerate(("On foot", "By car", "Please deliver")):
        top = y + 31 + 28 * index
        page.disc(449, top, 8, outline="#55616d", line=1.3)
        if index == 1:
            page.disc(449, top, 4.5, "#1c3f94")
        page.row_text(468, top, way, 14)


def _tick(page, x, y, label, ticked):
    page.box(x, y, 18, 18, outline="#55616d")
    if ticked:
        page.path([(x + 4, y + 4), (x + 14, y + 14)], "#1c3f94", 2)
        page.path([(x + 14, y + 4), (x + 4, y + 14)], "#1c3f94", 2)
    page.row_text(x + 28, y + 9, label, 14)


def _lines(page, y, filled):
    for index in range(3):
        page.dashes(50, y + 27 + 30 * index, 700, "#7d8b99", 2, 3)
    for index, line in enumerate(filled):
        page.mono(54, y + 1 + 30 * index, line, 17, "#1c3f94")


def _signature(page, x, y):
    page.text(x, y - 12, "Signature *", 12, GREY)
    stroke = [
        (x + 20, y + 50),
        (x + 34, y + 12),
        (x + 44, y + 8),
        (x + 40, y + 36),
        (x + 30, y + 54),
    ]
    wave = [(x + 34 + 3 * step, y + 46 + (9 - step / 7) * sin(step)) for step in range(45)]
    tail = [(x + 240, y + 34), (x + 120, y + 64)]
    page.path(stroke + wave + tail, "#1c3f94", 2)
    page.rule(x, y + 60, 280, "#55616d")


def _office_box(page, x, y):
    page.box(x, y, 700, 96, "#f1f1ee", "#a8a89e")
    page.text(x + 14, y + 10, "For office use only", 12, GREY, bold=True)
    for index, label in enumerate(("Received", "Checked by", "Returned", "Deposit")):
        left = x + 14 + 172 * index
        page.text(left, y + 36, label, 12, GREY)
        page.box(left, y + 53, 156, 30, "white", "#a8a89e")


def scan():
    """Draws three pages of minutes as a fax or an office scanner leaves them: black and white."""
    return [_scanned(_minutes_page(number), number) for number in range(1, 4)]


def _minutes_page(number):
    page = Canvas(850, 1100)
    y = 90
    if number == 1:
        page.text(100, 80, "Allotment club", 30, bold=True)
        page.text(100, 124, "Minutes of the monthly meeting", 20)
        page.rule(100, 160, 650, INK, 2)
        y = 190
    first = 3 * (number - 1)
    for index, part in enumerate(words.MINUTES[first : first + 3], first + 1):
        page.text(100, y, f"Item {index}", 20, bold=True)
        y = page.paragraph(100, y + 36, 650, part, 20, leading=34) + 30
    if number == 2:
        _watering_plan(page, y)
    if number == 3:
        page.rule(100, 640, 260, INK)
        page.text(100, 650, "Chair", 15)
        page.rule(460, 640, 260, INK)
        page.text(460, 650, "Secretary", 15)
        page.box(560, 780, 170, 90, outline=INK, line=4)
        page.centred(645, 812, "RECEIVED", 24, bold=True)
        page.centred(645, 846, "No. 0113", 18)
    page.centred(425, 1040, f"- {number} -", 16)
    return page.image


def _watering_plan(page, y):
    page.text(100, y, "Watering plan", 18, bold=True)
    y += 36
    rows = (("Beds", "Day", "Key"), ("1 to 8", "Mon, Thu", "A"), ("9 to 16", "Tue, Fri", "B"))
    for row in rows:
        for column, cell in enumerate(row):
            page.box(100 + 200 * column, y, 201, 37, outline=INK, line=2)
            page.row_text(116 + 200 * column, y + 18, cell, 17, bold=row is rows[0])
        y += 36


def _scanned(image, number):
    """Tilts a page a little, roughens its edges and dusts it."""
    grey = image.convert("L").rotate(
        (0.4, -0.3, 0.2)[number - 1], Image.Resampling.BICUBIC, fillcolor=255
    )
    page = grey.filter(ImageFilter.GaussianBlur(0.4)).point(lambda level: 255 if level > 150 else 0)
    dice = Random(number)
    for _ in range(60):
        x, y = dice.randrange(850), dice.randrange(1100)
        page.paste(0, (x, y, x + dice.randrange(1, 3), y + 1))
    return page.convert("1", dither=Image.Dither.NONE)
