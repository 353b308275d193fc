"""Qwen3-VL-MoE in vLLM, against transformers' own blocks on the kept tiles."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import save_file
from tokenizers import Tokenizer

from ppcli.coding.coder_options import CoderOptions
from ppcli.coding.patchset import cut_tiles
from ppcli.coding.selection import select_tiles
from ppcli.imaging.colour import to_rgb
from ppcli.imaging.fit import fit_image
from ppcli.imaging.fit_options import FitOptions
from ppcli.imaging.image_choices import Fit
from ppcli.imaging.pixels import pixel_values
from ppcli.imaging.presets import Preset
from tests.models import random_images
from tests.models.integrations.vllm.conftest import PROMPT, write_words
from tests.models.integrations.vllm.test_one_process import run
from tests.models.integrations.vllm.test_vllm_server import SAMPLES
from tests.models.integrations.vllm.vllm_environment import skip_without_vllm
from tests.models.tiny_checkpoint import Tiny, write_json, write_settings

skip_without_vllm()
pytestmark = pytest.mark.vllm

STEPS = 12
PRESET = Preset(16, 2, 2, 4096, 16_777_216, (0.5,) * 3, (0.5,) * 3)
MOE = {
    "decoder_sparse_step": 1,
    "mlp_only_layers": [],
    "model_type": "qwen3_vl_moe_text",
    "moe_intermediate_size": 48,
    "norm_topk_prob": True,
    "num_experts": 8,
    "num_experts_per_tok": 2,
}


def moe_config() -> dict[str, Any]:
    config = Tiny(tied=False).config()
    config["text_config"] |= MOE
    config["vision_config"]["model_type"] = "qwen3_vl_moe_vision"
    name = "Qwen3VLMoeForConditionalGeneration"
    return config | {"model_type": "qwen3_vl_moe", "architectures": [name]}


def model_with_weights() -> Any:
    """Weights that make a difference, as those of `Tiny`."""
    import torch
    from transformers import Qwen3VLMoeConfig, Qwen3VLMoeForConditionalGeneration

    model = Qwen3VLMoeForConditionalGeneration(Qwen3VLMoeConfig.from_dict(moe_config())).eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, weight in sorted(model.named_parameters()):
            drawn = torch.randn(weight.shape, generator=generator)
            if weight.ndim == 1:
                drawn = 0.2 * drawn + float("norm" in name and name.endswith("weight"))
            elif "embed" not in name:
                drawn *= 1.5 / (drawn[0].numel() if weight.ndim != 3 else drawn.shape[1]) ** 0.5
            weight.copy_(drawn)
    return model


def published(model: Any) -> dict[str, np.ndarray]:
    """Weights as the published checkpoints have them: those of experts with rows for inputs."""
    hidden = Tiny().hidden
    weights = {}
    for name, tensor in model.state_dict().items():
        weight = tensor.numpy()
        inputs = hidden if name.endswith("gate_up_proj") else MOE["moe_intermediate_size"]
        if ".experts." in name and weight.shape[1] != inputs:
            weight = weight.swapaxes(1, 2)
        if name != "lm_head.weight" or not model.config.tie_word_embeddings:
            weights[name] = np.ascontiguousarray(weight)
    return weights


def seen(path: Path, threshold: float) -> random_images.Image:
    """An image as the reference takes it."""
    pixels = np.array(to_rgb(Image.open(path)))
    raster = fit_image(pixels, FitOptions.of_preset(PRESET, Fit.RESIZE)).raster
    keep = select_tiles(raster, 32, CoderOptions(threshold=threshold))
    everything = cut_tiles(raster, np.ones_like(keep), 32)
    return random_images.Image(pixel_values(everything, PRESET), keep)


def test_tokens_are_those_of_transformers(tmp_path: Path, in_vllm: None) -> None:
    from tests.models.reference import pruned_answer

    checkpoint = tmp_path / "moe"
    model = model_with_weights()
    checkpoint.mkdir()
    save_file(published(model), checkpoint / "model.safetensors", {"format": "pt"})
    write_json(checkpoint / "config.json", moe_config())
    write_settings(checkpoint)
    write_words(checkpoint)
    cases = [
        (["form.png"], 0.0),
        (["dialog.png"], 0.0),
        (["slide-q40.jpg"], 8 / 255),
        (["dialog.png", "questions/list-1.png"], 0.0),
    ]
    prompts = [
        {
            "images": [str(SAMPLES / name) for name in names],
            "prompt": PROMPT,
            "pixelprune": {"threshold": threshold},
        }
        for names, threshold in cases
    ]
    job = {
        "model": str(checkpoint),
        "new_tokens": STEPS,
        "prompts": prompts,
        "phases": ["right"],
        "engine": {
            "dtype": "float32",
            "max_model_len": 4096,
            "enforce_eager": True,
            "limit_mm_per_prompt": {"image": 2, "video": 0},
            "hf_overrides": {"architectures": ["PixelPruneQwen3VLMoeForConditionalGeneration"]},
        },
    }
    got = run(tmp_path, job)["right"]
    tokenizer = Tokenizer.from_file(str(checkpoint / "tokenizer.json"))
    answers = set()
    for (names, threshold), one in zip(cases, got, strict=True):
        place = "<|vision_start|><|image_pad|><|vision_end|>" * len(names)
        text = f"<|im_start|>user\n{place}{PROMPT}<|im_end|>\n<|im_start|>assistant\n"
        images = [seen(SAMPLES / name, threshold) for name in names]
        expected = pruned_answer(model, tokenizer.encode(text).ids, images, STEPS).tokens
        assert one["tokens"] == expected[: len(one["tokens"])]
        assert len(one["tokens"]) > 3
        answers.add(tuple(expected))
    assert len(answers) == len(cases)
