"""Charts as SVG whose colours follow the style of the page."""

import io
import re
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ppcli.errors import MissingDependencyError
from ppcli.show.report_data import ImageGroup, ReportData

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# placeholder colours, replaced by the page's CSS variables
_INK, _LINES, _KEPT, _UNIQUE = "#010203", "#010204", "#010205", "#010206"
_STYLE_OF = {_INK: "--ink", _LINES: "--lines", _KEPT: "--kept", _UNIQUE: "--unique"}
_WIDTH = 4.6  # inches; text has its nominal size where two charts are side by side
_FONT_SIZE = 9
_STYLE: Any = {
    "text.parse_math": False,  # names may contain $
    "svg.fonttype": "none",  # keep text as text, for screen readers and search
    "svg.hashsalt": "pixelprune",  # reproducible ids
    "font.size": _FONT_SIZE,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": _LINES,
    "axes.labelcolor": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "text.color": _INK,
    "grid.color": _LINES,
    "grid.linewidth": 0.5,
    "axes.axisbelow": True,
}


def check_charts() -> None:
    """Check that charts can be drawn.

    Raises:
        MissingDependencyError: matplotlib is not installed.
    """
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError as error:
        raise MissingDependencyError(
            f'a report needs pip install "pixelprune[report]": {error}'
        ) from error


def ratio_histogram(counts: NDArray[np.int64], of: str) -> str:
    """Draw a histogram of images by ratio.

    Args:
        counts: number of images per bin; the bins are equal parts of [0, 1].
        of: `keep` or `unique`.

    Returns:
        An SVG element.
    """
    from matplotlib.ticker import MaxNLocator

    edges = np.linspace(0, 1, len(counts) + 1)
    colour = _KEPT if of == "keep" else _UNIQUE
    with _Drawing(of, 1.9) as drawing:
        axes = drawing.axes
        axes.bar(edges[:-1], counts, width=np.diff(edges) * 0.92, align="edge", color=colour)
        axes.set(xlim=(0, 1), xlabel=f"{of} ratio", ylabel="images")
        axes.yaxis.set_major_locator(MaxNLocator("auto", integer=True))
        axes.grid(axis="y")
    return drawing.svg


def keep_against_unique(groups: Sequence[ImageGroup], by: str) -> str:
    """Draw the quartiles of both ratios for each group.

    Args:
        groups: the groups from top to bottom.
        by: `format` or `folder`.

    Returns:
        An SVG element.
    """
    with _Drawing(by, 0.8 + 0.42 * len(groups)) as drawing:
        axes = drawing.axes
        for y, group in enumerate(groups):
            for quartiles, offset, colour, marker in (
                (group.keep, -0.13, _KEPT, "o"),
                (group.unique, 0.13, _UNIQUE, "D"),
            ):
                low, median, high = quartiles
                style: Any = {"color": colour, "clip_on": False}
                axes.plot([low, high], [y + offset] * 2, linewidth=2.5, **style)
                axes.plot([median], [y + offset], marker, markersize=6, **style)
        names = [f"{_shortened(group.name)} ({group.images:,})" for group in groups]
        axes.set_yticks(range(len(groups)), names)
        axes.set(xlim=(0, 1), ylim=(len(groups) - 0.5, -0.5), xlabel="ratio")
        axes.grid(axis="x")
    return drawing.svg


def tokens_before_and_after(report: ReportData) -> str:
    """Draw two bars, all tokens and the kept ones; return an SVG element."""
    with _Drawing("tokens", 1.1) as drawing:
        axes = drawing.axes
        for y, (count, colour) in enumerate([(report.tokens, _LINES), (report.kept, _KEPT)]):
            axes.barh(y, count, color=colour, height=0.7)
            position: Any = {"xytext": (5, 0), "textcoords": "offset points", "va": "center"}
            axes.annotate(f"{count:,}", (count, y), **position)
        axes.set_yticks([0, 1], ["every token", "kept"])
        axes.set(ylim=(1.6, -0.6), xlim=(0, 1.3 * report.tokens), xticks=[])
        axes.spines["bottom"].set_visible(False)
    return drawing.svg


def _shortened(name: str, longest: int = 28) -> str:
    return name if len(name) <= longest else f"…{name[1 - longest :]}"


class _Drawing:
    """A context manager for a figure in our style; `svg` is set when it exits."""

    figure: "Figure"
    axes: "Axes"
    svg: str

    def __init__(self, name: str, height: float) -> None:
        from matplotlib import rc_context
        from matplotlib.figure import Figure

        self._name = name
        self._style = rc_context(_STYLE)
        self._style.__enter__()
        self.figure = Figure(figsize=(_WIDTH, height), layout="constrained")
        self.axes = self.figure.add_subplot()

    def __enter__(self) -> "_Drawing":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.svg = self._as_svg()
        self._style.__exit__(None, None, None)

    def _as_svg(self) -> str:
        file = io.StringIO()
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Glyph")  # the browser's fonts are used
            self.figure.savefig(file, format="svg", transparent=True, metadata={"Date": None})
        text = file.getvalue()
        text = text[text.index("<svg") :]
        for colour, name in _STYLE_OF.items():
            text = text.replace(colour, f"var({name})")
        text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
        text = re.sub(r'width="[\d.]+pt" height="[\d.]+pt"', "", text, count=1)
        text = re.sub(
            r'( id="|href="#|url\(#)', rf"\g<1>{self._name}-", text
        )  # ids are unique in the page
        return text.replace("'DejaVu Sans'", "system-ui")
