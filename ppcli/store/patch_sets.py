"""Reads the patch sets of a dataset."""

import os
from collections.abc import Collection, Iterator, Sequence

from ppcli.arguments import as_int, as_path, as_text_list
from ppcli.errors import DamagedError, ImageError, UsageError, bounded
from ppcli.imaging.image_choices import DEFAULT_MAX_IMAGE_PIXELS
from ppcli.inputs.refs import escape_name
from ppcli.store.frame_rows import FrameRow, read_frame_rows
from ppcli.store.patch_codec import StoredPatchSet
from ppcli.store.places.place import Place, place_of
from ppcli.store.reader import patch_files


def chosen_frame_rows(
    dataset: str, files: Sequence[Place], image_ids: Collection[str] | None
) -> Iterator[FrameRow]:
    """Iterate over the patch sets of some images or of all.

    Args:
        dataset: path of the dataset, for messages.
        files: its patch-set files.
        image_ids: ids of the images, as the system spells them or escaped; None reads all.

    Raises:
        UsageError: an id does not exist; raised after the other rows.
        DamagedError: a file is unreadable, or a checksum does not match.
    """
    wanted = None if image_ids is None else {_as_stored(one) for one in image_ids}
    missing = set(wanted or ())
    for file in files:
        for frame in read_frame_rows(file, wanted):
            missing.discard(frame.row.image_id)
            yield frame
    if missing:
        raise UsageError(
            f"{place_of(dataset)} has no patch set of {', '.join(map(bounded, sorted(missing)))}; "
            "use ids from the column image_id, with #N for pages"
        )


def _as_stored(image_id: str) -> str:
    """Return an id as datasets spell it, for a name that is not UTF-8."""
    try:
        image_id.encode()
    except UnicodeEncodeError:
        return escape_name(image_id)
    return image_id


def read_patch_sets(
    path: str | os.PathLike[str],
    image_ids: Collection[str] | None = None,
    *,
    max_image_pixels: int = DEFAULT_MAX_IMAGE_PIXELS,
) -> Iterator[StoredPatchSet]:
    """Iterate over the patch sets of a dataset, in the order in which they were written.

    Rows are read one after another, with few of them in memory. Page checksums are verified.

    Args:
        path: a dataset folder of `analyze`, or one of its patch-set files.
        image_ids: ids of the images to read, from the column `image_id`; None reads all. Unknown
            ids are ignored.
        max_image_pixels: most pixels of a raster. Larger ones raise an error before memory is
            allocated for them, so that untrusted datasets can be read.

    Returns:
        An iterator of `StoredPatchSet`. `.patch_set` is the `PatchSet`: `.patch_set.keep` bool
        (grid_h, grid_w) and `.patch_set.tiles` uint8 (kept, tile, tile, 3). `.image()` rebuilds
        the image without padding: uint8 (fitted_height, fitted_width, 3). `.raster()` rebuilds it
        with padding. Both compare the stored digest.

    Raises:
        UsageError: the path is not a dataset with patch sets, or `image_ids` is a single string.
        DamagedError: a file or a patch set is damaged.
        ImageError: `too_large`: a raster has more than `max_image_pixels`.

    Examples:
        After `pixelprune analyze blank.png -o out`, with a white page of 320 × 256 pixels:

        >>> from ppcli import read_patch_sets
        >>> for stored in read_patch_sets("out"):
        ...     print(stored.image_id, stored.patch_set.keep_ratio)
        blank.png 0.0125
    """
    path = as_path(path, "path")
    image_ids = None if image_ids is None else as_text_list(image_ids, "image_ids")
    as_int(max_image_pixels, "max_image_pixels", 1)
    return _patch_sets(path, image_ids, max_image_pixels)


def _patch_sets(
    path: str, image_ids: Collection[str] | None, most: int
) -> Iterator[StoredPatchSet]:
    for file in patch_files(path):
        for frame in read_frame_rows(file, image_ids):
            image_id = bounded(frame.row.image_id)
            try:
                yield frame.stored(most)
            except DamagedError as error:
                raise DamagedError(f"{file}, {image_id}: {error}") from error
            except ImageError as error:
                message = f"{file}, {image_id}: {error.message}"
                raise ImageError(error.code, message) from error
