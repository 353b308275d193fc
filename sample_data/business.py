"""Business papers: an invoice, a receipt, a chart and a slide."""

from drawing import GREY, INK, Canvas
from icons import icon

ACCENT = "#0f766e"
BLUES = ("#1d4ed8", "#0ea5a4", "#f59e0b", "#9ca3af")


def invoice():
    """Draws an invoice with a logo, lines, totals and a payment slip."""
    page = Canvas(800, 1000)
    _letterhead(page)
    page.text(60, 168, "Bill to", 12, GREY)
    for index, line in enumerate(
        ("Customer 20417", "Reading room, ground floor", "00000 Exampletown")
    ):
        page.text(60, 188 + 21 * index, line, 15, bold=index == 0)
    facts = (
        ("Invoice number", "2031-0482"),
        ("Invoice date", "3 March 2031"),
        ("Order", "A-77120"),
        ("Due within", "30 days"),
    )
    for index, (label, value) in enumerate(facts):
        page.text(500, 168 + 23 * index, label, 13, GREY)
        page.text(740, 168 + 23 * index, value, 14, anchor="ra")
    bottom, net = _invoice_lines(page, 290)
    _invoice_totals(page, bottom + 18, net)
    page.text(60, bottom + 30, "Thank you for your order.", 15, bold=True)
    note = "Goods stay ours until they are paid for. Returns within 14 days, unopened please."
    page.paragraph(60, bottom + 56, 330, note, 13, GREY, leading=20)
    _payment_slip(page, 836)
    return page.image


def _letterhead(page):
    page.box(0, 0, 800, 10, ACCENT)
    page.box(60, 46, 62, 62, ACCENT, radius=12)
    page.polygon([(72, 92), (91, 60), (110, 92)], "white")
    page.disc(103, 64, 5, "#fde68a")
    page.text(138, 52, "Sample Supplies", 25, bold=True)
    page.text(138, 86, "Paper, pens and patience", 14, GREY)
    page.text(740, 50, "INVOICE", 32, ACCENT, "ra", bold=True)
    page.text(740, 92, "Page 1 of 1", 12, GREY, "ra")
    page.rule(60, 138, 680)


def _invoice_lines(page, y):
    rights = (470, 560, 650, 728)
    page.box(60, y, 680, 34, ACCENT)
    page.row_text(72, y + 17, "Description", 14, "white", bold=True)
    for title, right in zip(("Quantity", "Unit", "Price", "Amount"), rights, strict=True):
        page.row_text(right, y + 17, title, 14, "white", bold=True, right=True)
    y += 34
    items = (
        ("Copy paper, 80 g, white", "box of 5 reams", 12, 21.40),
        ("Notebook, squared, A5", "recycled cover", 40, 1.95),
        ("Pencil, HB", "pack of 12", 10, 3.60),
        ("Archive folder, grey", "holds 500 sheets", 25, 2.75),
        ("Label sheets", "24 labels each", 8, 7.20),
        ("Stamp pad, blue", "refillable", 2, 6.90),
        ("Delivery", "ground floor", 1, 9.50),
    )
    for index, (name, detail, count, price) in enumerate(items):
        if index % 2:
            page.box(60, y, 680, 46, "#f3f8f7")
        page.text(72, y + 7, name, 15)
        page.text(72, y + 26, detail, 12, GREY)
        cells = (str(count), "pc", f"{price:.2f}", f"{count * price:.2f}")
        for cell, right in zip(cells, rights, strict=True):
            page.row_text(right, y + 23, cell, 14, right=True)
        y += 46
        page.rule(60, y - 1, 680, "#dde5e3")
    return y, sum(count * price for _, _, count, price in items)


def _invoice_totals(page, y, net):
    tax = round(net * 0.19, 2)
    for label, value in (("Subtotal", net), ("Tax 19 %", tax)):
        page.row_text(500, y + 14, label, 14, GREY)
        page.row_text(728, y + 14, f"{value:,.2f}", 14, right=True)
        y += 28
    page.box(484, y + 4, 256, 44, "#e3f1ef", ACCENT, radius=6)
    page.row_text(500, y + 26, "Total due", 17, bold=True)
    page.row_text(728, y + 26, f"{net + tax:,.2f}", 19, bold=True, right=True)


def _payment_slip(page, y):
    page.dashes(0, y, 800, GREY, 8, 5)
    page.text(60, y + 18, "Payment slip", 16, bold=True)
    for index, (label, value) in enumerate(
        (("Reference", "2031 0482 0000 7712"), ("Payable to", "Sample Supplies"))
    ):
        page.text(60 + 220 * index, y + 50, label, 12, GREY)
        page.box(60 + 220 * index, y + 68, 200, 34, outline="#9aa5a3")
        page.row_text(70 + 220 * index, y + 85, value, 14)
    page.barcode(520, y + 34, 220, 56, 9)
    page.centred(630, y + 104, "2031 0482 0000 7712", 13)
    page.text(60, y + 122, "This is a sample: please do not pay it.", 12, GREY)


def receipt():
    """Draws a till receipt in fixed-width type."""
    slip = Canvas(400, 800, "#fdfdfb")
    slip.centred(200, 46, "CORNER GROCERY", 27, bold=True)
    _till_lines(slip, 72, ("Open every day 8 to 20", "Till 03     Receipt 004417"), centre=True)
    slip.dashes(24, 128, 352, INK)
    items = (
        ("OAT FLAKES 500G", 1, 1.29),
        ("MILK 1L", 2, 1.09),
        ("APPLES LOOSE KG", 1, 3.18),
        ("BREAD RYE", 1, 2.85),
        ("TOMATOES 400G", 3, 0.95),
        ("COFFEE GROUND", 1, 6.49),
        ("DISH SOAP", 1, 1.75),
        ("PAPER BAG", 2, 0.15),
    )
    y, total = 142, 0.0
    for name, count, price in items:
        y = _till_lines(slip, y, (_till_row(name, count * price),))
        if count > 1:
            y = _till_lines(slip, y, (f"   {count} x {price:.2f}",))
        total += count * price
    slip.dashes(24, y + 8, 352, INK)
    slip.text(30, y + 45, "TOTAL", 26, anchor="ls", bold=True)
    slip.text(372, y + 45, f"{total:.2f}", 26, anchor="rs", bold=True)
    tail = (
        _till_row("CASH", 25.0),
        _till_row("CHANGE", 25.0 - total),
        _till_row("TAX 7 % INCLUDED", total - total / 1.07),
    )
    y = _till_lines(slip, y + 60, tail)
    slip.dashes(24, y + 8, 352, INK)
    y = _till_lines(slip, y + 20, ("14.06.2031   17:42   Till 03",), centre=True)
    slip.barcode(60, y + 16, 280, 70, 31)
    _till_lines(slip, y + 92, ("0044 1703 1406 31",), centre=True)
    slip.centred(200, y + 140, "Thank you, see you soon!", 17)
    return slip.image


def _till_row(label, amount):
    return f"{label:<24}{amount:>10.2f}"


def _till_lines(slip, y, lines, centre=False):
    for line in lines:
        x = 200 - len(line) * 5 if centre else 30
        slip.mono(x, y, line, 17)
        y += 25
    return y


def chart():
    """Draws a chart with bars, a line, an axis on either side and a legend."""
    sheet = Canvas(900, 600)
    sheet.text(40, 26, "Water use and rainfall", 25, bold=True)
    sheet.text(40, 60, "Garden plots 1 to 16, monthly totals, invented figures", 14, GREY)
    left, bottom, width, height = 80, 500, 750, 370
    for tick in range(6):
        y = bottom - tick * height // 5
        sheet.rule(left, y, width, INK if tick == 0 else "#e1e5ea")
        sheet.row_text(left - 12, y, f"{tick * 20}", 13, GREY, right=True)
        sheet.row_text(left + width + 12, y, f"{tick * 40}", 13, GREY)
    sheet.text(40, 94, "cubic metres", 12, GREY)
    sheet.text(870, 94, "millimetres", 12, GREY, "ra")
    months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
    use = ((8, 3), (9, 3), (14, 6), (26, 11), (41, 17), (58, 22))
    use += ((66, 25), (61, 24), (38, 15), (19, 9), (10, 4), (8, 3))
    rain = (96, 82, 104, 61, 88, 47, 52, 58, 79, 118, 146, 112)
    step = width / 12
    points = []
    for index, (month, (tap, barrel), depth) in enumerate(zip(months, use, rain, strict=True)):
        x = round(left + step * index + 14)
        tall, short = tap * height // 100, barrel * height // 100
        sheet.box(x, bottom - tall, 34, tall, BLUES[0])
        sheet.box(x, bottom - tall - short, 34, short, BLUES[1])
        sheet.centred(x + 17, bottom + 18, month, 13)
        points.append((x + 17, bottom - depth * height / 200))
    sheet.path(points, BLUES[2], 3)
    for x, y in points:
        sheet.disc(x, y, 5.5, "white")
        sheet.disc(x, y, 5.5, None, BLUES[2], 2.5)
    _legend(sheet, 562)
    return sheet.image


def _legend(sheet, y):
    sheet.box(80, y - 16, 750, 34, "#f7f8fa", "#d7dce2", radius=6)
    for index, label in enumerate(("Tap water", "Rain barrel")):
        sheet.box(110 + 170 * index, y - 5, 14, 14, BLUES[index])
        sheet.row_text(132 + 170 * index, y + 2, label, 14)
    sheet.path([(446, y + 2), (476, y + 2)], BLUES[2], 3)
    sheet.disc(461, y + 2, 4.5, BLUES[2])
    sheet.row_text(486, y + 2, "Rainfall (right axis)", 14)


def slide():
    """Draws a slide with a ring chart, bullets and a footer."""
    sheet = Canvas(960, 540)
    sheet.box(0, 0, 960, 92, "#16324f")
    sheet.row_text(48, 46, "Where the water goes", 34, "white", bold=True)
    sheet.box(0, 92, 960, 6, "#f59e0b")
    bullets = (
        ("drop", "Two thirds goes to vegetables", "Beds 1 to 12, mostly tomatoes and beans"),
        ("sun", "Use doubles in the warmest weeks", "From the end of June to the end of July"),
        ("cloud", "The barrels cover one day in four", "Two more barrels are planned for spring"),
        ("clock", "Evening watering saves a tenth", "Measured on eight plots over one month"),
    )
    for index, (name, line, detail) in enumerate(bullets):
        y = 166 + 84 * index
        sheet.disc(76, y, 27, "#e4edf6")
        icon(sheet, name, 61, y - 15, 30, "#16324f", 2)
        sheet.row_text(122, y - 12, line, 22)
        sheet.row_text(122, y + 16, detail, 15, GREY)
    _ring(sheet, 720, 262, 118)
    sheet.rule(0, 504, 960, "#d5dbe2")
    sheet.row_text(48, 522, "Garden club, season review", 13, GREY)
    sheet.row_text(912, 522, "6 / 14", 13, GREY, right=True)
    return sheet.image


def _ring(sheet, x, y, radius):
    shares = (("Vegetables", 66), ("Flowers", 17), ("Fruit trees", 11), ("Paths", 6))
    angle = 0.0
    for (_, share), colour in zip(shares, BLUES, strict=True):
        sheet.slice(x, y, radius, angle, angle + 3.6 * share, colour)
        angle += 3.6 * share
    sheet.disc(x, y, radius * 0.58, "white")
    sheet.centred(x, y - 8, "358", 34, bold=True)
    sheet.centred(x, y + 22, "cubic metres", 14, GREY)
    for index, ((name, share), colour) in enumerate(zip(shares, BLUES, strict=True)):
        left, top = 570 + 170 * (index % 2), 424 + 32 * (index // 2)
        sheet.box(left, top - 7, 14, 14, colour)
        sheet.row_text(left + 24, top, f"{name}  {share} %", 16)
