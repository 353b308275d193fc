"""Qwen3-VL as the registry sees it. Imports little; the rest is loaded when a model is read."""

import re
from typing import TYPE_CHECKING, Any

from ppcli.imaging.presets import Preset
from ppcli.models.families.base import Family, ModelConfig
from ppcli.models.families.qwen3_vl.published_sizes import SIZES, published_config

if TYPE_CHECKING:
    from ppcli.models.families.config_keys import ConfigKeys
    from ppcli.models.families.training_layout import TrainingLayout

_WRAPPED = re.compile(r"(?:(?:model|module|_orig_mod)\.)*((?:visual|language_model|lm_head)\..+)")
_COMPUTED = (".inv_freq", "position_ids")


class Qwen3VL(Family):
    """Qwen3-VL, dense."""

    model_types = ("qwen3_vl",)
    architectures = ("Qwen3VLForConditionalGeneration",)
    inner_architectures = ("Qwen3VLModel",)
    image_processors = (
        "Qwen2VLImageProcessor",
        "Qwen2_5_VLImageProcessor",
        "Qwen3VLImageProcessor",
    )
    preset_name = "qwen3-vl"
    preset = Preset(
        patch_size=16,
        merge_size=2,
        temporal_patch_size=2,
        min_pixels=65_536,
        max_pixels=16_777_216,
        mean=(0.5, 0.5, 0.5),
        std=(0.5, 0.5, 0.5),
    )
    sizes = tuple(SIZES)
    head_tensor = "lm_head.weight"
    embedding_tensor = "model.language_model.embed_tokens.weight"
    trainable = True

    def parse_config(self, config: dict[str, Any]) -> ModelConfig:
        """Read a parsed `config.json`."""
        from ppcli.models.families.qwen3_vl.configuration import parse_config

        return parse_config(self, config)

    def tied_flags(self, config: dict[str, Any]) -> list[bool]:
        """Read `tie_word_embeddings` at the top level and in `text_config`."""
        from ppcli.models.families.config_readers import tied_flags

        return tied_flags(config)

    def config_keys(self) -> "ConfigKeys":
        """Keys of the three sections that are read or without effect."""
        from ppcli.models.families.qwen3_vl.configuration import CONFIG_KEYS

        return CONFIG_KEYS

    def canonical_tensor_name(self, stored: str) -> str:
        """Names begin with `model.visual.`, `model.language_model.` or `lm_head.`.

        The inner model saves them without `model.`; wrappers put `module.` and the like before it.
        """
        wrapped = _WRAPPED.fullmatch(stored)
        if wrapped is None:
            return stored
        return wrapped[1] if wrapped[1].startswith("lm_head.") else f"model.{wrapped[1]}"

    def is_ignored_tensor(self, name: str) -> bool:
        """Whether a tensor holds rotary frequencies or position ids."""
        return name.endswith(_COMPUTED)

    def published_config(self, size: str, layers: int | None, image_token: int) -> dict[str, Any]:
        """The `config.json` of a published size, both transformers cut to so many layers."""
        config = published_config(size, layers, image_token)
        return {"architectures": list(self.architectures), **config}

    def training_layout(self, config: Any) -> "TrainingLayout":  # noqa: ANN401
        """How a collator lays out pruned images for transformers' own class."""
        from ppcli.models.families.qwen3_vl.transformers_training import training_layout

        return training_layout(config)

    def check_transformers(self) -> None:
        """Check that transformers' own class takes the positions of patches."""
        from ppcli.models.families.qwen3_vl.transformers_training import check_transformers

        check_transformers(self.inner_architectures[0])
