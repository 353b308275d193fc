"""Checkpoints of our own, whose tokens of text are bytes: all of them but the weights."""

import json
import os
from dataclasses import asdict
from typing import Any

from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from ppcli.imaging.presets import Preset
from ppcli.models.families.qwen3_vl.configuration import CONFIG
from ppcli.models.families.qwen3_vl.image_processor import PREPROCESSOR
from ppcli.models.text.chat_tokenizer import TEMPLATE
from ppcli.models.text.tokenizer import TOKENIZER

SPECIAL_TOKENS = (
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|image_pad|>",
    "<|vision_end|>",
)


def write_settings(folder: str, config: dict[str, Any], template: str, preset: Preset) -> None:
    """All of a checkpoint but its weights; a token of text is a byte.

    Args:
        folder: of the checkpoint.
        config: its `config.json`.
        template: of the chat.
        preset: of its images.
    """
    numbers = {
        f"image_{name}" if name in ("mean", "std") else name: value
        for name, value in asdict(preset).items()
    }
    if preset.rescale_factor == 1 / 255:
        del numbers["rescale_factor"]  # it is so without a word
    texts = {
        CONFIG: json.dumps(config),
        PREPROCESSOR: json.dumps(numbers),
        TEMPLATE: template,
        TOKENIZER: byte_tokenizer().to_str(),
    }
    for name, text in texts.items():
        with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
            file.write(text)


def byte_tokenizer() -> Tokenizer:
    """One token for each byte; before them those of messages and images."""
    tokens = [*SPECIAL_TOKENS, *sorted(pre_tokenizers.ByteLevel.alphabet())]
    ids = {token: number for number, token in enumerate(tokens)}
    tokenizer = Tokenizer(models.BPE(vocab=ids, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(list(SPECIAL_TOKENS))
    return tokenizer
