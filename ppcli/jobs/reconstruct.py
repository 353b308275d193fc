"""`reconstruct`: patch sets back to PNG files."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from PIL import Image

from ppcli.errors import DamagedError, ImageError
from ppcli.imaging.image_choices import DEFAULT_MAX_IMAGE_PIXELS
from ppcli.inputs.marks import REBUILT
from ppcli.store.patch_codec import from_patch_row
from ppcli.store.png_folder import PngFolder, encode_png
from ppcli.store.reader import chosen_patch_rows, count_patch_sets, patch_files


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """One patch set: the file it went to, or why it could not."""

    image_id: str
    path: str
    error: str | None = None


def reconstruct(
    dataset: str,
    folder: str,
    overwrite: bool = False,
    image_ids: Sequence[str] | None = None,
    most_pixels: int = DEFAULT_MAX_IMAGE_PIXELS,
    on_image: Callable[[int, int], None] = lambda done, total: None,
) -> Iterator[Rebuilt]:
    """Write patch sets of a dataset as PNG files below a folder, padding cropped.

    Args:
        dataset: a dataset folder or one of its patch files.
        folder: where the PNG files go; they never go outside it.
        overwrite: whether earlier pictures of the same images may be replaced.
        image_ids: which images; None for all.
        most_pixels: the most that a raster may have.
        on_image: told after each image how many of how many are done.

    Yields:
        One entry for each patch set, in the dataset's order.

    Raises:
        UsageError: when there is no dataset, one without patch sets, or not such an image.
        OutputError: when a file stands there, or none can be written.
        DamagedError: when a file of the dataset is unreadable.
    """
    pictures, files = PngFolder(folder, overwrite), patch_files(dataset)
    pictures.check()
    total = count_patch_sets(files) if image_ids is None else len(set(image_ids))
    rows = chosen_patch_rows(dataset, files, image_ids)
    for done, row in enumerate(rows, 1):
        path = pictures.path_of(row.image_id)
        try:
            image = from_patch_row(row, most_pixels).image()
            pictures.put(path, encode_png(Image.fromarray(image), REBUILT, row.image_id))
        except (DamagedError, ImageError) as error:
            yield Rebuilt(row.image_id, path, str(error))
        else:
            yield Rebuilt(row.image_id, path)
        on_image(done, total)
