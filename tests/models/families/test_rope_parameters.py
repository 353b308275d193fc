"""Rotary embeddings in all their spellings, against transformers on the same checkpoint."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import Qwen3VLConfig, Qwen3VLForConditionalGeneration
from transformers.models.qwen3_vl.modeling_qwen3_vl import Qwen3VLTextRotaryEmbedding

from ppcli.errors import ModelError
from ppcli.models.families.family_registry import family_of_size, parse_config
from ppcli.models.families.rope_parameters import inverse_frequencies
from tests.models.parity import TWO, assert_equal, difference, laid_out, opened, our_answer
from tests.models.random_images import patches, random_image
from tests.models.reference import Answer, pruned_answer, stock_answer
from tests.models.tiny_checkpoint import Tiny, write_checkpoint, write_json

pytestmark = pytest.mark.oracle

TINY = Tiny(layers=2, depth=2, deepstack=(0,), section=(6, 5, 5), max_positions=512, seed=11)
STEPS = 16
MROPE = {"mrope_section": [6, 5, 5], "mrope_interleaved": True}
PLAIN = {"rope_type": "default", "rope_theta": 10_000.0} | MROPE
YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 128} | MROPE
SPELLINGS: dict[str, dict[str, Any]] = {
    "in rope_parameters": {"rope_parameters": YARN | {"rope_theta": 10_000.0}},
    "in rope_scaling": {"rope_scaling": YARN, "rope_theta": 10_000.0},
    "beside rope_parameters": {
        "rope_scaling": YARN,
        "rope_parameters": PLAIN,
        "rope_theta": 10_000.0,
    },
    "as type": {
        "rope_scaling": {"type" if key == "rope_type" else key: YARN[key] for key in YARN},
        "rope_theta": 10_000.0,
    },
    "original length beside": {
        "rope_scaling": {key: YARN[key] for key in YARN if not key.startswith("original")},
        "original_max_position_embeddings": 128,
        "rope_theta": 10_000.0,
    },
    "no original length": {
        "rope_scaling": {key: YARN[key] for key in YARN if not key.startswith("original")},
        "rope_theta": 10_000.0,
    },
    "attention factor": {
        "rope_scaling": YARN | {"attention_factor": 0.7},
        "rope_theta": 10_000.0,
    },
    "bounds": {
        "rope_scaling": YARN | {"beta_fast": 8, "beta_slow": 2.5, "truncate": False},
        "rope_theta": 10_000.0,
    },
    "scales": {
        "rope_scaling": YARN | {"mscale": 1.4, "mscale_all_dim": 0.6},
        "rope_theta": 10_000.0,
    },
    "an empty rope_scaling": {"rope_scaling": {}, "rope_parameters": PLAIN},
}


def written(folder: Path, rope: dict[str, Any]) -> Path:
    """A checkpoint whose text_config says just this of rotary embeddings."""
    write_checkpoint(folder, TINY)
    config = json.loads((folder / "config.json").read_text())
    del config["text_config"]["rope_parameters"]
    config["text_config"] |= rope
    write_json(folder / "config.json", config)
    return folder


def answers(checkpoint: Path, out: Path) -> tuple[Answer, Answer]:
    """Ours and that of transformers, with tiles left out."""
    images = [random_image((4, 9), 0, 0.6), random_image((3, 3), 1, 0.8)]
    runner = opened(checkpoint, out)
    ours = our_answer(runner, laid_out(TWO, images), patches(images, TINY), STEPS)
    model = Qwen3VLForConditionalGeneration.from_pretrained(checkpoint, dtype=torch.float32)
    return ours, pruned_answer(model.eval(), TWO, images, STEPS)


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_yarn_is_that_of_transformers(tmp_path: Path, spelling: str) -> None:
    ours, theirs = answers(written(tmp_path / "checkpoint", SPELLINGS[spelling]), tmp_path / "out")
    assert_equal(ours, theirs)


def test_yarn_makes_a_difference(tmp_path: Path) -> None:
    """The tests above would notice if it were passed over."""
    yarn, _ = answers(written(tmp_path / "yarn", SPELLINGS["in rope_scaling"]), tmp_path / "a")
    plain, _ = answers(written(tmp_path / "plain", {"rope_parameters": PLAIN}), tmp_path / "b")
    assert difference(yarn, plain) > 0.1


def test_yarn_without_pruning(tmp_path: Path) -> None:
    """transformers' own `generate`, too."""
    checkpoint = written(tmp_path / "checkpoint", SPELLINGS["beside rope_parameters"])
    images = [random_image((4, 2), 3), random_image((3, 5), 4)]
    model = Qwen3VLForConditionalGeneration.from_pretrained(checkpoint, dtype=torch.float32)
    ours = our_answer(
        opened(checkpoint, tmp_path / "out"),
        laid_out(TWO, images),
        patches(images, TINY),
        STEPS,
    )
    assert_equal(ours, stock_answer(model.eval(), TWO, images, STEPS))


def test_the_numbers_of_the_real_models() -> None:
    """Qwen3-VL as its own README reaches a million positions, to the last bits."""
    given = {
        "rope_type": "yarn",
        "mrope_section": [24, 20, 20],
        "mrope_interleaved": True,
        "factor": 3.0,
        "original_max_position_embeddings": 262_144,
    }
    text = {"rope_scaling": given, "rope_theta": 5_000_000.0, "max_position_embeddings": 1_000_000}
    config = Qwen3VLConfig(text_config=text | {"head_dim": 128})
    theirs = Qwen3VLTextRotaryEmbedding(config.text_config)
    ours = our_text(text)
    assert ours.yarn is not None
    found = inverse_frequencies(ours.rope_theta, 128, ours.yarn)
    np.testing.assert_allclose(found, theirs.inv_freq.numpy(), rtol=5e-7)
    assert ours.yarn.attention_factor == theirs.attention_scaling
    assert not np.allclose(found, inverse_frequencies(ours.rope_theta, 128), rtol=0.1)
    assert ours.max_positions == 1_000_000


def real(**text: Any) -> dict[str, Any]:
    """A `config.json` of a published shape, with other settings in its text_config."""
    size = "qwen3-vl-2b"
    config = family_of_size(size).published_config(size, None, image_token=3)
    config["text_config"] = {**config["text_config"], "rope_parameters": None} | text
    return config


def our_text(text: dict[str, Any]):
    return parse_config(real(**text)).text


DEFAULT = {"rope_type": "default", "rope_theta": 5e6, "mrope_section": [24, 20, 20]}
LONG = {"rope_type": "yarn", "factor": 3.0, "mrope_section": [24, 20, 20]}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ({"rope_scaling": LONG | {"rope_type": "linear"}}, "type linear are not supported"),
        ({"rope_scaling": LONG | {"rope_type": "llama3"}}, "type llama3 are not supported"),
        ({"rope_scaling": LONG | {"rope_type": "dynamic"}}, "type dynamic are not supported"),
        ({"rope_scaling": LONG | {"rope_type": "longrope"}}, "type longrope are not supported"),
        ({"rope_scaling": LONG | {"rope_type": "axial"}}, "type axial are not supported"),
        ({"rope_scaling": LONG | {"type": "default"}}, "rope_type yarn and type default; remove"),
        ({"rope_scaling": LONG | {"rope_type": 7}}, "rope_type must be a string"),
        ({"rope_scaling": LONG | {"short_factor": [1]}}, r"rope_scaling\.short_factor is not supp"),
        ({"rope_scaling": LONG | {"full_attention": {}}}, r"full_attention is not supported"),
        (
            {"rope_parameters": DEFAULT | {"factor": 3.0}},
            r"factor is not supported .* type d",
        ),
        ({"rope_parameters": DEFAULT | {"beta_fast": 1}}, "beta_fast is not supported"),
        ({"rope_parameters": DEFAULT | {"partial_rotary_factor": 0.5}}, "partial_rotary_factor"),
        ({"rope_parameters": DEFAULT, "partial_rotary_factor": 0.5}, "partial_rotary_factor"),
        ({"rope_parameters": DEFAULT | {"mrope_interleaved": False}}, "not interleaved"),
        ({"rope_parameters": DEFAULT | {"mrope_interleaved": "no"}}, "must be true or false"),
        ({"rope_parameters": DEFAULT | {"mrope_section": "abc"}}, "a list of whole numbers"),
        ({"rope_parameters": DEFAULT | {"mrope_section": [32, 32]}}, "must be three numbers"),
        (
            {"rope_parameters": DEFAULT, "rope_theta": 1e4},
            "several values of rope_theta, among them 5e.06 and 10000",
        ),
        ({"rope_parameters": DEFAULT, "rope_scaling": LONG}, "rope_theta is missing"),
        ({"rope_scaling": LONG}, "rope_theta is missing"),
        ({"rope_scaling": [1], "rope_theta": 5e6}, "rope_scaling is not an object"),
        ({"rope_scaling": LONG | {"factor": None}, "rope_theta": 5e6}, "factor is missing"),
        ({"rope_scaling": LONG | {"factor": 0.5}, "rope_theta": 5e6}, "must be at least 1"),
        ({"rope_scaling": LONG | {"factor": "3"}, "rope_theta": 5e6}, "must be a number"),
        ({"rope_scaling": LONG | {"factor": float("nan")}, "rope_theta": 5e6}, "above 0"),
        ({"rope_scaling": LONG | {"beta_fast": 0.5}, "rope_theta": 5e6}, "above beta_slow"),
        ({"rope_scaling": LONG | {"attention_factor": 0.0}, "rope_theta": 5e6}, "above 0"),
        ({"rope_scaling": LONG, "rope_theta": 1}, "needs a rope_theta above 1"),
        (
            {
                "rope_scaling": LONG | {"original_max_position_embeddings": 9},
                "original_max_position_embeddings": 8,
                "rope_theta": 5e6,
            },
            "two values of original_max_position_embeddings, 9 and 8",
        ),
    ],
)
def test_what_is_not_understood_is_refused(text: dict[str, Any], words: str) -> None:
    with pytest.raises((ModelError, ValueError), match=words):
        our_text(text)


@pytest.mark.parametrize(
    "top", [{"rope_scaling": LONG}, {"rope_parameters": LONG}, {"rope_theta": 1e4}]
)
def test_what_stands_at_the_top_is_refused(top: dict[str, Any]) -> None:
    """transformers does not look there: whoever wrote it there thinks that it counts."""
    config = real(rope_parameters=DEFAULT)
    assert parse_config(config).text.yarn is None
    with pytest.raises(ModelError, match="at the top level is not read"):
        parse_config(config | top)


def test_what_is_repeated_at_the_top_is_harmless() -> None:
    config = real(rope_parameters=DEFAULT, rope_theta=5e6)
    repeated = config | {"rope_theta": 5e6, "rope_parameters": DEFAULT, "rope_scaling": None}
    assert parse_config(repeated) == parse_config(config)


def test_the_case_of_the_reports() -> None:
    """Of shared/cases: YaRN beside rope_parameters."""
    beside = {
        "rope_theta": 5_000_000.0,
        "rope_parameters": DEFAULT | {"mrope_interleaved": True},
        "rope_scaling": LONG | {"original_max_position_embeddings": 262_144},
    }
    yarn = our_text(beside).yarn
    assert yarn is not None
    assert (yarn.factor, yarn.original) == (3.0, 262_144)


@pytest.mark.parametrize(
    ("rope", "words"),
    [
        ({"rope_type": "yarn", "factor": 2.0}, "type yarn are not supported"),
        ({"rope_type": "default", "mrope_section": [1, 2, 3]}, "mrope_section is not supported"),
    ],
)
@pytest.mark.parametrize("key", ["rope_parameters", "rope_scaling"])
def test_the_vision_transformer(rope: dict[str, Any], words: str, key: str) -> None:
    config = real(rope_parameters=DEFAULT)
    config["vision_config"] = {**config["vision_config"], key: rope}
    with pytest.raises(ModelError, match=words):
        parse_config(config)
