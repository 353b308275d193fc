"""Tiny checkpoints with random weights and a tokenizer trained on a few sentences.

They are written without torch. tests/models/test_tiny_checkpoint.py compares them with what
transformers writes. `Tiny` is the family that tests use which hold for any.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from tests.models.tiny_model import INNER, VOCABULARY, TinyModel, affine, image_processor

SPECIAL = [
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|image_pad|>",
    "<|video_pad|>",
]
TEMPLATE = """\
{%- for message in messages %}
<|im_start|>{{ message.role }}
{% if message.content is string %}
{{- message.content }}
{%- else %}
{%- for part in message.content %}
{%- if part.type == 'image' %}<|vision_start|><|image_pad|><|vision_end|>
{%- elif part.type == 'text' %}{{ part.text }}
{%- else %}{{ raise_exception('parts of type ' + part.type + ' are not taken') }}
{%- endif %}
{%- endfor %}
{%- endif %}<|im_end|>
{% endfor %}
{%- if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""
_SENTENCES = [
    "What is the total of the invoice? The total is 12.50.",
    "Read line three of the page, please: naïve café, 东京, ελληνικά, emoji 🙂.",
    "system user assistant You answer briefly.",
]
IMAGE_PROCESSOR = image_processor(16, [0.5] * 3, [0.5] * 3, "Qwen2VLImageProcessorFast")
_HEAD_NORMS = ("q_norm", "k_norm")


@dataclass(frozen=True)
class Tiny(TinyModel):
    """The sizes of a tiny Qwen3-VL."""

    image_processor = IMAGE_PROCESSOR

    vision_hidden: int = 64
    vision_heads: int = 2
    depth: int = 4
    deepstack: tuple[int, ...] = (0, 2, 3)
    side: int = 6
    hidden: int = 64
    heads: int = 4
    kv_heads: int = 2
    head_size: int = 32
    layers: int = 4
    section: tuple[int, int, int] = (6, 5, 5)
    tied: bool = True
    bias: bool = False
    seed: int = 0
    max_positions: int = 32_768

    def config(self) -> dict[str, Any]:
        """The content of `config.json`, as transformers writes it."""
        return {
            "architectures": ["Qwen3VLForConditionalGeneration"],
            "dtype": "float32",
            "eos_token_id": SPECIAL.index("<|im_end|>"),
            "image_token_id": SPECIAL.index("<|image_pad|>"),
            "model_type": "qwen3_vl",
            "text_config": {
                "attention_bias": self.bias,
                "attention_dropout": 0.0,
                "head_dim": self.head_size,
                "hidden_act": "silu",
                "hidden_size": self.hidden,
                "initializer_range": 0.02,
                "intermediate_size": INNER,
                "max_position_embeddings": self.max_positions,
                "model_type": "qwen3_vl_text",
                "num_attention_heads": self.heads,
                "num_hidden_layers": self.layers,
                "num_key_value_heads": self.kv_heads,
                "pad_token_id": None,
                "rms_norm_eps": 1e-06,
                "rope_parameters": {
                    "mrope_interleaved": True,
                    "mrope_section": list(self.section),
                    "rope_theta": 5_000_000.0,
                    "rope_type": "default",
                },
                "tie_word_embeddings": self.tied,
                "use_cache": True,
                "vocab_size": VOCABULARY,
            },
            "tie_word_embeddings": self.tied,
            "transformers_version": "5.23.0",
            "video_token_id": SPECIAL.index("<|video_pad|>"),
            "vision_config": {
                "deepstack_visual_indexes": list(self.deepstack),
                "depth": self.depth,
                "hidden_act": "gelu_pytorch_tanh",
                "hidden_size": self.vision_hidden,
                "in_channels": 3,
                "initializer_range": 0.02,
                "intermediate_size": INNER,
                "model_type": "qwen3_vl_vision",
                "num_heads": self.vision_heads,
                "num_position_embeddings": self.side**2,
                "out_hidden_size": self.hidden,
                "patch_size": 16,
                "rope_parameters": {"rope_theta": 10_000.0, "rope_type": "axial"},
                "spatial_merge_size": 2,
                "temporal_patch_size": 2,
            },
            "vision_end_token_id": SPECIAL.index("<|vision_end|>"),
            "vision_start_token_id": SPECIAL.index("<|vision_start|>"),
        }

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shapes of the weights by the names that transformers gives them."""
        seen, merged = self.vision_hidden, 4 * self.vision_hidden
        found: dict[str, tuple[int, ...]] = {
            "visual.patch_embed.proj.weight": (seen, 3, 2, 16, 16),
            "visual.patch_embed.proj.bias": (seen,),
            "visual.pos_embed.weight": (self.side**2, seen),
            "language_model.embed_tokens.weight": (VOCABULARY, self.hidden),
            "language_model.norm.weight": (self.hidden,),
        }
        mergers = {"visual.merger": seen}
        mergers |= {f"visual.deepstack_merger_list.{n}": merged for n in range(len(self.deepstack))}
        for name, norm in mergers.items():
            found |= affine(f"{name}.norm", norm)
            found |= affine(f"{name}.linear_fc1", merged, merged)
            found |= affine(f"{name}.linear_fc2", self.hidden, merged)
        for n in range(self.depth):
            block = f"visual.blocks.{n}"
            found |= affine(f"{block}.norm1", seen) | affine(f"{block}.norm2", seen)
            found |= affine(f"{block}.attn.qkv", 3 * seen, seen)
            found |= affine(f"{block}.attn.proj", seen, seen)
            found |= affine(f"{block}.mlp.linear_fc1", INNER, seen)
            found |= affine(f"{block}.mlp.linear_fc2", seen, INNER)
        for n in range(self.layers):
            found |= self._layer_shapes(f"language_model.layers.{n}")
        found = {f"model.{name}": shape for name, shape in found.items()}
        return found if self.tied else found | {"lm_head.weight": (VOCABULARY, self.hidden)}

    def _layer_shapes(self, layer: str) -> dict[str, tuple[int, ...]]:
        queries, keys = self.heads * self.head_size, self.kv_heads * self.head_size
        found: dict[str, tuple[int, ...]] = {
            f"{layer}.{name}.weight": (self.hidden,)
            for name in ("input_layernorm", "post_attention_layernorm")
        }
        for name, rows, columns in (
            ("q_proj", queries, self.hidden),
            ("k_proj", keys, self.hidden),
            ("v_proj", keys, self.hidden),
            ("o_proj", self.hidden, queries),
        ):
            made = affine(f"{layer}.self_attn.{name}", rows, columns)
            found |= {key: made[key] for key in made if self.bias or key.endswith("weight")}
        found |= {f"{layer}.self_attn.{name}.weight": (self.head_size,) for name in _HEAD_NORMS}
        for name, shape in (
            ("gate_proj", (INNER, self.hidden)),
            ("up_proj", (INNER, self.hidden)),
            ("down_proj", (self.hidden, INNER)),
        ):
            found[f"{layer}.mlp.{name}.weight"] = shape
        return found


def write_checkpoint(folder: Path, tiny: TinyModel, shards: int = 1) -> Path:
    """Write a checkpoint with every file that `export` needs, as transformers would write it."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "config.json", tiny.config())
    write_json(folder / "generation_config.json", {"eos_token_id": SPECIAL.index("<|im_end|>")})
    weights = tiny.stored_weights()
    if shards == 1:
        save_file(weights, folder / "model.safetensors", {"format": "pt"})
    else:
        _write_shards(folder, weights, shards)
    write_settings(folder, tiny.image_processor)
    return folder


def _write_shards(folder: Path, weights: dict[str, np.ndarray], shards: int) -> None:
    files = {
        f"model-{n + 1:05}-of-{shards:05}.safetensors": sorted(weights)[n::shards]
        for n in range(shards)
    }
    for file, names in files.items():
        save_file({name: weights[name] for name in names}, folder / file, {"format": "pt"})
    size = sum(weight.nbytes for weight in weights.values())
    places = {name: file for file, names in files.items() for name in names}
    index = {"metadata": {"total_size": size}, "weight_map": places}
    write_json(folder / "model.safetensors.index.json", index)


def write_settings(folder: Path, images: dict[str, Any] = IMAGE_PROCESSOR) -> None:
    """Write the tokenizer, chat template and image processor of a checkpoint."""
    tokenizer = trained_tokenizer()
    tokenizer.save(str(folder / "tokenizer.json"))
    write_json(
        folder / "tokenizer_config.json",
        {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "eos_token": "<|im_end|>",
            "pad_token": "<|endoftext|>",
        },
    )
    (folder / "chat_template.jinja").write_text(TEMPLATE, encoding="utf-8")
    write_json(folder / "preprocessor_config.json", images)


def trained_tokenizer() -> Tokenizer:
    """Train a byte-level BPE; the special tokens come first."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_SENTENCES, trainer)
    return tokenizer


def write_json(path: Path, content: dict) -> None:
    path.write_text(json.dumps(content), encoding="utf-8")
