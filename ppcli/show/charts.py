"""Charts as SVG whose colours follow the style of the page."""

import io
import re
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ppcli.errors import MissingDependencyError
from ppcli.show.report_data import ImageGroup, ReportData, SweptSetting

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# placeholder colours, replaced by the page's CSS variables
_INK, _LINES, _KEPT, _UNIQUE = "#010203", "#010204", "#010205", "#010206"
_METHODS = [f"#02020{number}" for number in range(1, 9)]
_STYLE_OF = {_INK: "--ink", _LINES: "--lines", _KEPT: "--kept", _UNIQUE: "--unique"} | {
    colour: f"--line-{number}" for number, colour in enumerate(_METHODS, 1)
}
_MARKERS = "osD^vPX*"  # of methods, which can be told apart without colours
_DASHES = ("-", "--", ":", "-.", (0, (6, 2, 1, 2, 1, 2)))  # of metrics
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


def keep_over_threshold(settings: Sequence[SweptSetting], of: str) -> str:
    """Draw a line for each method and metric: what is kept at each threshold.

    Thresholds that each image chooses are points at the right.

    Args:
        settings: of a sweep.
        of: what is drawn: `share` of all tokens, or `median` keep ratio.

    Returns:
        An SVG element.
    """
    lines: dict[str, list[SweptSetting]] = {}
    for one in settings:
        lines.setdefault(one.label, []).append(one)
    methods = list(dict.fromkeys(one.method for one in settings))
    metrics = list(dict.fromkeys(one.metric for one in settings))
    with _Drawing(of, 3.1 + 0.17 * -(-len(lines) // 2)) as drawing:
        axes, apart = drawing.axes, _threshold_axis(drawing.axes, settings)
        for label, line in lines.items():
            number = methods.index(line[0].method)
            style: Any = {
                "color": _METHODS[number % len(_METHODS)],
                "marker": _MARKERS[number % len(_MARKERS)],
                "linestyle": _DASHES[metrics.index(line[0].metric) % len(_DASHES)],
                "markersize": 4.5,
                "clip_on": False,
            }
            numbered = [(one.levels, getattr(one, of)) for one in line if one.levels is not None]
            axes.plot(*zip(*sorted(numbered), strict=True), label=label, **style) if numbered else 0
            chosen = [getattr(one, of) for one in line if one.levels is None]
            name = {} if numbered else {"label": label}
            axes.plot([apart] * len(chosen), chosen, **style | name)
        axes.set(ylim=(0, min(1.0, 1.1 * max(getattr(one, of) for one in settings))))
        axes.set(xlabel="threshold, levels of 255", ylabel="keep ratio")
        axes.grid(axis="y")
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=2, frameon=False)
    return drawing.svg


def _threshold_axis(axes: "Axes", settings: Sequence[SweptSetting]) -> float:
    """Set the ticks of thresholds; return the place of those that each image chooses."""
    from matplotlib.ticker import MaxNLocator

    levels = [one.levels for one in settings if one.levels is not None]
    most = max(levels, default=0) or 1.0
    apart = 1.15 * most
    places = [x for x in MaxNLocator("auto", integer=True).tick_values(0, most) if 0 <= x <= most]
    names = [f"{place:g}" for place in places]
    if len(levels) < len(settings):
        axes.axvline(1.075 * most, color=_LINES, linewidth=0.8)
        places, names = [*places, apart], [*names, "auto"]
    axes.set_xticks(places, names)
    axes.set_xlim(0, places[-1] if len(levels) < len(settings) else most)
    return apart


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
