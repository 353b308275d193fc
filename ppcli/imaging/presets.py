"""Image processor settings of each model family."""

from dataclasses import dataclass

from ppcli.errors import UsageError, did_you_mean

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
        rescale_factor: factor applied to levels in [0, 255] before normalisation.
    """

    patch_size: int
    merge_size: int
    temporal_patch_size: int
    min_pixels: int
    max_pixels: int
    mean: Triple
    std: Triple
    rescale_factor: float = 1 / 255


PRESETS = {
    "qwen3-vl": Preset(16, 2, 2, 65_536, 16_777_216, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    "qwen2.5-vl": Preset(
        14,
        2,
        2,
        3_136,
        12_845_056,
        (0.48145466, 0.4578275, 0.40821073),
        (0.26862954, 0.26130258, 0.27577711),
    ),
}
DEFAULT_PRESET = "qwen3-vl"


def get_preset(name: str) -> Preset:
    """Return the preset with a name.

    Raises:
        UsageError: there is none; the message lists the known names.
    """
    if name not in PRESETS:
        near = did_you_mean(name, PRESETS)
        raise UsageError(f"unknown preset {name!r}; known: {', '.join(PRESETS)}{near}")
    return PRESETS[name]
