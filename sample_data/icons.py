"""Icons made of lines, rings and polygons on a grid of 16 units."""

ICONS = {
    "search": [("ring", 7, 7, 4.5), ("path", 10.5, 10.5, 14, 14)],
    "check": [("path", 3, 8.5, 6.5, 12, 13, 4.5)],
    "cross": [("path", 4, 4, 12, 12), ("path", 12, 4, 4, 12)],
    "plus": [("path", 8, 3, 8, 13), ("path", 3, 8, 13, 8)],
    "minus": [("path", 3, 8, 13, 8)],
    "square": [("path", 3.5, 3.5, 12.5, 3.5, 12.5, 12.5, 3.5, 12.5, 3.5, 3.5)],
    "right": [("path", 6, 3.5, 10.5, 8, 6, 12.5)],
    "down": [("path", 3.5, 6, 8, 10.5, 12.5, 6)],
    "left": [("path", 10, 3.5, 5.5, 8, 10, 12.5)],
    "menu": [("path", 2, 4, 14, 4), ("path", 2, 8, 14, 8), ("path", 2, 12, 14, 12)],
    "more": [("disc", 3, 8, 1.3), ("disc", 8, 8, 1.3), ("disc", 13, 8, 1.3)],
    "inbox": [
        ("path", 2, 9, 4, 3, 12, 3, 14, 9, 14, 13, 2, 13, 2, 9, 5.5, 9, 6.5, 11, 9.5, 11),
        ("path", 9.5, 11, 10.5, 9, 14, 9),
    ],
    "mail": [
        ("path", 2, 4, 14, 4, 14, 12.5, 2, 12.5, 2, 4),
        ("path", 2, 4.5, 8, 9, 14, 4.5),
    ],
    "send": [("polygon", 2, 2.5, 15, 8, 2, 13.5, 4, 8.8, 9, 8, 4, 7.2)],
    "file": [
        ("path", 3.5, 1.5, 9.5, 1.5, 12.5, 4.5, 12.5, 14.5, 3.5, 14.5, 3.5, 1.5),
        ("path", 9.5, 1.5, 9.5, 4.5, 12.5, 4.5),
    ],
    "folder": [("polygon", 1.5, 3, 6.5, 3, 8, 5, 14.5, 5, 14.5, 13.5, 1.5, 13.5)],
    "trash": [
        ("path", 2.5, 4, 13.5, 4),
        ("path", 6, 4, 6, 2, 10, 2, 10, 4),
        ("path", 4, 4, 4.8, 14, 11.2, 14, 12, 4),
    ],
    "star": [
        (
            *("polygon", 8, 1.5, 10, 6, 14.8, 6.4, 11.1, 9.6, 12.2, 14.3),
            *(8, 11.8, 3.8, 14.3, 4.9, 9.6, 1.2, 6.4, 6, 6),
        )
    ],
    "home": [
        ("path", 1.5, 8, 8, 2, 14.5, 8),
        ("path", 3.5, 7, 3.5, 14, 6.5, 14, 6.5, 10, 9.5, 10, 9.5, 14, 12.5, 14, 12.5, 7),
    ],
    "user": [
        ("ring", 8, 5, 3),
        ("path", 2, 14.5, 3, 11, 6, 9.6, 10, 9.6, 13, 11, 14, 14.5),
    ],
    "bell": [
        ("path", 2.5, 12, 4, 10, 4, 6.5, 5.5, 3.5, 8, 2.5, 10.5, 3.5, 12, 6.5, 12, 10, 13.5, 12),
        ("path", 2.5, 12, 13.5, 12),
        ("disc", 8, 14, 1.3),
    ],
    "chart": [
        ("path", 2, 2, 2, 14, 14, 14),
        ("path", 4.5, 11, 7, 7.5, 9.5, 9.5, 13.5, 3.5),
    ],
    "clock": [("ring", 8, 8, 6), ("path", 8, 4.5, 8, 8, 10.5, 9.5)],
    "calendar": [
        ("path", 2, 3.5, 14, 3.5, 14, 14, 2, 14, 2, 3.5),
        ("path", 2, 7, 14, 7),
        ("path", 5, 1.5, 5, 4.5),
        ("path", 11, 1.5, 11, 4.5),
    ],
    "settings": [
        *[("path", 2, y, 14, y) for y in (4, 8, 12)],
        *[("disc", x, y, 2) for x, y in ((10, 4), (5, 8), (11, 12))],
    ],
    "warning": [("polygon", 8, 1, 15.5, 14.5, 0.5, 14.5)],
    "drop": [("polygon", 8, 1, 11.5, 6.5, 12.5, 10, 11, 13, 8, 14.5, 5, 13, 3.5, 10, 4.5, 6.5)],
    "sun": [
        ("ring", 8, 8, 3),
        *[("path", 8, a, 8, b) for a, b in ((1, 2.5), (13.5, 15))],
        *[("path", a, 8, b, 8) for a, b in ((1, 2.5), (13.5, 15))],
        *[("path", a, a, b, b) for a, b in ((3, 4), (12, 13))],
        *[("path", a, 16 - a, b, 16 - b) for a, b in ((3, 4), (12, 13))],
    ],
    "cloud": [
        ("disc", 5, 10, 3.2),
        ("disc", 9, 7.5, 4),
        ("disc", 12, 10.3, 2.9),
        ("polygon", 5, 9, 12, 9, 12, 13.2, 5, 13.2),
    ],
}


def icon(canvas, name, x, y, side=16, fill="#4b5563", line=1.4):
    """Draws an icon whose top left corner is at x, y."""
    unit = side / 16
    for kind, *numbers in ICONS[name]:
        if kind in {"ring", "disc"}:
            cx, cy, radius = (number * unit for number in numbers)
            style = {"outline": fill, "line": line} if kind == "ring" else {"fill": fill}
            canvas.disc(x + cx, y + cy, radius, **style)
            continue
        points = [
            (x + px * unit, y + py * unit)
            for px, py in zip(numbers[::2], numbers[1::2], strict=True)
        ]
        if kind == "path":
            canvas.path(points, fill, line)
        else:
            canvas.polygon(points, fill)
