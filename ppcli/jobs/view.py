"""The work of `view`: images, or the patch sets of a dataset, to pictures."""

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from ppcli.engine.arrivals import Arrivals
from ppcli.engine.executors.executor import Executor
from ppcli.engine.stopping import Stop
from ppcli.errors import (
    DamagedError,
    ErrorCode,
    ImageError,
    NothingToDoError,
    UsageError,
    with_subject,
)
from ppcli.imaging.fit import fit_image
from ppcli.imaging.image_choices import DEFAULT_MAX_IMAGE_PIXELS
from ppcli.inputs.listing import Listing
from ppcli.inputs.marks import DRAWN
from ppcli.inputs.refs import ImageRef
from ppcli.jobs.analysis_options import AnalysisOptions
from ppcli.jobs.analyze import AnalyzeWork
from ppcli.jobs.pages import FileCount, PageResult, count_rows
from ppcli.show.picture import PictureOptions, draw_image, draw_patch_set
from ppcli.store.output_paths import check_folder, check_path, is_same_file
from ppcli.store.patch_codec import from_patch_row
from ppcli.store.png_folder import PngFolder, encode_png, write_png
from ppcli.store.reader import chosen_patch_rows, patch_files
from ppcli.store.rows import StatsRow


@dataclass(frozen=True, slots=True)
class Seen:
    """What became of a page.

    Attributes:
        image_id: of the page.
        path: where its picture is.
        error_code, error_message: why there is none.
        warning: what it does not show as it is meant.
    """

    image_id: str
    path: str
    error_code: str | None = None
    error_message: str | None = None
    warning: str | None = None


@dataclass(frozen=True, slots=True)
class DrawnPage(PageResult):
    """The row of a page with its picture, as a PNG file holds it."""

    png: bytes = b""

    @property
    def patch_bytes(self) -> int:
        """About what it takes in memory."""
        return len(self.png)


@dataclass(frozen=True, slots=True)
class PictureTarget:
    """Where pictures go.

    Attributes:
        path: a folder; or a file where it ends in `.png`.
        overwrite: whether files that stand there may be replaced.
    """

    path: str
    overwrite: bool

    @classmethod
    def of(cls, path: str, overwrite: bool) -> "PictureTarget":
        """What a path names.

        Raises:
            UsageError: when it looks like a file of another kind, or is standard output.
        """
        target = cls(path, overwrite)
        if not path or path == "-":
            raise UsageError(f"-o is {path!r}; name a folder, or a .png file for one picture")
        if target.is_file:
            check_path(path, "-o")
        else:
            check_folder(path, "-o", "name a folder, or a .png file for one picture")
        return target

    @property
    def is_file(self) -> bool:
        """Whether there can be only one picture."""
        return self.path.lower().endswith(".png")

    def folder(self) -> PngFolder:
        """What names the pictures of a run, where they may be several.

        Raises:
            OutputError: when something else has its name.
        """
        folder = PngFolder(self.path, self.overwrite, drawn=True)
        if not self.is_file:
            folder.check()
        return folder

    def put(self, folder: PngFolder, image_id: str, png: bytes) -> str:
        """Write a picture, and say where.

        Raises:
            ImageError: when only this one cannot be written.
            OutputError: when none can, or something stands there.
        """
        path = self.path if self.is_file else folder.path_of(image_id)
        if self.is_file:
            write_png(path, png, self.overwrite)
        else:
            folder.put(path, png)
        return path


def view_images(
    listing: Listing,
    options: AnalysisOptions,
    drawing: PictureOptions,
    target: PictureTarget,
    executor: Executor,
    stop: Stop,
    on_file: Callable[[], None],
) -> Iterator[Seen]:
    """Draw each page of each file.

    Args:
        listing: the inputs.
        options: how images are read and fitted.
        drawing: what is drawn of each.
        target: where the pictures go.
        executor: where they are drawn.
        stop: says when to stop early.
        on_file: called after each file.

    Raises:
        UsageError: when one file is to take several pictures.
        OutputError: when a picture cannot be written, or one stands there already.
        NothingToDoError: when the inputs hold no image.
    """
    folder = target.folder()
    work = AnalyzeWork(options, executor, partial(draw_page, drawing=drawing))
    with Arrivals(iter(listing)) as arrivals, closing(work):
        if not arrivals.ahead(1):
            raise NothingToDoError("there is no image among the inputs")
        if target.is_file:
            _check_one(arrivals, options, executor, target.path)
        work.expect(arrivals)
        for _, results in work.results(arrivals, stop):
            for result in results:
                yield _put(result, folder, target)
                if stop():
                    return
            on_file()


def draw_page(
    pixels: NDArray[np.uint8],
    row: StatsRow,
    options: AnalysisOptions,
    started: float,
    drawing: PictureOptions,
) -> DrawnPage:
    """The picture of a page; done in a worker.

    Args:
        pixels: upright RGB, uint8 (height, width, 3).
        row: of the page, as far as it is known.
        options: how the image is fitted.
        started: when work on the page began; not used.
        drawing: what is drawn.
    """
    raster = fit_image(pixels, options.fit, options.reading.max_image_pixels).raster
    image = draw_image(raster, options.fit.tile, drawing, row.image_id)
    return DrawnPage(row, png=encode_png(image, DRAWN, row.image_id))


def _check_one(
    arrivals: Arrivals[ImageRef], options: AnalysisOptions, executor: Executor, path: str
) -> None:
    """Raises UsageError unless there is one file, one page of it, and the picture is another."""
    ref, *others = arrivals.ahead(2)
    if others:
        raise UsageError("-o is one picture, and the inputs are several files; name a folder")
    if is_same_file(ref.path, path):
        raise UsageError(f"-o is {path}, which is the image itself; use another name")
    try:
        counted: FileCount | None = executor.submit(count_rows, ref, options).result()
    except ImageError:  # drawing it will tell
        return
    if counted is not None and counted.rows > 1:
        raise UsageError(
            f"-o is one picture, and the file has {counted.rows:,} pages; name a folder, or choose "
            "a page with --pages"
        )


def _put(result: PageResult, folder: PngFolder, target: PictureTarget) -> Seen:
    row = result.row
    if not isinstance(result, DrawnPage):
        return Seen(row.image_id, "", row.error_code, row.error_message)
    try:
        path = target.put(folder, row.image_id, result.png)
    except ImageError as error:
        return _unseen(row.image_id, error.code, error.message)
    return Seen(row.image_id, path, warning=row.warning)


def view_dataset(
    dataset: str,
    image_ids: list[str] | None,
    drawing: PictureOptions,
    target: PictureTarget,
    most_pixels: int = DEFAULT_MAX_IMAGE_PIXELS,
) -> Iterator[Seen]:
    """Draw patch sets over the rasters that they rebuild.

    Args:
        dataset: a folder that `analyze` wrote.
        image_ids: which images; None for all.
        drawing: what is drawn; its coders are those of the dataset.
        target: where the pictures go.
        most_pixels: the most that a raster may have.

    Raises:
        UsageError: when there is no dataset, none with patch sets, or not such an image.
        OutputError: when a picture cannot be written, or one stands there already.
        DamagedError: when a file of the dataset is unreadable.
        NothingToDoError: when no part of it is finished.
    """
    if target.is_file and len(set(image_ids or ())) != 1:
        raise UsageError("-o is one picture; choose an image with --image-id, or name a folder")
    folder, files = target.folder(), patch_files(dataset)
    if not files:
        raise NothingToDoError(f"{dataset} holds no rows yet; the same analyze command goes on")
    for row in chosen_patch_rows(dataset, files, image_ids):
        try:
            stored = from_patch_row(row, most_pixels)
            image = draw_patch_set(stored.patch_set, stored.raster(), drawing)
            path = target.put(folder, row.image_id, encode_png(image, DRAWN, row.image_id))
        except DamagedError as error:
            yield _unseen(row.image_id, ErrorCode.CORRUPT, str(error))
        except ImageError as error:
            yield _unseen(row.image_id, error.code, error.message)
        else:
            yield Seen(row.image_id, path)


def _unseen(image_id: str, code: ErrorCode, message: str) -> Seen:
    return Seen(image_id, "", code.value, with_subject(image_id, message))
