"""Tiny Qwen3-VL checkpoints with random weights and a tokenizer trained on a few sentences."""

import json
from dataclasses import dataclass
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import Qwen3VLConfig, Qwen3VLForConditionalGeneration

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


@dataclass(frozen=True)
class Tiny:
    """A shape of model."""

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

    def config(self) -> Qwen3VLConfig:
        return Qwen3VLConfig(
            architectures=["Qwen3VLForConditionalGeneration"],
            vision_config={
                "depth": self.depth,
                "hidden_size": self.vision_hidden,
                "intermediate_size": 96,
                "num_heads": self.vision_heads,
                "out_hidden_size": self.hidden,
                "num_position_embeddings": self.side**2,
                "deepstack_visual_indexes": list(self.deepstack),
                "patch_size": 16,
            },
            text_config={
                "vocab_size": 512,
                "hidden_size": self.hidden,
                "intermediate_size": 96,
                "num_hidden_layers": self.layers,
                "num_attention_heads": self.heads,
                "num_key_value_heads": self.kv_heads,
                "head_dim": self.head_size,
                "attention_bias": self.bias,
                "max_position_embeddings": self.max_positions,
                "rope_parameters": {
                    "rope_type": "default",
                    "rope_theta": 5_000_000.0,
                    "mrope_section": list(self.section),
                    "mrope_interleaved": True,
                },
                "tie_word_embeddings": self.tied,
            },
            tie_word_embeddings=self.tied,
            image_token_id=SPECIAL.index("<|image_pad|>"),
            video_token_id=SPECIAL.index("<|video_pad|>"),
            vision_start_token_id=SPECIAL.index("<|vision_start|>"),
            vision_end_token_id=SPECIAL.index("<|vision_end|>"),
            eos_token_id=SPECIAL.index("<|im_end|>"),
        )

    def model(self) -> Qwen3VLForConditionalGeneration:
        """Weights that make a difference: with the usual small ones every image looks alike."""
        torch.manual_seed(self.seed)
        model = Qwen3VLForConditionalGeneration(self.config()).eval()
        with torch.no_grad():
            for name, weight in model.named_parameters():
                if weight.ndim == 1:
                    weight.add_(0.2 * torch.randn_like(weight))
                else:
                    scale = 1.0 if "embed" in name else 1.5 / weight[0].numel() ** 0.5
                    weight.copy_(scale * torch.randn_like(weight))
        return model


def write_checkpoint(folder: Path, tiny: Tiny, shard_size: str = "50GB") -> Path:
    """Save a model with all that `export` needs, as transformers writes it."""
    tiny.model().save_pretrained(folder, max_shard_size=shard_size)
    write_settings(folder)
    return folder


def write_settings(folder: Path) -> None:
    """Tokenizer, chat template and image processor of a checkpoint."""
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
    write_json(
        folder / "preprocessor_config.json",
        {
            "size": {"shortest_edge": 4096, "longest_edge": 16_777_216},
            "patch_size": 16,
            "temporal_patch_size": 2,
            "merge_size": 2,
            "image_mean": [0.5, 0.5, 0.5],
            "image_std": [0.5, 0.5, 0.5],
            "image_processor_type": "Qwen2VLImageProcessorFast",
        },
    )


def trained_tokenizer() -> Tokenizer:
    """A byte-level BPE; the special tokens come first."""
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
