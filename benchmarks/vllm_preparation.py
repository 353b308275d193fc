"""Images a second of vLLM's processor alone: stock, and with the plugin's two preparations.

Usage: python benchmarks/vllm_preparation.py MODEL IMAGES [--json FILE]

MODEL is a folder with the settings of a Qwen3-VL (its weights are not read), IMAGES a folder.
Images are read and decoded by vLLM before they are timed, as in a server.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

STOCK = "Qwen3VLForConditionalGeneration"
PRUNED = "PixelPruneQwen3VLForConditionalGeneration"
SUFFIXES = {".png", ".jpg", ".jpeg", ".webp"}
WAYS = {
    "stock": (STOCK, {}),
    "huggingface, pruned": (PRUNED, {"pixelprune": {"preparation": "huggingface"}}),
    "pixelprune, not pruned": (PRUNED, {"pixelprune": {"enabled": False}}),
    "pixelprune": (PRUNED, {}),
}


def processor(model: str, architecture: str) -> Any:  # noqa: ANN401
    """VLLM's processor of the model, as its engine makes it."""
    from vllm.config import ModelConfig
    from vllm.multimodal import MULTIMODAL_REGISTRY
    from vllm.plugins import load_general_plugins

    load_general_plugins()
    overrides = {"architectures": [architecture]}
    config = ModelConfig(model, dtype="bfloat16", hf_overrides=overrides)
    return MULTIMODAL_REGISTRY.create_processor(config)


def work(made: Any, options: dict[str, Any]) -> Callable[[Any], int]:  # noqa: ANN401
    """A call that processes one image and returns its number of tokens."""
    config = made.info.get_hf_config()
    prompt = [config.vision_start_token_id, config.image_token_id, config.vision_end_token_id]

    def call(image: Any) -> int:  # noqa: ANN401
        items = made.info.parse_mm_data({"image": [image]})
        out = made(list(prompt), items, hf_processor_mm_kwargs=options)
        return len(out["prompt_token_ids"]) - 2

    return call


def rate(call: Callable[[Any], int], images: Sequence[Any], threads: int) -> float:
    """Images a second."""
    with ThreadPoolExecutor(threads) as pool:
        started = time.perf_counter()
        list(pool.map(call, images))
        return len(images) / (time.perf_counter() - started)


def main() -> None:
    """Measure all ways, in turn, three times."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("images", type=Path)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--limit", type=int, default=60)
    given = parser.parse_args()
    import torch
    from vllm.multimodal.media.image import ImageMediaIO

    torch.set_num_threads(1)
    paths = [path for path in sorted(given.images.rglob("*")) if path.suffix in SUFFIXES]
    step = max(1, len(paths) // given.limit)
    loaded = [ImageMediaIO().load_bytes(path.read_bytes()) for path in paths[::step]]
    made = {architecture: processor(given.model, architecture) for architecture, _ in WAYS.values()}
    calls = {name: work(made[which], options) for name, (which, options) in WAYS.items()}
    tokens = {name: sum(map(call, loaded)) for name, call in calls.items()}
    rates: dict[tuple[str, int], list[float]] = {}
    for _ in range(3):
        for name, call in calls.items():
            for threads in (1, 2):
                rates.setdefault((name, threads), []).append(rate(call, loaded, threads))
    rows = [
        {
            "what": name,
            "threads": threads,
            "images a second": round(statistics.median(found), 1),
            "times stock": round(statistics.median(found) / statistics.median(stock), 2),
            "tokens": tokens[name],
        }
        for (name, threads), found in rates.items()
        for stock in [rates["stock", threads]]
    ]
    sys.stdout.write(f"{len(loaded)} images\n")
    for row in rows:
        sys.stdout.write("  ".join(f"{key} {value}" for key, value in row.items()) + "\n")
    if given.json:
        given.json.write_text(json.dumps(rows))


if __name__ == "__main__":
    main()
