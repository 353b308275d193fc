"""Image processor settings of a model."""

from dataclasses import dataclass

Triple = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Preset:
    """Settings of a model's image processor.

    Attributes:
        patch_size: P, side of a patch in pixels.
        merge_size: M; M×M patches become one token.
        temporal_patch_size: number of times that an image is repeated along the time axis.
        min_pixels: smaller images are enlarged.
        max_pixels: larger images are reduced.
        mean: mean of each channel, after rescaling.
        std: standard deviation of each channel, after rescaling.
        rescale_factor: factor applied to levels in [0, 255] before normalization.
    """

    patch_size: int
    merge_size: int
    temporal_patch_size: int
    min_pixels: int
    max_pixels: int
    mean: Triple
    std: Triple
    rescale_factor: float = 1 / 255
