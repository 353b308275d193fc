"""The job of `view`: draw images, or the patch sets of a dataset, as pictures."""

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from ppcli.engine.arrivals import Arrivals
from ppcli.engine.executors.executor import Executor
from ppcli.engine.run import no_inputs_error
from ppcli.engine.stopping import Stop
from ppcli.errors import (
    DamagedError,
    ErrorCode,
    ImageError,
    NothingToDoError,
    UsageError,
    with_subject,
)
from ppcli.filesystems.schemes import without_secrets
from ppcli.imaging.fit import fit_image
from ppcli.imaging.image_choices import DEFAULT_MAX_IMAGE_PIXELS
from ppcli.imaging.page_source import PageSource
from ppcli.inputs.listing import Listing
from ppcli.inputs.marks import DRAWN
from ppcli.inputs.refs import ImageRef
from ppcli.jobs.analysis_options import AnalysisOptions
from ppcli.jobs.analyze import AnalyzeWork
from ppcli.jobs.page_analysis import PageResult
from ppcli.jobs.pages import FileCount, count_rows
from ppcli.show.picture import PictureOptions, draw_image, draw_patch_set
from ppcli.store.output_paths import check_folder, check_path, is_same_file
from ppcli.store.patch_sets import chosen_frame_rows
from ppcli.store.png_folder import PngFolder, encode_png, write_png
from ppcli.store.reader import patch_files
from ppcli.store.rows import StatsRow, error_of


@dataclass(frozen=True, slots=True)
class PictureResult:
    """The outcome for one page.

    Attributes:
        image_id: of the page.
        path: of its picture; empty if there is none.
        error: why there is no picture.
        warning: what the picture may show wrongly.
    """

    image_id: str
    path: str
    error: ImageError | None = None
    warning: str | None = None


@dataclass(frozen=True, slots=True)
class DrawnPage(PageResult):
    """The row of a page with its picture.

    Attributes:
        png: the bytes of a PNG file.
    """

    png: bytes = b""

    @property
    def nbytes(self) -> int:
        """Size of the picture in bytes."""
        return len(self.png)


@dataclass(frozen=True, slots=True)
class PictureTarget:
    """Where pictures are written.

    Attributes:
        path: a folder, or a file if it ends in `.png`.
        overwrite: whether existing pictures may be replaced.
    """

    path: str
    overwrite: bool

    @classmethod
    def of(cls, path: str, overwrite: bool) -> "PictureTarget":
        """Create the target for a path.

        Raises:
            UsageError: if the path looks like a file of another kind, or is standard output.
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
        """Whether the path is that of a single picture."""
        return self.path.lower().endswith(".png")

    def folder(self) -> PngFolder:
        """Return the folder, which also chooses the names of pictures.

        Raises:
            OutputError: if the path is not a folder.
        """
        folder = PngFolder(self.path, self.overwrite, drawn=True)
        if not self.is_file:
            folder.check()
        return folder

    def put(self, folder: PngFolder, image_id: str, png: bytes) -> str:
        """Write a picture and return its path.

        Raises:
            ImageError: if this one cannot be written, but others can.
            OutputError: if none can be written, or the file exists.
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
    on_input: Callable[[], None],
) -> Iterator[PictureResult]:
    """Draw each page of each file, in order.

    Args:
        listing: the inputs.
        options: how images are read and fitted.
        drawing: what the pictures show.
        target: where they are written.
        executor: runs the drawing; closed at the end.
        stop: ends the drawing early.
        on_input: called after each file.

    Raises:
        UsageError: if the target is one picture and there are several.
        OutputError: if a picture cannot be written, or exists already.
        NothingToDoError: if there is no image among the inputs.
    """
    folder = target.folder()
    work = AnalyzeWork(options, executor, partial(draw_page, drawing=drawing))
    with Arrivals(iter(listing)) as arrivals, closing(work):
        if not arrivals.peek(1):
            raise no_inputs_error(work.item, listing.skipped)
        if target.is_file:
            _check_one(arrivals, options, executor, target.path)
        work.prestart(arrivals)
        for _, results in work.results(arrivals, stop):
            for result in results:
                yield _put(result, folder, target)
                if stop():
                    return
            on_input()


def draw_page(
    pixels: NDArray[np.uint8],
    row: StatsRow,
    options: AnalysisOptions,
    started: float,
    source: PageSource,
    drawing: PictureOptions,
) -> DrawnPage:
    """Draw the picture of a page; runs in a worker.

    Args:
        pixels: upright RGB, uint8 (height, width, 3).
        row: the columns that are known.
        options: how the image is fitted.
        started: not used.
        source: not used.
        drawing: what the picture shows.
    """
    raster = fit_image(pixels, options.fit, options.reading.max_image_pixels).raster
    image = draw_image(raster, options.fit.tile, drawing, row.image_id)
    return DrawnPage(row, png=encode_png(image, DRAWN, row.image_id))


def _check_one(
    arrivals: Arrivals[ImageRef], options: AnalysisOptions, executor: Executor, path: str
) -> None:
    """Check that one picture suffices, and does not replace the image it shows.

    Raises:
        UsageError: if there are several files or pages, or the picture is the image itself.
    """
    ref, *others = arrivals.peek(2)
    if others:
        raise UsageError("-o is one picture, but there are several input files; name a folder")
    if ref.file.local_path is not None and is_same_file(ref.file.local_path, path):
        raise UsageError(f"-o {path} is the image itself; use another name")
    try:
        counted: FileCount | None = executor.submit(count_rows, ref, options).result()
    except ImageError:  # reported when the file is drawn
        return
    if counted is not None and counted.rows > 1:
        raise UsageError(
            f"-o is one picture, but the file has {counted.rows:,} pages; name a folder, or choose "
            "a page with --pages"
        )


def _put(result: PageResult, folder: PngFolder, target: PictureTarget) -> PictureResult:
    row = result.row
    if not isinstance(result, DrawnPage):
        return PictureResult(row.image_id, "", error_of(row))
    try:
        path = target.put(folder, row.image_id, result.png)
    except ImageError as error:
        return _failed(row.image_id, error)
    return PictureResult(row.image_id, path, warning=row.warning)


def view_dataset(
    dataset: str,
    image_ids: list[str] | None,
    drawing: PictureOptions,
    target: PictureTarget,
    max_pixels: int = DEFAULT_MAX_IMAGE_PIXELS,
) -> Iterator[PictureResult]:
    """Rebuild the images of a dataset from their patch sets, and draw which tiles were kept.

    Args:
        dataset: a folder that `analyze` wrote.
        image_ids: of the images to draw; None for all.
        drawing: what the pictures show; coders in it are ignored.
        target: where the pictures are written.
        max_pixels: of an image; larger ones are errors.

    Raises:
        UsageError: if there is no dataset, it has no patch sets, or it lacks one of the images.
        OutputError: if a picture cannot be written, or exists already.
        DamagedError: if a file of the dataset is unreadable.
        NothingToDoError: if the dataset has no finished shard.
    """
    if target.is_file and len(set(image_ids or ())) != 1:
        raise UsageError("-o is one picture; choose one image with --image-id, or name a folder")
    folder, files = target.folder(), patch_files(dataset)
    if not files:
        raise NothingToDoError(
            f"{without_secrets(dataset)} has no finished rows; "
            "run the same analyze command to continue"
        )
    for frame in chosen_frame_rows(dataset, files, image_ids):
        row = frame.row
        try:
            stored = frame.stored(max_pixels)
            image = draw_patch_set(stored.patch_set, stored.raster(), drawing)
            path = target.put(folder, row.image_id, encode_png(image, DRAWN, row.image_id))
        except DamagedError as error:
            yield _failed(row.image_id, ImageError(ErrorCode.CORRUPT, str(error)))
        except ImageError as error:
            yield _failed(row.image_id, error)
        else:
            yield PictureResult(row.image_id, path)


def _failed(image_id: str, error: ImageError) -> PictureResult:
    named = ImageError(error.code, with_subject(image_id, error.message))
    return PictureResult(image_id, "", named)
