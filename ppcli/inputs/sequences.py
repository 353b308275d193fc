"""Marks the images that are worked on together, since they are the frames of a sequence."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from ppcli.inputs.containers.container_kinds import SEPARATOR
from ppcli.inputs.listing import Listing
from ppcli.inputs.refs import ImageRef


@dataclass(frozen=True, slots=True)
class Sequences:
    """The images of a listing, with marks where a sequence ends.

    An image is yielded once it is known what follows it.

    Attributes:
        listing: the images.
        by_folder: whether the images of another folder are another sequence.
        most: images in a sequence; the next one begins a new sequence.
    """

    listing: Listing
    by_folder: bool
    most: int

    @property
    def skipped(self) -> int:
        """How many files in folders were skipped so far."""
        return self.listing.skipped

    @property
    def repeated(self) -> str:
        """The new name of the first image, so far, whose name had come before; else empty."""
        return self.listing.repeated

    @property
    def incomplete(self) -> str:
        """Why images may be missing that still exist, once all have come; else empty."""
        return self.listing.incomplete

    def __iter__(self) -> Iterator[ImageRef]:
        """Yield the images."""
        images = iter(self.listing)
        now = next(images, None)
        count = 0
        while now is not None:
            following, count = next(images, None), count + 1
            is_last = following is None or count == self.most or self._parts(now, following)
            count = 0 if is_last else count
            yield replace(now, ends_sequence=is_last)
            now = following

    def _parts(self, one: ImageRef, other: ImageRef) -> bool:
        return self.by_folder and _folder(one) != _folder(other)


def _folder(ref: ImageRef) -> str:
    """Return the folder of an image, or its container and the folder in that."""
    container, separator, name = ref.image_id.rpartition(SEPARATOR)
    return container + separator + name.rpartition("/")[0]
