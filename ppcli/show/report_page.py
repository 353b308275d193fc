"""A report as one HTML file that opens offline."""

from importlib import resources

from jinja2 import Environment

from ppcli.show.charts import (
    check_charts,
    keep_against_unique,
    ratio_histogram,
    tokens_before_and_after,
)
from ppcli.show.figures import Figures, saved


def report_page(figures: Figures) -> str:
    """The whole page: charts, tables and pictures in it, nothing to load.

    Raises:
        MissingDependencyError: when matplotlib is not installed.
    """
    check_charts()
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"number": _number, "ratio": _ratio}
    charts = {}
    if figures.images:
        charts = {
            "tokens": tokens_before_and_after(figures),
            "keep": ratio_histogram(figures.keep_counts, "keep"),
            "unique": ratio_histogram(figures.unique_counts, "unique"),
            "formats": keep_against_unique(figures.formats, "format"),
            "folders": keep_against_unique(figures.folders, "folder"),
        }
    source = resources.files("ppcli.show").joinpath("report.html.j2").read_text("utf-8")
    histograms = list(zip(figures.keep_counts, figures.unique_counts, strict=True))
    return environment.from_string(source).render(
        figures=figures, charts=charts, histograms=histograms, saved=saved
    )


def _number(value: int) -> str:
    return f"{value:,}"


def _ratio(value: float) -> str:
    return f"{value:.3f}"
