"""Requests a minute and time to the first token inside vLLM: whole images against pruned ones.

Usage: python benchmarks/vllm_throughput.py IMAGES [--layers N] [--limit N] [--json FILE]

The model has random weights in the widths of Qwen3-VL-2B (vision 1,024, language 2,048) and few
layers. Beside the measured ratio stands the ideal one: that of the tokens, by which the work of
all but attention shrinks.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
ARCHITECTURE = "PixelPruneQwen3VLForConditionalGeneration"
IMAGE = "<|vision_start|><|image_pad|><|vision_end|>"
PROMPT = f"<|im_start|>user\n{IMAGE}What is the total?<|im_end|>\n"
NEW_TOKENS = 8


def write_model(folder: str, layers: int) -> None:
    """Save a checkpoint with random weights."""
    import torch
    from safetensors.torch import save_file

    from tests.models.tiny_checkpoint import Tiny, write_json, write_settings

    inner, vision_inner = 6144, 4096
    tiny = Tiny(
        vision_hidden=1024,
        vision_heads=16,
        depth=layers,
        deepstack=(0, 1, 2)[: layers - 1],
        side=48,
        hidden=2048,
        heads=16,
        kv_heads=8,
        head_size=128,
        layers=layers,
        section=(24, 20, 20),
    )
    config = tiny.config()
    config["text_config"]["intermediate_size"] = inner
    config["vision_config"]["intermediate_size"] = vision_inner
    weights = {}
    for name, shape in tiny.shapes().items():
        wide = vision_inner if ".visual." in name else inner
        sizes = tuple(wide if size == 96 else size for size in shape)
        drawn = torch.randn(sizes)
        weights[name] = drawn if len(sizes) == 1 else drawn / drawn[0].numel() ** 0.5
    save_file(weights, os.path.join(folder, "model.safetensors"), {"format": "pt"})
    write_json(Path(folder) / "config.json", config)
    write_settings(Path(folder))


def measure(llm: Any, images: list[Any], enabled: bool) -> dict[str, float]:  # noqa: ANN401
    """Answer the images one by one, for the first token, and then all at once."""
    from vllm import SamplingParams

    kwargs = {"pixelprune": {"enabled": enabled}}
    prompts = [
        {"prompt": PROMPT, "multi_modal_data": {"image": image}, "mm_processor_kwargs": kwargs}
        for image in images
    ]
    first = SamplingParams(temperature=0, max_tokens=1, ignore_eos=True)
    several = SamplingParams(temperature=0, max_tokens=NEW_TOKENS, ignore_eos=True)
    times, tokens = [], 0
    for prompt in prompts:
        started = time.perf_counter()
        (out,) = llm.generate([prompt], first, use_tqdm=False)
        times.append(time.perf_counter() - started)
        tokens += len(out.prompt_token_ids)
    started = time.perf_counter()
    llm.generate(prompts, several, use_tqdm=False)
    a_minute = 60 * len(prompts) / (time.perf_counter() - started)
    return {"first token": statistics.median(times), "a minute": a_minute, "tokens": tokens}


def main() -> None:
    """Measure whole and pruned images in one engine, without caches."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("images", type=Path)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--limit", type=int, default=8)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    sys.path.insert(0, str(ROOT))
    os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "2")
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
    from PIL import Image
    from vllm import LLM

    paths = sorted(given.images.rglob("*.png"))
    images = []
    for path in paths[:: max(1, len(paths) // given.limit)][: given.limit]:
        with Image.open(path) as image:
            images.append(image.convert("RGB"))
    with tempfile.TemporaryDirectory() as folder:
        write_model(folder, given.layers)
        llm = LLM(
            folder,
            dtype="float32",
            enforce_eager=True,
            max_model_len=8192,
            enable_prefix_caching=False,
            mm_processor_cache_gb=0,
            limit_mm_per_prompt={"image": 1, "video": 0},
            hf_overrides={"architectures": [ARCHITECTURE]},
        )
        measure(llm, images[:1], enabled=True)
        rows = {name: measure(llm, images, name == "pruned") for name in ("whole", "pruned")}
    whole, pruned = rows["whole"], rows["pruned"]
    rows["pruned against whole"] = {
        "first token": whole["first token"] / pruned["first token"],
        "a minute": pruned["a minute"] / whole["a minute"],
        "ideal": whole["tokens"] / pruned["tokens"],
    }
    for name, row in rows.items():
        shown = "  ".join(f"{key} {value:.4g}" for key, value in row.items())
        sys.stdout.write(f"{name}: {shown}\n")
    if given.json:
        given.json.write_text(json.dumps(rows))


if __name__ == "__main__":
    main()
