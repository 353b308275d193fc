"""What each family of models does with an image before its first layer."""

from dataclasses import dataclass

from ppcli.errors import UsageError, did_you_mean

Triple = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Preset:
    """The numbers of a model's image processor.

    Attributes:
        patch_size: P, pixels.
        merge_size: M; M×M patches become one token.
        temporal_patch_size: how often a still image is repeated over time.
        min_pixels: smaller images are enlarged.
        max_pixels: larger images are reduced.
        mean: of each channel, of values in [0, 1] mostly.
        std: of each channel.
        rescale_factor: of a level in [0, 255], what makes it a value of those.
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


def preset_named(name: str) -> Preset:
    """The preset of that name.

    Raises:
        UsageError: naming the known ones.
    """
    if name not in PRESETS:
        near = did_you_mean(name, PRESETS)
        raise UsageError(f"there is no preset {name!r}; known: {', '.join(PRESETS)}{near}")
    return PRESETS[name]
