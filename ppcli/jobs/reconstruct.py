"""The job of `reconstruct`: patch sets back to PNG files."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from PIL import Image

from ppcli.errors import DamagedError, ImageError
from ppcli.imaging.image_choices import DEFAULT_MAX_IMAGE_PIXELS
from ppcli.inputs.marks import REBUILT
from ppcli.store.patch_sets import chosen_frame_rows
from ppcli.store.png_folder import PngFolder, encode_png
from ppcli.store.reader import count_patch_sets, patch_files


@dataclass(frozen=True, slots=True)
class ReconstructedImage:
    """The outcome for one patch set.

    Attributes:
        image_id: of the image.
        path: of the PNG file.
        error: why it could not be written; None if it was.
    """

    image_id: str
    path: str
    error: str | None = None


def reconstruct(
    dataset: str,
    folder: str,
    overwrite: bool = False,
    image_ids: Sequence[str] | None = None,
    max_pixels: int = DEFAULT_MAX_IMAGE_PIXELS,
    on_image: Callable[[int, int], None] = lambda done, total: None,
) -> Iterator[ReconstructedImage]:
    """Write the images of a dataset as PNG files, without their padding.

    Args:
        dataset: a dataset folder or one of its patch files.
        folder: for the PNG files; none is written outside it.
        overwrite: whether earlier pictures of the same images may be replaced.
        image_ids: of the images to write; None for all.
        max_pixels: of an image; larger ones are errors.
        on_image: called after each image with the number of finished images and of all images.

    Yields:
        One result for each patch set, in the order of the dataset.

    Raises:
        UsageError: if there is no dataset, it has no patch sets, or it lacks one of the images.
        OutputError: if a file exists, or none can be written.
        DamagedError: if a file of the dataset is unreadable.
    """
    pictures, files = PngFolder(folder, overwrite), patch_files(dataset)
    pictures.check()
    total = count_patch_sets(files) if image_ids is None else len(set(image_ids))
    frames = chosen_frame_rows(dataset, files, image_ids)
    for done, frame in enumerate(frames, 1):
        row = frame.row
        path = pictures.path_of(row.image_id)
        try:
            image = frame.stored(max_pixels).image()
            pictures.put(path, encode_png(Image.fromarray(image), REBUILT, row.image_id))
        except (DamagedError, ImageError) as error:
            yield ReconstructedImage(row.image_id, path, str(error))
        else:
            yield ReconstructedImage(row.image_id, path)
        on_image(done, total)
