"""Renders a report as one self-contained HTML file."""

from importlib import resources

from jinja2 import Environment

from ppcli.show.charts import (
    check_charts,
    keep_against_unique,
    ratio_histogram,
    tokens_before_and_after,
)
from ppcli.show.report_data import ReportData, format_saving


def report_page(report: ReportData) -> str:
    """Render the HTML page, with charts, tables and pictures embedded.

    Raises:
        MissingDependencyError: matplotlib is not installed.
    """
    check_charts()
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"number": _number, "ratio": _ratio}
    charts = {}
    if report.images:
        charts = {
            "tokens": tokens_before_and_after(report),
            "keep": ratio_histogram(report.keep_counts, "keep"),
            "unique": ratio_histogram(report.unique_counts, "unique"),
            "formats": keep_against_unique(report.formats, "format"),
            "folders": keep_against_unique(report.folders, "folder"),
        }
    source = resources.files("ppcli.show").joinpath("report.html.j2").read_text("utf-8")
    histograms = list(zip(report.keep_counts, report.unique_counts, strict=True))
    return environment.from_string(source).render(
        report=report, charts=charts, histograms=histograms, format_saving=format_saving
    )


def _number(value: int) -> str:
    return f"{value:,}"


def _ratio(value: float) -> str:
    return f"{value:.3f}"
