"""Tiny Qwen2.5-VL checkpoints, as transformers 5 writes them and as the published ones are."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from tests.models.tiny_checkpoint import SPECIAL
from tests.models.tiny_model import INNER, VOCABULARY, Shapes, TinyModel, affine, image_processor

_MEAN = [0.48145466, 0.4578275, 0.40821073]
_SHARP = ("q_proj.weight", "k_proj.weight")
_STD = [0.26862954, 0.26130258, 0.27577711]


@dataclass(frozen=True)
class TinyQwen25(TinyModel):
    """The sizes of a tiny Qwen2.5-VL."""

    image_processor = image_processor(14, _MEAN, _STD, "Qwen2VLImageProcessorFast")

    vision_hidden: int = 64
    vision_heads: int = 2
    depth: int = 4
    window_size: int = 56  # 2 × 2 tiles
    full_attention: tuple[int, ...] = (2,)
    hidden: int = 64
    heads: int = 2
    kv_heads: int = 1
    layers: int = 3
    section: tuple[int, int, int] = (4, 6, 6)
    rope: tuple[tuple[str, Any], ...] = (("rope_theta", 1_000_000.0), ("rope_type", "default"))
    tied: bool = True
    seed: int = 0
    max_positions: int = 32_768

    def config(self) -> dict[str, Any]:
        return {
            "architectures": ["Qwen2_5_VLForConditionalGeneration"],
            "dtype": "float32",
            "image_token_id": SPECIAL.index("<|image_pad|>"),
            "model_type": "qwen2_5_vl",
            "text_config": {
                "attention_dropout": 0.0,
                "bos_token_id": SPECIAL.index("<|endoftext|>"),
                "eos_token_id": SPECIAL.index("<|im_end|>"),
                "hidden_act": "silu",
                "hidden_size": self.hidden,
                "initializer_range": 0.02,
                "intermediate_size": INNER,
                "layer_types": ["full_attention"] * self.layers,
                "max_position_embeddings": self.max_positions,
                "max_window_layers": 80,
                "model_type": "qwen2_5_vl_text",
                "num_attention_heads": self.heads,
                "num_hidden_layers": self.layers,
                "num_key_value_heads": self.kv_heads,
                "pad_token_id": None,
                "rms_norm_eps": 1e-06,
                "rope_parameters": {"mrope_section": list(self.section), **dict(self.rope)},
                "sliding_window": None,
                "use_cache": True,
                "use_sliding_window": False,
                "vocab_size": VOCABULARY,
            },
            "tie_word_embeddings": self.tied,
            "transformers_version": "5.23.0",
            "video_token_id": SPECIAL.index("<|video_pad|>"),
            "vision_config": {
                "depth": self.depth,
                "fullatt_block_indexes": list(self.full_attention),
                "hidden_act": "silu",
                "hidden_size": self.vision_hidden,
                "in_channels": 3,
                "initializer_range": 0.02,
                "intermediate_size": INNER,
                "model_type": "qwen2_5_vl_vision",
                "num_heads": self.vision_heads,
                "out_hidden_size": self.hidden,
                "patch_size": 14,
                "rope_parameters": {"rope_theta": 10_000.0, "rope_type": "axial"},
                "spatial_merge_size": 2,
                "temporal_patch_size": 2,
                "tokens_per_second": 4,
                "window_size": self.window_size,
            },
            "vision_end_token_id": SPECIAL.index("<|vision_end|>"),
            "vision_start_token_id": SPECIAL.index("<|vision_start|>"),
        }

    def flat_config(self) -> dict[str, Any]:
        """The content of `config.json` as in the published checkpoints."""
        config = self.config()
        text, vision = config.pop("text_config"), config["vision_config"]
        rope = text.pop("rope_parameters")
        del config["dtype"]
        del text["layer_types"], text["model_type"], text["pad_token_id"], vision["model_type"]
        del vision["in_channels"], vision["rope_parameters"], vision["initializer_range"]
        vision |= {"in_chans": 3, "spatial_patch_size": 14}
        return {
            **config,
            **text,
            "rope_scaling": {"type": "mrope", "mrope_section": rope["mrope_section"]},
            "rope_theta": rope["rope_theta"],
            "sliding_window": 32_768,
            "torch_dtype": "float32",
            "transformers_version": "4.41.2",
            "vision_token_id": SPECIAL.index("<|video_pad|>"),
        }

    def shapes(self) -> Shapes:
        seen, merged = self.vision_hidden, 4 * self.vision_hidden
        found: Shapes = {
            "visual.patch_embed.proj.weight": (seen, 3, 2, 14, 14),
            "visual.merger.ln_q.weight": (seen,),
            "language_model.embed_tokens.weight": (VOCABULARY, self.hidden),
            "language_model.norm.weight": (self.hidden,),
        }
        found |= affine("visual.merger.mlp.0", merged, merged)
        found |= affine("visual.merger.mlp.2", self.hidden, merged)
        for n in range(self.depth):
            block = f"visual.blocks.{n}"
            found |= {f"{block}.norm{which}.weight": (seen,) for which in (1, 2)}
            found |= affine(f"{block}.attn.qkv", 3 * seen, seen)
            found |= affine(f"{block}.attn.proj", seen, seen)
            found |= affine(f"{block}.mlp.gate_proj", INNER, seen)
            found |= affine(f"{block}.mlp.up_proj", INNER, seen)
            found |= affine(f"{block}.mlp.down_proj", seen, INNER)
        for n in range(self.layers):
            found |= self._layer_shapes(f"language_model.layers.{n}")
        found = {f"model.{name}": shape for name, shape in found.items()}
        return found if self.tied else found | {"lm_head.weight": (VOCABULARY, self.hidden)}

    def weights(self) -> dict[str, np.ndarray]:
        """Queries and keys are halved.

        Their heads have no norms. Attention would be so sharp that float32 is off by 1e-4 itself.
        """
        return {
            name: weight / np.float32(2 if name.endswith(_SHARP) else 1)
            for name, weight in super().weights().items()
        }

    def stored_weights(self) -> dict[str, np.ndarray]:
        """The names are those of the published checkpoints."""
        return {
            name.replace("model.visual.", "visual.").replace("language_model.", ""): weight
            for name, weight in self.weights().items()
        }

    def _layer_shapes(self, layer: str) -> Shapes:
        hidden, keys = self.hidden, self.kv_heads * self.hidden // self.heads
        return {
            f"{layer}.input_layernorm.weight": (hidden,),
            f"{layer}.post_attention_layernorm.weight": (hidden,),
            **affine(f"{layer}.self_attn.q_proj", hidden, hidden),
            **affine(f"{layer}.self_attn.k_proj", keys, hidden),
            **affine(f"{layer}.self_attn.v_proj", keys, hidden),
            f"{layer}.self_attn.o_proj.weight": (hidden, hidden),
            f"{layer}.mlp.gate_proj.weight": (INNER, hidden),
            f"{layer}.mlp.up_proj.weight": (INNER, hidden),
            f"{layer}.mlp.down_proj.weight": (hidden, INNER),
        }
