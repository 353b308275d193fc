"""Qwen2.5-VL as the registry sees it. Imports little; the rest is loaded when a model is read."""

import re
from typing import TYPE_CHECKING, Any

from ppcli.imaging.presets import Preset
from ppcli.models.families.base import Family
from ppcli.models.families.qwen2_5_vl.published_sizes import SIZES, published_config

if TYPE_CHECKING:
    from ppcli.models.families.config_keys import ConfigKeys
    from ppcli.models.families.qwen2_5_vl.model_config import Qwen25VLConfig
    from ppcli.models.families.training_layout import TrainingLayout

_WRAPPED = re.compile(
    r"(?:(?:model|module|_orig_mod)\.)*"
    r"(?:((?:visual|language_model|lm_head)\..+)|((?:layers|embed_tokens|norm)\..+))"
)
_COMPUTED = (".inv_freq", "position_ids")


class Qwen25VL(Family):
    """Qwen2.5-VL."""

    model_types = ("qwen2_5_vl",)
    architectures = ("Qwen2_5_VLForConditionalGeneration",)
    inner_architectures = ("Qwen2_5_VLModel",)
    image_processors = ("Qwen2VLImageProcessor", "Qwen2_5_VLImageProcessor")
    preset_name = "qwen2.5-vl"
    preset = Preset(
        patch_size=14,
        merge_size=2,
        temporal_patch_size=2,
        min_pixels=3_136,
        max_pixels=12_845_056,
        mean=(0.48145466, 0.4578275, 0.40821073),
        std=(0.26862954, 0.26130258, 0.27577711),
    )
    sizes = tuple(SIZES)
    head_tensor = "lm_head.weight"
    embedding_tensor = "model.language_model.embed_tokens.weight"
    trainable = True

    def parse_config(self, config: dict[str, Any]) -> "Qwen25VLConfig":
        """Read a parsed `config.json`."""
        from ppcli.models.families.qwen2_5_vl.configuration import parse_config

        return parse_config(self, config)

    def tied_flags(self, config: dict[str, Any]) -> list[bool]:
        """Read `tie_word_embeddings` at the top level and in `text_config`; either ties."""
        from ppcli.models.families.config_readers import tied_flags

        return sorted(tied_flags(config), reverse=True)

    def config_keys(self) -> "ConfigKeys":
        """Keys of the three sections that are read or without effect."""
        from ppcli.models.families.qwen2_5_vl.configuration import CONFIG_KEYS

        return CONFIG_KEYS

    def canonical_tensor_name(self, stored: str) -> str:
        """Names begin with `model.visual.`, `model.language_model.` or `lm_head.`.

        The published checkpoints begin with `visual.`, `model.` or `lm_head.`. The inner model
        saves names without `model.`; wrappers put `module.` and the like before them.
        """
        wrapped = _WRAPPED.fullmatch(stored)
        if wrapped is None:
            return stored
        if wrapped[2]:
            return f"model.language_model.{wrapped[2]}"
        return wrapped[1] if wrapped[1].startswith("lm_head.") else f"model.{wrapped[1]}"

    def is_ignored_tensor(self, name: str) -> bool:
        """Whether a tensor holds rotary frequencies or position ids."""
        return name.endswith(_COMPUTED)

    def published_config(self, size: str, layers: int | None, image_token: int) -> dict[str, Any]:
        """The `config.json` of a published size, both transformers cut to so many layers."""
        config = published_config(size, layers, image_token)
        return {"architectures": list(self.architectures), **config}

    def training_layout(self, config: Any) -> "TrainingLayout":  # noqa: ANN401
        """How a collator lays out pruned images for transformers' Qwen2.5-VL."""
        from ppcli.models.families.qwen2_5_vl.transformers_training import training_layout

        return training_layout(config)

    def check_transformers(self) -> None:
        """Check that transformers' Qwen2.5-VL takes the positions and windows of patches."""
        from ppcli.models.families.qwen2_5_vl.transformers_training import check_transformers

        check_transformers()
