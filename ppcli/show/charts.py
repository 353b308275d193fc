"""Charts as SVG that takes its colours from the page it stands in."""

import io
import re
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ppcli.errors import MissingDependencyError
from ppcli.show.figures import Figures, Group

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# drawn with these, which nothing else has, and then replaced by what the page's style defines
_INK, _LINES, _KEPT, _UNIQUE = "#010203", "#010204", "#010205", "#010206"
_STYLE_OF = {_INK: "--ink", _LINES: "--lines", _KEPT: "--kept", _UNIQUE: "--unique"}
_WIDTH = 4.6  # inches, so that text has its size where two charts stand side by side
_POINT = 9
_STYLE: Any = {
    "text.parse_math": False,  # a name may hold $
    "svg.fonttype": "none",  # text stays text, for readers and for search
    "svg.hashsalt": "pixelprune",  # the same figures give the same file
    "font.size": _POINT,
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
    """Raises MissingDependencyError unless charts can be drawn."""
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError as error:
        raise MissingDependencyError(
            f'a report needs pip install "pixelprune[report]": {error}'
        ) from error


def ratio_histogram(counts: NDArray[np.int64], of: str) -> str:
    """How many images have which ratio.

    Args:
        counts: of equal parts of [0, 1], in order.
        of: which ratio: `keep` or `unique`.
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


def keep_against_unique(groups: Sequence[Group], by: str) -> str:
    """For each group the quartiles of both ratios, one above the other.

    Args:
        groups: from top to bottom.
        by: what they have in common.
    """
    with _Drawing(by, 0.8 + 0.42 * len(groups)) as drawing:
        axes = drawing.axes
        for place, group in enumerate(groups):
            for quartiles, off, colour, shape in (
                (group.keep, -0.13, _KEPT, "o"),
                (group.unique, 0.13, _UNIQUE, "D"),
            ):
                low, middle, high = quartiles
                whole: Any = {"color": colour, "clip_on": False}
                axes.plot([low, high], [place + off] * 2, linewidth=2.5, **whole)
                axes.plot([middle], [place + off], shape, markersize=6, **whole)
        names = [f"{_shortened(group.name)} ({group.images:,})" for group in groups]
        axes.set_yticks(range(len(groups)), names)
        axes.set(xlim=(0, 1), ylim=(len(groups) - 0.5, -0.5), xlabel="ratio")
        axes.grid(axis="x")
    return drawing.svg


def tokens_before_and_after(figures: Figures) -> str:
    """Two bars: all tokens, and those that are kept."""
    with _Drawing("tokens", 1.1) as drawing:
        axes = drawing.axes
        for place, (count, colour) in enumerate([(figures.tokens, _LINES), (figures.kept, _KEPT)]):
            axes.barh(place, count, color=colour, height=0.7)
            beside: Any = {"xytext": (5, 0), "textcoords": "offset points", "va": "center"}
            axes.annotate(f"{count:,}", (count, place), **beside)
        axes.set_yticks([0, 1], ["every token", "kept"])
        axes.set(ylim=(1.6, -0.6), xlim=(0, 1.3 * figures.tokens), xticks=[])
        axes.spines["bottom"].set_visible(False)
    return drawing.svg


def _shortened(name: str, longest: int = 28) -> str:
    return name if len(name) <= longest else f"…{name[1 - longest :]}"


class _Drawing:
    """A figure in our style; after the block `svg` has it."""

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
            warnings.filterwarnings("ignore", message="Glyph")  # the reader's fonts have them
            self.figure.savefig(file, format="svg", transparent=True, metadata={"Date": None})
        text = file.getvalue()
        text = text[text.index("<svg") :]
        for colour, name in _STYLE_OF.items():
            text = text.replace(colour, f"var({name})")
        text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
        text = re.sub(r'width="[\d.]+pt" height="[\d.]+pt"', "", text, count=1)
        text = re.sub(r'( id="|href="#|url\(#)', rf"\g<1>{self._name}-", text)  # one page has all
        return text.replace("'DejaVu Sans'", "system-ui")
