"""The data of a report."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Quartiles = tuple[float, float, float]
_UNITS = ((18, "E"), (15, "P"), (12, "T"), (9, "G"), (6, "M"), (3, "k"))


def format_saving(full: int, pruned: int, of: str = "") -> str:
    """Format a saving: both numbers in one unit, and the factor between them.

    Args:
        full: with every token.
        pruned: with the kept tokens.
        of: a suffix of the unit, such as "B".
    """
    power, unit = next((one for one in _UNITS if full >= 10 ** one[0]), (0, ""))
    size = 10**power
    return f"{full / size:,.2f} → {pruned / size:,.2f} {unit}{of} ({full / pruned:.2f} ×)"


@dataclass(frozen=True, slots=True)
class ImageGroup:
    """A group of images, by format or folder.

    Attributes:
        name: the format or folder.
        images: number of images.
        tokens, kept: totals.
        keep, unique: quartiles of keep ratio and unique ratio.
    """

    name: str
    images: int
    tokens: int
    kept: int
    keep: Quartiles
    unique: Quartiles


@dataclass(frozen=True, slots=True)
class ModelSaving:
    """The cost of all images in one model, with every token and with the kept ones.

    Attributes:
        model: name of the model.
        vision_flops, prefill_flops, kv_bytes: with every token, with the kept ones.
    """

    model: str
    vision_flops: tuple[int, int]
    prefill_flops: tuple[int, int]
    kv_bytes: tuple[int, int]


@dataclass(frozen=True, slots=True)
class FailureGroup:
    """Failed inputs with the same error code.

    Attributes:
        code: the error code.
        number: number of inputs.
        messages: the first error messages.
    """

    code: str
    number: int
    messages: Sequence[str]


@dataclass(frozen=True, slots=True)
class ImageAnswer:
    """A prompt about an image, and the model's answer.

    Attributes:
        prompt: the prompt.
        answer: the answer.
        error: the error message; empty if there is an answer.
    """

    prompt: str
    answer: str
    error: str


@dataclass(frozen=True, slots=True)
class ImageSummary:
    """One image of a report.

    Attributes:
        image_id: identity of the image.
        format: format of its file.
        tokens, kept: number of tiles, and of kept tiles.
        keep_ratio, unique_ratio: kept and distinct tiles over all tiles.
        picture: the image with its pruned tiles faded, as a data URI; may be empty.
        answers: prompts and answers about it.
    """

    image_id: str
    format: str
    tokens: int
    kept: int
    keep_ratio: float
    unique_ratio: float
    picture: str = ""
    answers: Sequence[ImageAnswer] = ()


@dataclass(frozen=True, slots=True, eq=False)
class ReportData:
    """All data of a report.

    Attributes:
        name: name of the dataset.
        config: a description of the options it was made with.
        finished: whether the run is finished.
        has_pictures: whether the dataset has patch sets.
        images: number of coded images.
        failed: number of failed inputs.
        tokens, kept, unique: totals over all images.
        kept_intra: likewise, what frames of sequences keep by themselves; None without sequences.
        median_keep, median_unique: medians of keep ratio and unique ratio.
        keep_counts, unique_counts: histograms of both ratios, int64, equal bins of [0, 1].
        formats, folders: the largest groups.
        folders_left: number of folders that are not among the groups.
        savings: one per model.
        failures: one per error code, the most frequent first.
        most, least: the most and the least redundant images, with pictures.
        listed: the images of the table.
    """

    name: str
    config: str
    finished: bool
    has_pictures: bool
    images: int
    failed: int
    tokens: int
    kept: int
    kept_intra: int | None
    unique: int
    median_keep: float
    median_unique: float
    keep_counts: NDArray[np.int64]
    unique_counts: NDArray[np.int64]
    formats: Sequence[ImageGroup]
    folders: Sequence[ImageGroup]
    folders_left: int
    savings: Sequence[ModelSaving]
    failures: Sequence[FailureGroup]
    most: Sequence[ImageSummary] = field(default_factory=list)
    least: Sequence[ImageSummary] = field(default_factory=list)
    listed: Sequence[ImageSummary] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class SweptSetting:
    """One setting of a sweep.

    Attributes:
        method, metric: of the setting.
        asked: the threshold that was asked for, in words.
        levels: the same in levels of 255; None for a threshold that each image chooses.
        tokens, kept: totals over all images.
        mean: mean keep ratio.
        percentiles: 10th, 50th and 90th percentile of the keep ratio.
        milliseconds: time to select the tiles of the median image.
        shares: kept over all tokens of the images of each of the largest formats.
    """

    method: str
    metric: str
    asked: str
    levels: float | None
    tokens: int
    kept: int
    mean: float
    percentiles: Quartiles
    milliseconds: float
    shares: Sequence[float]

    @property
    def label(self) -> str:
        """Method and metric, which a line of a chart has in common."""
        return f"{self.method}, {self.metric}"

    @property
    def share(self) -> float:
        """Kept tokens over all tokens."""
        return self.kept / self.tokens

    @property
    def median(self) -> float:
        """Keep ratio of the median image."""
        return self.percentiles[1]


@dataclass(frozen=True, slots=True)
class SweepData:
    """All data of a report about a sweep.

    Attributes:
        name: name of the dataset.
        config: a description of the options it was made with.
        finished: whether the run is finished.
        images: number of images.
        failed: number of failed pages.
        tokens: total over all images.
        settings: in the order of the rows.
        formats: the largest formats, with their numbers of images.
        failures: one per error code, the most frequent first.
    """

    name: str
    config: str
    finished: bool
    images: int
    failed: int
    tokens: int
    settings: Sequence[SweptSetting]
    formats: Sequence[tuple[str, int]]
    failures: Sequence[FailureGroup]
