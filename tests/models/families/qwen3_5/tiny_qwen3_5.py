"""Tiny Qwen3.5 checkpoints with random weights."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from tests.models.tiny_checkpoint import Tiny
from tests.models.tiny_model import affine

LINEAR, FULL = "linear_attention", "full_attention"


@dataclass(frozen=True)
class TinyQwen35(Tiny):
    """The sizes of a tiny Qwen3.5."""

    deepstack: tuple[int, ...] = ()
    section: tuple[int, int, int] = (3, 3, 2)
    rotated_share: float = 0.5
    types: tuple[str, ...] = (LINEAR, LINEAR, LINEAR, FULL)
    key_heads: int = 2
    value_heads: int = 4
    key_size: int = 16
    value_size: int = 24
    kernel: int = 4

    def __post_init__(self) -> None:
        object.__setattr__(self, "layers", len(self.types))

    def config(self) -> dict[str, Any]:
        """The content of `config.json`, as transformers writes it."""
        config = super().config()
        config |= {
            "architectures": ["Qwen3_5ForConditionalGeneration"],
            "model_type": "qwen3_5",
        }
        del config["vision_config"]["deepstack_visual_indexes"]
        config["vision_config"]["model_type"] = "qwen3_5_vision"
        text = config["text_config"]
        text |= {
            "bos_token_id": None,
            "eos_token_id": None,
            "layer_types": list(self.types),
            "linear_conv_kernel_dim": self.kernel,
            "linear_key_head_dim": self.key_size,
            "linear_num_key_heads": self.key_heads,
            "linear_num_value_heads": self.value_heads,
            "linear_value_head_dim": self.value_size,
            "model_type": "qwen3_5_text",
        }
        text["rope_parameters"]["partial_rotary_factor"] = self.rotated_share
        return config

    def _layer_shapes(self, layer: str) -> dict[str, tuple[int, ...]]:
        found = super()._layer_shapes(layer)
        if self.types[int(layer.rsplit(".", 1)[1])] == FULL:
            gated = affine(
                f"{layer}.self_attn.q_proj", 2 * self.heads * self.head_size, self.hidden
            )
            return found | {name: gated[name] for name in gated if name in found}
        found = {name: shape for name, shape in found.items() if ".self_attn." not in name}
        keys, values = self.key_heads * self.key_size, self.value_heads * self.value_size
        parts = {
            "in_proj_qkv.weight": (2 * keys + values, self.hidden),
            "in_proj_z.weight": (values, self.hidden),
            "in_proj_b.weight": (self.value_heads, self.hidden),
            "in_proj_a.weight": (self.value_heads, self.hidden),
            "conv1d.weight": (2 * keys + values, 1, self.kernel),
            "A_log": (self.value_heads,),
            "dt_bias": (self.value_heads,),
            "norm.weight": (self.value_size,),
            "out_proj.weight": (self.hidden, values),
        }
        return found | {f"{layer}.linear_attn.{name}": shape for name, shape in parts.items()}

    def weights(self) -> dict[str, np.ndarray]:
        """Random weights; the norms of the language model scale by 1 + w.

        A gated delta net norms what a query finds, and with random weights that can be next to
        nothing, so that rounding grows until transformers in float32 differs from itself in
        float64 by more than 1e-4. Here queries resemble keys, and logits are small.
        """
        made = super().weights()
        for name, weight in made.items():
            if "language_model" in name and weight.ndim == 1 and "norm" in name:
                made[name] = weight - np.float32(".linear_attn." not in name)
            elif name.endswith("A_log"):
                made[name] = 5 * weight - np.float32(2)  # states last for some tokens
            elif "embed_tokens" in name or name.startswith("lm_head"):
                made[name] = np.float32(0.1) * weight
            elif "in_proj_qkv" in name or "conv1d" in name:
                keys = self.key_heads * self.key_size
                weight[:keys] = 0.4 * weight[:keys] + 0.9 * weight[keys : 2 * keys]
        return made
