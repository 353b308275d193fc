"""Estimates what a model spends on the tokens of images, without running it."""

import math
import os
from dataclasses import dataclass

import xxhash

from ppcli.errors import UsageError, did_you_mean
from ppcli.models.checkpoints.preprocessor_config import PREPROCESSOR, image_preset
from ppcli.models.families.base import ModelConfig
from ppcli.models.families.family_registry import PUBLISHED_SIZES, published_config, read_config

_BYTES_PER_VALUE = 2  # keys and values in float16 or bfloat16


@dataclass(frozen=True, slots=True)
class Costs:
    """What the tokens of one image cost; those of the text are not included.

    Attributes:
        vision_flops: multiplications and additions of the vision transformer.
        prefill_flops: multiplications and additions of the language model's prefill.
        kv_bytes: size of the image's keys and values, at two bytes a number.
    """

    vision_flops: int
    prefill_flops: int
    kv_bytes: int


@dataclass(frozen=True, slots=True)
class NamedModel:
    """A model whose costs are estimated.

    Attributes:
        name: as the user gave it.
        config: its sizes.
        limits: minimum and maximum pixels of its images, if its folder has them.
    """

    name: str
    config: ModelConfig
    limits: tuple[int, int] | None = None

    @classmethod
    def of(cls, name: str) -> "NamedModel":
        """Find a published size, or read the settings of a checkpoint or model directory.

        Raises:
            UsageError: if the name is neither.
            ModelError: if the model in the folder is not supported.
        """
        if name in PUBLISHED_SIZES:
            return cls(name, published_config(name))
        if not os.path.isdir(name):
            known = ", ".join(PUBLISHED_SIZES)
            near = did_you_mean(name, PUBLISHED_SIZES)
            raise UsageError(f"{name} is neither a model directory nor one of {known}{near}")
        config = read_config(name)
        if not os.path.exists(os.path.join(name, PREPROCESSOR)):
            return cls(name, config)
        preset = image_preset(name, config)
        return cls(name, config, (preset.min_pixels, preset.max_pixels))

    @property
    def identity(self) -> str:
        """What datasets record: a published size, or a folder's last name and a digest."""
        if self.name in PUBLISHED_SIZES:
            return self.name
        folder = os.path.basename(os.path.abspath(self.name))
        return f"{folder} {xxhash.xxh3_64_hexdigest(self.config.size_signature.encode())}"

    @property
    def tile(self) -> int:
        """Side of a tile in pixels."""
        return self.config.tile

    def check_fit(self, tile: int, limits: tuple[int, int] | None) -> None:
        """Check that images are fitted as the model expects them.

        Args:
            tile: side of their tiles in pixels.
            limits: minimum and maximum pixels that they are resampled to; None if they are padded.

        Raises:
            UsageError: with the options that make them fit.
        """
        if self.tile != tile:
            raise UsageError(
                f"{self.name} has tiles of {self.tile} pixels, but the images are cut into tiles "
                f"of {tile}; analyze them with the --preset of the model"
            )
        if limits is not None and self.limits is not None and limits != self.limits:
            least, most = self.limits
            raise UsageError(
                f"{self.name} resizes images to other limits; analyze them with "
                f"--min-pixels {least} --max-pixels {most}"
            )

    def costs(self, tokens: int) -> Costs:
        """Estimate the costs of an image with this many kept tokens."""
        numbers = sum(
            math.prod(tensor.shape_for(tokens))
            for cache in self.config.caches
            for tensor in cache.tensors
            if tensor.grows
        )
        return Costs(
            self.config.vision_operations(tokens * self.config.merge_size**2),
            self.config.decoder_operations(tokens),
            numbers * _BYTES_PER_VALUE,
        )
