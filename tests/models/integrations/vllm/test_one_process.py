"""The engine in the process of the program: no caches, chunked prefill, and what is wrong shows."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tokenizers import Tokenizer

from tests.command import pixelprune_process
from tests.models.integrations.vllm.conftest import HF_OVERRIDES, PROMPT, TINY, write_tiny
from tests.models.integrations.vllm.test_vllm_server import SAMPLES, inferred
from tests.models.integrations.vllm.vllm_environment import (
    ROOT,
    skip_without_vllm,
    vllm_environment,
)

skip_without_vllm()
pytestmark = pytest.mark.vllm

MUTATIONS = ("in sequence", "rotary", "embeddings", "sequences", "deepstack")
POSITIONS = 700


def run(folder: Path, job: dict[str, Any]) -> dict[str, Any]:
    (folder / "job.json").write_text(json.dumps(job))
    script = Path(__file__).with_name("one_process.py")
    done = subprocess.run(
        [sys.executable, str(script), str(folder / "job.json"), str(folder / "out.json")],
        check=False,
        cwd=ROOT,
        env=vllm_environment(VLLM_ENABLE_V1_MULTIPROCESSING="0", NUMBA_CACHE_DIR=str(folder)),
        capture_output=True,
    )
    assert done.returncode == 0, done.stderr.decode(errors="replace")[-4000:]
    return json.loads((folder / "out.json").read_text())


def long_images(folder: Path) -> list[str]:
    """Nearly blank ones, which span many more positions than they have tokens."""
    paths = []
    for number in range(4):
        pixels = np.full((64, 32 * 190, 3), 255, dtype=np.uint8)
        pixels[:32, 640 * number : 640 * number + 64] = 40 * number
        paths.append(str(folder / f"long{number}.png"))
        Image.fromarray(pixels).save(paths[-1])
    return paths


def test_answers_and_what_spoils_them(tmp_path: Path) -> None:
    """The table of positions was made for 700; the last prompt needs more."""
    checkpoint = write_tiny(tmp_path / "checkpoint", replace(TINY, max_positions=POSITIONS))
    names = ["form.png", "dialog.png", "table.png", "slide-q40.jpg", "questions/list-1.png"]
    images = [[str(SAMPLES / name)] for name in names]
    images += [[str(SAMPLES / "dialog.png"), str(SAMPLES / "questions/list-1.png")]]
    images += [long_images(tmp_path)]
    prompts: list[dict[str, Any]] = [{"images": some, "prompt": PROMPT} for some in images]
    job = {
        "model": str(checkpoint),
        "new_tokens": 16,
        "prompts": prompts,
        "phases": ["right", *MUTATIONS, "right again"],
        "engine": {
            "dtype": "float32",
            "max_model_len": POSITIONS,
            "max_num_batched_tokens": 96,
            "enforce_eager": True,
            "enable_prefix_caching": False,
            "mm_processor_cache_gb": 0,
            "limit_mm_per_prompt": {"image": 4, "video": 0},
            "hf_overrides": HF_OVERRIDES,
        },
    }
    got = run(tmp_path, job)
    far = write_tiny(tmp_path / "far", TINY)
    done = pixelprune_process("export", far, tmp_path / "model")
    assert done.returncode == 0, done.stderr
    expected = inferred(tmp_path / "model", prompts, tmp_path)
    tokenizer = Tokenizer.from_file(str(checkpoint / "tokenizer.json"))
    for phase in ("right", "right again"):
        texts = [tokenizer.decode(one["tokens"]) for one in got[phase]]
        assert texts == [one.text for one in expected]
        assert [one["prompt_tokens"] for one in got[phase]] == [
            one.prompt_tokens for one in expected
        ]
    assert expected[-1].prompt_tokens < POSITIONS < 4 * 190
    right = [one["tokens"] for one in got["right"]]
    for mutation in MUTATIONS:
        wrong = [one["tokens"] for one in got[mutation]]
        assert sum(a != b for a, b in zip(right, wrong, strict=True)) >= 3, mutation
