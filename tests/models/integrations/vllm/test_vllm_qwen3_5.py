"""Qwen3.5 in vLLM against transformers on the kept tokens.

On a CPU, vLLM computes gated delta nets in bfloat16 only. All tokens are compared of models whose
layers are attention, and probabilities of one that has gated delta nets.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from tests.models.families.qwen3_5.tiny_qwen3_5 import FULL, LINEAR, TinyQwen35
from tests.models.integrations.vllm.conftest import write_tiny, write_words
from tests.models.integrations.vllm.test_moe import seen
from tests.models.integrations.vllm.test_one_process import run
from tests.models.integrations.vllm.test_vllm_server import SAMPLES
from tests.models.integrations.vllm.vllm_environment import skip_without_vllm
from tests.models.random_images import IMAGE_TOKEN
from tests.models.tiny_checkpoint import write_json, write_settings

skip_without_vllm()
pytestmark = pytest.mark.vllm

STEPS = 12


class Sharp(TinyQwen35):
    """Its probabilities are far from equal."""

    def weights(self) -> dict[str, np.ndarray]:
        made = super().weights()
        return made | {"lm_head.weight": np.float32(20) * made["lm_head.weight"]}


ATTENTION = Sharp(tied=False, types=(FULL,) * 4, seed=4)
# vLLM takes no other sizes of heads
RECURRENT = Sharp(tied=False, types=(LINEAR, LINEAR, FULL), key_size=128, value_size=128, seed=4)
MOE = {
    "model_type": "qwen3_5_moe_text",
    "moe_intermediate_size": 48,
    "num_experts": 8,
    "num_experts_per_tok": 2,
    "shared_expert_intermediate_size": 48,
}
WRONG = ("in sequence", "rotary", "embeddings")
CASES = [
    (["form.png"], 0.0),
    (["form.png"], 8 / 255),
    (["questions/list-1.png"], 0.0),
    (["dialog.png"], 0.0),
    (["slide-q40.jpg"], 8 / 255),
    (["dialog.png", "questions/list-1.png"], 0.0),
]


def ids_of(images: int) -> list[int]:
    """Tokens, since the tokenizer that transformers takes for Qwen3.5 needs a vocabulary."""
    return [1, 20, *[3, IMAGE_TOKEN, 4] * images, 40, 51, 400, 77, 2, 1, 21]


def job(checkpoint: Path, architecture: str, dtype: str, phases: list[str]) -> dict[str, Any]:
    prompts = [
        {
            "images": [str(SAMPLES / name) for name in names],
            "ids": ids_of(len(names)),
            "pixelprune": {"threshold": threshold},
        }
        for names, threshold in CASES
    ]
    return {
        "model": str(checkpoint),
        "new_tokens": STEPS,
        "prompts": prompts,
        "phases": phases,
        "engine": {
            "dtype": dtype,
            "max_model_len": 4096,
            "enforce_eager": True,
            "limit_mm_per_prompt": {"image": 2, "video": 0},
            "enable_prefix_caching": False,
            "mm_processor_cache_gb": 0,
            "hf_overrides": {"architectures": [architecture]},
        },
    }


def expected(model: Any) -> list[Any]:
    """The answers of transformers."""
    from tests.models.reference import pruned_answer

    found = []
    for names, threshold in CASES:
        images = [seen(SAMPLES / name, threshold) for name in names]
        found.append(pruned_answer(model, ids_of(len(images)), images, STEPS))
    return found


def assert_tokens_of_transformers(model: Any, checkpoint: Path, name: str, folder: Path) -> None:
    """And other probabilities where a part of the plugin is wrong."""
    got = run(folder, job(checkpoint, name, "float32", ["right", *WRONG]))
    answers = [one.tokens for one in expected(model)]
    assert len({tuple(tokens) for tokens in answers}) > 3
    for tokens, one in zip(answers, got["right"], strict=True):
        assert one["tokens"] == tokens[: len(one["tokens"])]
        assert len(one["tokens"]) > 3
    for phase in WRONG:
        pairs = zip(got[phase], got["right"], strict=True)
        changes = [abs(wrong["logprobs"][0] - right["logprobs"][0]) for wrong, right in pairs]
        assert max(changes) > 0.01


def test_tokens_are_those_of_transformers(tmp_path: Path, in_vllm: None) -> None:
    from tests.models.reference import transformers_model

    checkpoint = write_tiny(tmp_path / "checkpoint", ATTENTION)
    model = transformers_model(ATTENTION)
    name = "PixelPruneQwen3_5ForConditionalGeneration"
    assert_tokens_of_transformers(model, checkpoint, name, tmp_path)


def test_tokens_of_a_mixture_of_experts(tmp_path: Path, in_vllm: None) -> None:
    checkpoint = tmp_path / "moe"
    checkpoint.mkdir()
    config = moe_config()
    model = moe_with_weights(config)
    weights = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    save_file(weights, checkpoint / "model.safetensors", {"format": "pt"})
    write_json(checkpoint / "config.json", config)
    write_settings(checkpoint)
    write_words(checkpoint)
    name = "PixelPruneQwen3_5MoeForConditionalGeneration"
    assert_tokens_of_transformers(model, checkpoint, name, tmp_path)


def test_recurrent_layers_stay_near_to_transformers(tmp_path: Path, in_vllm: None) -> None:
    from tests.models.reference import transformers_model

    checkpoint = write_tiny(tmp_path / "checkpoint", RECURRENT)
    name = "PixelPruneQwen3_5ForConditionalGeneration"
    got = run(tmp_path, job(checkpoint, name, "bfloat16", ["right"]))["right"]
    off, others = [], []
    theirs = [one.logits[0] for one in expected(transformers_model(RECURRENT))]
    for number, one in enumerate(got):
        token, found = one["tokens"][0], one["logprobs"][0]
        of_each = [logits[token] - np.log(np.exp(logits).sum()) for logits in theirs]
        off.append(abs(found - of_each.pop(number)))
        others.append(np.mean([abs(found - probability) for probability in of_each]))
    assert np.mean(off) < 0.15
    assert np.mean(others) > 1.2 * np.mean(off)  # those of other images are farther away


def moe_config() -> dict[str, Any]:
    config = ATTENTION.config()
    config["text_config"] |= MOE
    del config["text_config"]["intermediate_size"]
    config["vision_config"]["model_type"] = "qwen3_5_moe_vision"
    name = "Qwen3_5MoeForConditionalGeneration"
    return config | {"model_type": "qwen3_5_moe", "architectures": [name]}


def moe_with_weights(config: dict[str, Any]) -> Any:
    """The weights of the dense model, and experts."""
    import torch
    from transformers import Qwen3_5MoeConfig, Qwen3_5MoeForConditionalGeneration

    model = Qwen3_5MoeForConditionalGeneration(Qwen3_5MoeConfig.from_dict(config)).eval()
    dense, random = ATTENTION.weights(), np.random.default_rng(0)
    with torch.no_grad():
        for name, weight in model.state_dict().items():
            made = dense.get(name)
            if made is None:
                made = random.standard_normal(weight.shape, np.float32) / weight.shape[-1] ** 0.5
            weight.copy_(torch.from_numpy(made))
    return model


def test_states_are_kept_as_the_checkpoint_says(tmp_path: Path, in_vllm: None) -> None:
    """vLLM finds what it sets up for Qwen3.5 by the name of the architecture."""
    from vllm import EngineArgs
    from vllm.plugins import load_general_plugins

    load_general_plugins()
    checkpoint = write_tiny(tmp_path / "checkpoint", ATTENTION)
    config = ATTENTION.config()
    config["text_config"]["mamba_ssm_dtype"] = "float32"
    write_json(checkpoint / "config.json", config)
    for name in ("Qwen3_5ForConditionalGeneration", "PixelPruneQwen3_5ForConditionalGeneration"):
        overrides = {"architectures": [name]}
        args = EngineArgs(str(checkpoint), dtype="bfloat16", hf_overrides=overrides)
        assert args.create_engine_config().cache_config.mamba_ssm_cache_dtype == "float32"
