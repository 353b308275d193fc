"""Decides which files of a folder are inputs, where the extension does not tell."""

from ppcli.errors import ImageError
from ppcli.files import OpenFile, PathKind
from ppcli.inputs.input_places import Place, place_of
from ppcli.inputs.marks import FOLDER_MARK, PICTURE_EXTENSION, is_drawn, is_folder_of_drawn
from ppcli.inputs.object_file import open_in_parts
from ppcli.inputs.sniff import has_image_extension, has_image_signature
from ppcli.inputs.walk import Entry


def is_folder_for_pictures(place: Place, folder: str) -> bool:
    """Return whether `view` made a folder, so that its pictures are inputs when it is named."""
    if not place.is_far:
        return is_folder_of_drawn(folder)
    return place.kind_of(place.join(folder, FOLDER_MARK)) is PathKind.FILE


def may_be_drawn(entry: Entry) -> bool:
    """Return whether `view` may have drawn a file in a folder that it did not create.

    It writes no pictures to stores, where looking into each file would take a request.
    """
    if entry.state is not None:
        return False
    path = entry.path
    return path.lower().endswith(PICTURE_EXTENSION) or not has_image_extension(path)


def has_image(entry: Entry, unless_drawn: bool) -> bool:
    """Return whether a file in a folder is an input by its content. It is opened once.

    Args:
        entry: the file. With the extension of an image it is an input, unless `view` drew it.
        unless_drawn: refuse pictures that `view` drew.
    """
    named = has_image_extension(entry.path)
    try:
        with _opened(entry) as file:
            if not named and not has_image_signature(file):
                return False
            return not (unless_drawn and is_drawn(file))
    except ImageError:
        return named


def _opened(entry: Entry) -> OpenFile:
    if entry.state is not None:
        return open_in_parts(entry.path, entry.state)
    return place_of(entry.path).file(entry.path, entry.kind).open()
