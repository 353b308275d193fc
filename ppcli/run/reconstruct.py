"""`reconstruct`: patch sets back to PNG files."""

from collections.abc import Iterator
from dataclasses import dataclass

from PIL import Image

from ppcli.errors import DamagedError
from ppcli.store.codec import unpack
from ppcli.store.pictures import PictureFolder, png_of, put_picture
from ppcli.store.reader import patch_files, read_patch_rows


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """One patch set: the file it went to, or why it could not."""

    image_id: str
    path: str
    error: str | None = None


def reconstruct(dataset: str, folder: str, overwrite: bool = False) -> Iterator[Rebuilt]:
    """Write every patch set of a dataset as a PNG below a folder, padding cropped.

    Args:
        dataset: a dataset folder or one of its patch files.
        folder: where the PNG files go; they never go outside it.
        overwrite: whether files that stand there may be replaced.

    Yields:
        One entry for each patch set, in the dataset's order.

    Raises:
        UsageError: when there is no dataset, or one without patch sets.
        OutputError: when a file exists or cannot be written.
        DamagedError: when a file of the dataset is unreadable.
    """
    pictures = PictureFolder(folder)
    for file in patch_files(dataset):
        for row in read_patch_rows(file):
            path = pictures.path_of(row.image_id)
            try:
                image = unpack(row).image()
            except DamagedError as error:
                yield Rebuilt(row.image_id, path, str(error))
                continue
            put_picture(path, png_of(Image.fromarray(image)), overwrite)
            yield Rebuilt(row.image_id, path)
