"""Draws the figures of how-it-works.md: `python docs/figures/draw.py`.

The masks come from the coder itself. Each figure has an opaque background, so that it is readable
on light and dark pages.
"""

from pathlib import Path

import numpy as np

from ppcli import keep_mask

FOLDER = Path(__file__).parent
ROWS = ["AABB", "AABB", "CCAB", "CAAA"]
METHODS = ("pred_2d", "raster", "serpentine", "conncomp")
TILE = 4
INK, PAPER, SOFT, LINE, KEPT = "#1b2130", "#fcfcfd", "#566074", "#c3c9d4", "#1f5fbf"
COLOURS = {"A": "#9cc3f5", "B": "#f7cf8a", "C": "#a9dcb4"}
FADED = {"A": "#e6f0fc", "B": "#fdf3e1", "C": "#e9f6ec"}


def text(
    x: float, y: float, words: str, size: int = 14, colour: str = INK, bold: bool = False
) -> str:
    """Return a centred SVG text element."""
    weight = ' font-weight="700"' if bold else ""
    return (
        f'<text x="{x:g}" y="{y:g}" font-size="{size}" fill="{colour}" text-anchor="middle"'
        f"{weight}>{words}</text>"
    )


def box(x: float, y: float, side: float, fill: str, edge: str = LINE, width: float = 1) -> str:
    """Return a square."""
    return (
        f'<rect x="{x:g}" y="{y:g}" width="{side:g}" height="{side:g}" fill="{fill}" '
        f'stroke="{edge}" stroke-width="{width:g}"/>'
    )


def svg(width: int, height: int, title: str, parts: list[str]) -> str:
    """Return a complete SVG file."""
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" '
        f'font-family="system-ui, sans-serif">\n<title>{title}</title>\n'
        f'<rect width="{width}" height="{height}" rx="8" fill="{PAPER}"/>\n{body}\n</svg>\n'
    )


def neighbours() -> str:
    """Draw the three tiles that pred_2d predicts X from."""
    side, left, top = 72, 40, 24
    names = [("C", "above-left"), ("B", "above"), ("A", "left"), ("X", "this tile")]
    parts = []
    for index, (name, words) in enumerate(names):
        x, y = left + index % 2 * side, top + index // 2 * side
        is_target = name == "X"
        parts.append(
            box(x, y, side, PAPER if is_target else "#eff1f5", KEPT if is_target else LINE)
        )
        parts.append(text(x + side / 2, y + 40, name, 22, KEPT if is_target else INK, True))
        parts.append(text(x + side / 2, y + 60, words, 11, SOFT))
    lines = ["C ~ A, and not C ~ B", "predict B (above)", "otherwise", "predict A (left)"]
    for number, line in enumerate(lines):
        parts.append(text(330, 58 + 28 * number, line, 15, SOFT if number % 2 == 0 else INK))
    return svg(460, 192, "The neighbours that pred_2d predicts a tile from", parts)


def letters() -> np.ndarray:
    """Return a raster in which equal letters are equal tiles."""
    levels = {letter: 40 * number for number, letter in enumerate(sorted(COLOURS), 1)}
    grid = np.array([[levels[letter] for letter in row] for row in ROWS], dtype=np.uint8)
    return np.kron(grid[..., None], np.ones((TILE, TILE, 3), dtype=np.uint8))


def masks() -> str:
    """Draw what each method keeps of one small image."""
    side, gap, top = 28, 28, 44
    raster, parts = letters(), []
    for number, method in enumerate(METHODS):
        left = gap + number * (4 * side + gap)
        keep = keep_mask(raster, TILE, method)
        words = f"{method}: {keep.sum()} of {keep.size}"
        parts.append(text(left + 2 * side, 28, words, 13))
        for r, row in enumerate(ROWS):
            for c, letter in enumerate(row):
                kept = bool(keep[r, c])
                x, y = left + c * side, top + r * side
                parts.append(box(x, y, side, (COLOURS if kept else FADED)[letter]))
                colour = INK if kept else SOFT
                parts.append(text(x + side / 2, y + 19, letter, 14, colour, kept))
    width = gap + len(METHODS) * (4 * side + gap)
    return svg(width, top + 4 * side + 20, "Tiles that each method keeps of one image", parts)


def scans() -> str:
    """Draw the order in which raster and serpentine visit the tiles."""
    side, gap, top = 34, 40, 44
    parts = [
        f'<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" '
        f'markerHeight="7" orient="auto"><path d="M0 0 8 4 0 8z" fill="{KEPT}"/></marker></defs>'
    ]
    for number, method in enumerate(("raster", "serpentine")):
        left = gap + number * (4 * side + gap)
        parts.append(text(left + 2 * side, 28, method, 13))
        for r in range(4):
            parts += [box(left + c * side, top + r * side, side, "#eff1f5") for c in range(4)]
            start, end = left + 10, left + 4 * side - 10
            if method == "serpentine" and r % 2:
                start, end = end, start
            y = top + r * side + side / 2
            parts.append(
                f'<path d="M{start} {y:g} H{end}" stroke="{KEPT}" stroke-width="2" '
                'marker-end="url(#tip)"/>'
            )
    width = gap + 2 * (4 * side + gap)
    return svg(width, top + 4 * side + 20, "Scan orders of raster and serpentine", parts)


FIGURES = {"neighbours.svg": neighbours, "masks.svg": masks, "scans.svg": scans}


def main() -> None:
    """Write all figures beside this script."""
    for name, draw in FIGURES.items():
        (FOLDER / name).write_text(draw(), encoding="utf-8")


if __name__ == "__main__":
    main()
