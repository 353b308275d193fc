"""What a model spends on the tokens of images, before one is run."""

import os
from dataclasses import dataclass

import xxhash

from ppcli.errors import UsageError, did_you_mean
from ppcli.models.families.qwen3_vl.configuration import ModelConfig
from ppcli.models.families.qwen3_vl.image_processor import PREPROCESSOR, image_preset
from ppcli.models.families.qwen3_vl.operations import decoder_operations, vision_operations
from ppcli.models.model_choices import ModelSize

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
        limits: least and most pixels of its images, where its folder tells.
    """

    name: str
    config: ModelConfig
    limits: tuple[int, int] | None = None

    @classmethod
    def of(cls, name: str) -> "NamedModel":
        """A published size, or a folder with a `config.json` and the settings of its images.

        Raises:
            UsageError: for a name that is neither.
            ModelError: when the folder is of no model that is supported.
        """
        if name in list(ModelSize):
            from ppcli.models.onnx.random_weights import (
                config_of,  # it brings the whole export along
            )

            return cls(name, config_of(ModelSize(name)))
        if not os.path.isdir(name):
            known = ", ".join(ModelSize)
            near = did_you_mean(name, ModelSize)
            raise UsageError(f"{name} is neither a model directory nor one of {known}{near}")
        config = ModelConfig.read(name)
        if not os.path.exists(os.path.join(name, PREPROCESSOR)):
            return cls(name, config)
        preset = image_preset(name, config.vision)
        return cls(name, config, (preset.min_pixels, preset.max_pixels))

    @property
    def identity(self) -> str:
        """What tells it from other models: of a folder its last name and a digest of the sizes."""
        if self.name in list(ModelSize):
            return self.name
        sizes = repr((self.config.vision, self.config.text))
        folder = os.path.basename(os.path.abspath(self.name))
        return f"{folder} {xxhash.xxh3_64_hexdigest(sizes.encode())}"

    @property
    def tile(self) -> int:
        """Side of a tile in pixels."""
        return self.config.vision.patch_size * self.config.vision.merge_size

    def check_fit(self, tile: int, limits: tuple[int, int] | None) -> None:
        """See that it would be given the images as they are fitted.

        Args:
            tile: side of their tiles in pixels.
            limits: least and most pixels that they are resampled to; None where they are padded.

        Raises:
            UsageError: with what makes them fit.
        """
        if self.tile != tile:
            raise UsageError(
                f"{self.name} has tiles of {self.tile} pixels, and the images are cut into {tile}; "
                "analyze them with the --preset of the model"
            )
        if limits is not None and self.limits is not None and limits != self.limits:
            least, most = self.limits
            raise UsageError(
                f"{self.name} sees its images in other sizes; analyze them with "
                f"--min-pixels {least} --max-pixels {most}"
            )

    def costs(self, tokens: int) -> Costs:
        """Of an image with so many tokens, pruned ones left out."""
        vision, text = self.config.vision, self.config.text
        numbers = 2 * text.num_layers * text.num_kv_heads * text.head_size
        return Costs(
            vision_operations(vision, tokens * vision.merge_size**2),
            decoder_operations(self.config, tokens),
            numbers * _BYTES_OF_VALUE * tokens,
        )
