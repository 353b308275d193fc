"""Renders a report as one self-contained HTML file."""

from importlib import resources
from typing import Any

from jinja2 import Environment, FunctionLoader

from ppcli.show.charts import (
    check_charts,
    keep_against_unique,
    keep_over_threshold,
    ratio_histogram,
    tokens_before_and_after,
)
from ppcli.show.report_data import ReportData, SweepData, format_saving


def report_page(report: ReportData) -> str:
    """Render the HTML page, with charts, tables and pictures embedded.

    Raises:
        MissingDependencyError: matplotlib is not installed.
    """
    check_charts()
    charts = {}
    if report.images:
        charts = {
            "tokens": tokens_before_and_after(report),
            "keep": ratio_histogram(report.keep_counts, "keep"),
            "unique": ratio_histogram(report.unique_counts, "unique"),
            "formats": keep_against_unique(report.formats, "format"),
            "folders": keep_against_unique(report.folders, "folder"),
        }
    histograms = list(zip(report.keep_counts, report.unique_counts, strict=True))
    return _rendered("report.html.j2", report, charts, histograms=histograms)


def sweep_page(report: SweepData) -> str:
    """Render the HTML page of a sweep.

    Raises:
        MissingDependencyError: matplotlib is not installed.
    """
    check_charts()
    charts = {}
    if report.images:
        charts = {
            "total": keep_over_threshold(report.settings, "share"),
            "median": keep_over_threshold(report.settings, "median"),
        }
    return _rendered("sweep.html.j2", report, charts)


def _rendered(
    template: str,
    report: ReportData | SweepData,
    charts: dict[str, str],
    **values: Any,  # noqa: ANN401
) -> str:
    environment = Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, loader=FunctionLoader(_template)
    )
    environment.filters |= {"number": _number, "ratio": _ratio}
    made = environment.get_template(template)
    return made.render(report=report, charts=charts, format_saving=format_saving, **values)


def _template(name: str) -> str:
    return resources.files("ppcli.show").joinpath(name).read_text("utf-8")


def _number(value: int) -> str:
    return f"{value:,}"


def _ratio(value: float) -> str:
    return f"{value:.3f}"
