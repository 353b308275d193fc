"""What a model spends on the tokens of images, before one is run."""

import os
from dataclasses import dataclass

from ppcli.errors import UsageError
from ppcli.vlm.choices import ModelSize
from ppcli.vlm.config import ModelConfig
from ppcli.vlm.operations import decoder_operations, vision_operations

_BYTES_OF_VALUE = 2  # keys and values in float16 or bfloat16


@dataclass(frozen=True, slots=True)
class Costs:
    """Of the tokens of one image, without those of text.

    Attributes:
        vision_flops: multiplications and additions of the vision transformer.
        prefill_flops: of the language model, until its first token.
        kv_bytes: keys and values that it keeps of them, two bytes a number.
    """

    vision_flops: int
    prefill_flops: int
    kv_bytes: int


@dataclass(frozen=True, slots=True)
class NamedModel:
    """A model that is only counted with.

    Attributes:
        name: as the user calls it.
        config: its sizes.
    """

    name: str
    config: ModelConfig

    @classmethod
    def of(cls, name: str) -> "NamedModel":
        """A published size, or a folder with a `config.json`.

        Raises:
            UsageError: for a name that is neither.
            ModelError: when the folder is of no model that is supported.
        """
        if name in list(ModelSize):
            from ppcli.vlm.random_model import config_of  # it brings the whole export along

            return cls(name, config_of(ModelSize(name)))
        if not os.path.isdir(name):
            known = ", ".join(ModelSize)
            raise UsageError(f"{name} is neither a model directory nor one of {known}")
        return cls(name, ModelConfig.read(name))

    @property
    def tile(self) -> int:
        """Side of a tile in pixels."""
        return self.config.vision.patch_size * self.config.vision.merge_size

    def costs(self, tokens: int) -> Costs:
        """Of an image with so many tokens, pruned ones left out."""
        vision, text = self.config.vision, self.config.text
        numbers = 2 * text.num_layers * text.num_kv_heads * text.head_size
        return Costs(
            vision_operations(vision, tokens * vision.merge_size**2),
            decoder_operations(self.config, tokens),
            numbers * _BYTES_OF_VALUE * tokens,
        )
