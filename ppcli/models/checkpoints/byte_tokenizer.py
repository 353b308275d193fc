"""A tokenizer with one token for each byte, and a checkpoint's settings that use it.

The small model of the package and models with random weights have it.
"""

import json
import os
from dataclasses import asdict
from typing import Any

from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from ppcli.imaging.presets import Preset
from ppcli.models.checkpoints.preprocessor_config import PREPROCESSOR
from ppcli.models.model_files import CONFIG
from ppcli.models.text.chat_tokenizer import TEMPLATE
from ppcli.models.text.tokenizer import TOKENIZER

SPECIAL_TOKENS = (
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|image_pad|>",
    "<|vision_end|>",
)
IMAGE_TOKEN = SPECIAL_TOKENS.index("<|image_pad|>")


def write_settings(folder: str, config: dict[str, Any], template: str, preset: Preset) -> None:
    """Write the settings files of a checkpoint with the byte tokenizer.

    Args:
        folder: of the checkpoint.
        config: its `config.json`.
        template: its chat template.
        preset: settings of its image processor.
    """
    numbers = {
        f"image_{name}" if name in ("mean", "std") else name: value
        for name, value in asdict(preset).items()
    }
    if preset.rescale_factor == 1 / 255:
        del numbers["rescale_factor"]  # the default
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
    """The tokenizer: special tokens first, then one token for each byte."""
    tokens = [*SPECIAL_TOKENS, *sorted(pre_tokenizers.ByteLevel.alphabet())]
    ids = {token: number for number, token in enumerate(tokens)}
    tokenizer = Tokenizer(models.BPE(vocab=ids, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(list(SPECIAL_TOKENS))
    return tokenizer
