"""Models of the true shapes with random weights: what speed needs, without a checkpoint.

The sizes are those that the published checkpoints of Qwen3-VL say in their `config.json`.
"""

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ppcli.imaging.presets import DEFAULT_PRESET, PRESETS
from ppcli.models.families.qwen3_vl.configuration import ARCHITECTURES, ModelConfig
from ppcli.models.model_choices import Dtype, ModelSize, Weights
from ppcli.models.onnx.byte_tokens import SPECIAL_TOKENS, write_settings
from ppcli.models.onnx.export import Export

_IMAGE_TOKEN = "<|image_pad|>"  # noqa: S105
_TEMPLATE = """\
{%- for message in messages -%}
<|im_start|>{{ message.role }}
{% if message.content is string %}{{ message.content }}{% else %}{% for part in message.content -%}
{% if part.type == 'image' %}<|vision_start|><|image_pad|><|vision_end|>\
{% else %}{{ part.text }}{% endif %}
{%- endfor %}{% endif %}<|im_end|>
{% endfor %}<|im_start|>assistant
"""
_VISION: dict[ModelSize, tuple[int, int, int, tuple[int, ...]]] = {
    ModelSize.QWEN3_VL_2B: (24, 1024, 4096, (5, 11, 17)),
    ModelSize.QWEN3_VL_4B: (24, 1024, 4096, (5, 11, 17)),
    ModelSize.QWEN3_VL_8B: (27, 1152, 4304, (8, 16, 24)),
}
_TEXT = {
    ModelSize.QWEN3_VL_2B: (28, 2048, 6144, 16, True),
    ModelSize.QWEN3_VL_4B: (36, 2560, 9728, 32, True),
    ModelSize.QWEN3_VL_8B: (36, 4096, 12_288, 32, False),
}
_NUMBERS_DRAWN = (1 << 24) + 43  # a prime, so that no two rows of a matrix are alike


def config_of(size: ModelSize, layers: int | None = None) -> ModelConfig:
    """The configuration of a size, both transformers cut to so many layers; None cuts nothing."""
    return ModelConfig.from_json(config_json(size, layers))


@contextmanager
def random_model(
    size: ModelSize,
    layers: int | None,
    dtype: Dtype,
    weights: Weights,
    on_tensor: Callable[[int, int], None] = lambda done, total: None,
) -> Iterator[str]:
    """A model directory with random weights, for a while; its tokens of text are bytes.

    Args:
        size: of the model.
        layers: of each transformer; None for all.
        dtype: of weights and activations.
        weights: float, or rounded.
        on_tensor: told of each tensor: how many are done, and how many there are.

    Raises:
        OutputError: when it cannot be written.
    """
    with tempfile.TemporaryDirectory(prefix="pixelprune-") as folder:
        checkpoint, out = (os.path.join(folder, name) for name in ("checkpoint", "model"))
        os.mkdir(checkpoint)
        write_settings(checkpoint, config_json(size, layers), _TEMPLATE, PRESETS[DEFAULT_PRESET])
        source = f"{size.value} with random weights"
        Export(checkpoint, dtype.value, source, weights, on_tensor, RandomTensors()).write(out)
        yield out


class RandomTensors:
    """Takes the place of a checkpoint: any tensor that is asked for, in a sound scale."""

    files: tuple[str, ...] = ()

    def __init__(self) -> None:
        self._numbers = np.random.default_rng(0).standard_normal(_NUMBERS_DRAWN, np.float32)
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._next = 0

    def check(self, shapes: dict[str, tuple[int, ...]]) -> None:
        """All of them can be had from now on."""
        self._shapes = shapes

    def tensor(self, name: str) -> NDArray[Any]:
        """float32: ones for a scale, zeros for a shift, else numbers that keep the variance."""
        shape = self._shapes[name]
        if len(shape) == 1:
            return np.full(shape, float(name.endswith("weight")), np.float32)
        count = int(np.prod(shape))
        numbers = np.resize(np.roll(self._numbers, -self._next), count).reshape(shape)
        self._next = (self._next + count) % _NUMBERS_DRAWN
        numbers /= np.float32(np.sqrt(count // shape[0]))
        return numbers


def config_json(size: ModelSize, layers: int | None) -> dict[str, Any]:
    """The `config.json` of a size, both transformers cut to so many layers; None cuts nothing."""
    depth, vision_hidden, vision_wide, deepstack = _VISION[size]
    text_layers, hidden, wide, heads, tied = _TEXT[size]
    if layers is not None:
        text_layers, full_depth = min(layers, text_layers), depth
        depth = min(layers, depth)
        deepstack = tuple(sorted({layer * depth // full_depth for layer in deepstack}))
    return {
        "architectures": list(ARCHITECTURES),
        "vision_config": {
            "depth": depth,
            "hidden_size": vision_hidden,
            "intermediate_size": vision_wide,
            "num_heads": 16,
            "patch_size": 16,
            "spatial_merge_size": 2,
            "temporal_patch_size": 2,
            "out_hidden_size": hidden,
            "num_position_embeddings": 2304,
            "deepstack_visual_indexes": list(deepstack),
            "hidden_act": "gelu_pytorch_tanh",
        },
        "text_config": {
            "vocab_size": 151_936,
            "hidden_size": hidden,
            "intermediate_size": wide,
            "num_hidden_layers": text_layers,
            "num_attention_heads": heads,
            "num_key_value_heads": 8,
            "head_dim": 128,
            "rms_norm_eps": 1e-6,
            "hidden_act": "silu",
            "max_position_embeddings": 262_144,
            "rope_parameters": {"rope_theta": 5_000_000.0, "mrope_section": [24, 20, 20]},
        },
        "tie_word_embeddings": tied,
        "image_token_id": SPECIAL_TOKENS.index(_IMAGE_TOKEN),
    }
