"""The job of `report`: one HTML file about a dataset of `analyze` or `sweep`."""

import os
from collections.abc import Callable, Sequence

from ppcli.errors import OutputError, UsageError
from ppcli.jobs.report import figures_of
from ppcli.jobs.sweep_figures import sweep_figures
from ppcli.models.costs import NamedModel
from ppcli.show.charts import check_charts
from ppcli.show.report_page import report_page, sweep_page
from ppcli.store.atomic import atomic_file
from ppcli.store.manifest import Manifest
from ppcli.store.output_paths import check_path
from ppcli.store.places.place import Place, place_of
from ppcli.store.reader import is_single_file, read_metadata
from ppcli.store.rows import SWEEP


def write_report(
    dataset: str,
    output: str,
    models: Sequence[NamedModel] | None,
    answers: str | None,
    max_image_pixels: int,
    overwrite: bool,
    on_picture: Callable[[int, int], None],
) -> None:
    """Write a report about a dataset; see `ppcli.api.report`."""
    if not output.lower().endswith((".html", ".htm")):
        raise UsageError(f"-o is {output!r}; a report is an .html file")
    check_path(output, "-o")
    if os.path.isdir(output) or (os.path.lexists(output) and not overwrite):
        raise OutputError(f"{output} exists; use --overwrite or another name")
    check_charts()
    page = _page(dataset, models, answers, max_image_pixels, on_picture)
    try:
        os.makedirs(os.path.dirname(output) or os.curdir, exist_ok=True)
        with atomic_file(output) as file:
            file.write(page.encode())
    except OSError as error:
        raise OutputError(f"{output} cannot be written: {error.strerror}") from error


def _page(
    dataset: str,
    models: Sequence[NamedModel] | None,
    answers: str | None,
    max_image_pixels: int,
    on_picture: Callable[[int, int], None],
) -> str:
    place = place_of(dataset)
    if not _is_sweep(place):
        return report_page(figures_of(dataset, models, answers, max_image_pixels, on_picture))
    if models is not None or answers is not None:
        option = "--answers" if models is None else "--model"
        raise UsageError(f"{option} is for datasets of analyze, and {place} is one of sweep")
    return sweep_page(sweep_figures(place))


def _is_sweep(place: Place) -> bool:
    if is_single_file(place):
        return read_metadata(place).kind == SWEEP
    try:
        return Manifest.read(place).main_kind == SWEEP
    except (FileNotFoundError, NotADirectoryError):
        return False
