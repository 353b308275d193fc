"""Qwen3.5 as the registry sees it. Imports little; the rest is loaded when a model is read."""

from typing import TYPE_CHECKING, Any

from ppcli.models.families.qwen3_5.published_sizes import SIZES, published_config
from ppcli.models.families.qwen3_vl.family import Qwen3VL

if TYPE_CHECKING:
    from ppcli.models.families.config_keys import ConfigKeys
    from ppcli.models.families.qwen3_5.model_config import Qwen35Config

_GUESSING_HEAD = "mtp."  # it guesses further tokens (MTP)


class Qwen35(Qwen3VL):
    """Qwen3.5, dense, and its successors of the same architecture.

    Images, names of tensors and positions are those of Qwen3-VL.
    """

    model_types = ("qwen3_5",)
    architectures = ("Qwen3_5ForConditionalGeneration",)
    inner_architectures = ("Qwen3_5Model",)
    preset_name = "qwen3.5"
    sizes = tuple(SIZES)

    def parse_config(self, config: dict[str, Any]) -> "Qwen35Config":
        """Read a parsed `config.json`."""
        from ppcli.models.families.qwen3_5.configuration import parse_config

        return parse_config(self, config)

    def config_keys(self) -> "ConfigKeys":
        """Keys of the three sections that are read or without effect."""
        from ppcli.models.families.qwen3_5.configuration import CONFIG_KEYS

        return CONFIG_KEYS

    def is_ignored_tensor(self, name: str) -> bool:
        """Whether a tensor holds rotary frequencies, position ids, or a part of MTP."""
        return name.startswith(_GUESSING_HEAD) or super().is_ignored_tensor(name)

    def published_config(self, size: str, layers: int | None, image_token: int) -> dict[str, Any]:
        """The `config.json` of a published size, both transformers cut to so many layers."""
        config = published_config(size, layers, image_token)
        return {"architectures": list(self.architectures), **config}
