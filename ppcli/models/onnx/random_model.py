"""Models of published sizes with random weights, to measure speed without a checkpoint."""

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ppcli.models.checkpoints.byte_tokenizer import IMAGE_TOKEN, write_settings
from ppcli.models.families.family_registry import family_of_size
from ppcli.models.model_choices import Dtype, Weights
from ppcli.models.onnx.export import Export

_TEMPLATE = """\
{%- for message in messages -%}
<|im_start|>{{ message.role }}
{% if message.content is string %}{{ message.content }}{% else %}{% for part in message.content -%}
{% if part.type == 'image' %}<|vision_start|><|image_pad|><|vision_end|>\
{% else %}{{ part.text }}{% endif %}
{%- endfor %}{% endif %}<|im_end|>
{% endfor %}<|im_start|>assistant
"""
_NUMBERS_DRAWN = (1 << 24) + 43  # a prime, so that no two rows of a matrix are equal


@contextmanager
def random_model(
    size: str,
    layers: int | None,
    dtype: Dtype,
    weights: Weights,
    on_tensor: Callable[[int, int], None] = lambda done, total: None,
) -> Iterator[str]:
    """A temporary model directory with random weights and the byte tokenizer.

    Args:
        size: name of a published size.
        layers: both transformers are cut to so many; None keeps all.
        dtype: of weights and activations.
        weights: whether the matrices of the language model are quantized.
        on_tensor: called after each tensor with the number done and the total.

    Yields:
        The folder.

    Raises:
        OutputError: if it cannot be written.
        UsageError: for an unknown size.
    """
    family = family_of_size(size)
    with tempfile.TemporaryDirectory(prefix="pixelprune-") as folder:
        checkpoint, out = (os.path.join(folder, name) for name in ("checkpoint", "model"))
        os.mkdir(checkpoint)
        config = family.published_config(size, layers, IMAGE_TOKEN)
        write_settings(checkpoint, config, _TEMPLATE, family.preset)
        source = f"{size} with random weights"
        Export(checkpoint, dtype.value, source, weights, on_tensor, RandomTensors()).write(out)
        yield out


class RandomTensors:
    """Stands in for the weights of a checkpoint; values are scaled to keep the variance."""

    files: tuple[str, ...] = ()

    def __init__(self) -> None:
        self._numbers = np.random.default_rng(0).standard_normal(_NUMBERS_DRAWN, np.float32)
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._next = 0

    def check(self, shapes: dict[str, tuple[int, ...]]) -> None:
        """Take the shapes of the tensors that will be read."""
        self._shapes = shapes

    def tensor(self, name: str) -> NDArray[Any]:
        """A float32 tensor: ones for a scale, zeros for a bias, random numbers for a matrix."""
        shape = self._shapes[name]
        if len(shape) == 1:
            return np.full(shape, float(name.endswith("weight")), np.float32)
        count = int(np.prod(shape))
        numbers = np.resize(np.roll(self._numbers, -self._next), count).reshape(shape)
        self._next = (self._next + count) % _NUMBERS_DRAWN
        numbers /= np.float32(np.sqrt(count // shape[0]))
        return numbers
