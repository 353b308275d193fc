"""What a report says, in numbers."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Quartiles = tuple[float, float, float]
_UNITS = ((18, "E"), (15, "P"), (12, "T"), (9, "G"), (6, "M"), (3, "k"))


def saved(full: int, pruned: int, of: str = "") -> str:
    """Two large numbers in one unit, and how many times less the second one is."""
    power, unit = next((one for one in _UNITS if full >= 10 ** one[0]), (0, ""))
    size = 10**power
    return f"{full / size:,.2f} → {pruned / size:,.2f} {unit}{of} ({full / pruned:.2f} ×)"


@dataclass(frozen=True, slots=True)
class Group:
    """Images that have something in common.

    Attributes:
        name: what they have in common.
        images: how many.
        tokens, kept: summed.
        keep, unique: quartiles of the ratios of the images.
    """

    name: str
    images: int
    tokens: int
    kept: int
    keep: Quartiles
    unique: Quartiles


@dataclass(frozen=True, slots=True)
class Saving:
    """What one model spends on all images, with every token and with the kept ones.

    Attributes:
        model: its name.
        vision_flops, prefill_flops, kv_bytes: with every token, and with the kept ones.
    """

    model: str
    vision_flops: tuple[int, int]
    prefill_flops: tuple[int, int]
    kv_bytes: tuple[int, int]


@dataclass(frozen=True, slots=True)
class FailureKind:
    """Inputs that failed for one reason.

    Attributes:
        code: of the reason.
        number: how many there are.
        messages: of the first of them.
    """

    code: str
    number: int
    messages: Sequence[str]


@dataclass(frozen=True, slots=True)
class Said:
    """A question about an image.

    Attributes:
        prompt: what was asked.
        answer: of the model.
        error: why there is no answer; empty where there is one.
    """

    prompt: str
    answer: str
    error: str


@dataclass(frozen=True, slots=True)
class ImageFigures:
    """One image.

    Attributes:
        image_id: of it.
        format: of its file.
        tokens, kept: of it.
        keep_ratio, unique_ratio: of it.
        picture: its overlay as a data URI; empty where there is none.
        answers: to what was asked about it.
    """

    image_id: str
    format: str
    tokens: int
    kept: int
    keep_ratio: float
    unique_ratio: float
    picture: str = ""
    answers: Sequence[Said] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Figures:
    """All that a report says.

    Attributes:
        name: of the dataset.
        config: the options that it was made with, as words.
        finished: whether its run has come to its end.
        has_pictures: whether it has patch sets.
        images: that were coded.
        failed: that were not.
        tokens, kept, unique: of all images, summed.
        median_keep, median_unique: of the ratios of the images.
        keep_counts, unique_counts: images by ratio, int64, equal parts of [0, 1].
        formats, folders: the larger ones.
        folders_left: how many folders are not among them.
        savings: by model.
        failures: by kind, the most frequent first.
        most, least: the most and the least redundant images, with their pictures.
        listed: images of the table.
    """

    name: str
    config: str
    finished: bool
    has_pictures: bool
    images: int
    failed: int
    tokens: int
    kept: int
    unique: int
    median_keep: float
    median_unique: float
    keep_counts: NDArray[np.int64]
    unique_counts: NDArray[np.int64]
    formats: Sequence[Group]
    folders: Sequence[Group]
    folders_left: int
    savings: Sequence[Saving]
    failures: Sequence[FailureKind]
    most: Sequence[ImageFigures] = field(default_factory=list)
    least: Sequence[ImageFigures] = field(default_factory=list)
    listed: Sequence[ImageFigures] = field(default_factory=list)
