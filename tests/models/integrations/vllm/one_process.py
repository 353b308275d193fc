"""Answers prompts with vLLM in this process, also with parts of the plugin made wrong.

Usage: python one_process.py JOB.json OUT.json
"""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

IMAGE = "<|vision_start|><|image_pad|><|vision_end|>"


def main() -> None:
    with open(sys.argv[1], encoding="utf-8") as file:
        job = json.load(file)
    import numba  # noqa: F401  (which alone keeps a CPU worker from starting in this process)
    from vllm import LLM, SamplingParams

    llm = LLM(job["model"], **job["engine"])
    sampling = SamplingParams(temperature=0, max_tokens=job["new_tokens"], logprobs=0)
    results = {}
    for phase in job["phases"]:
        with _wrong(llm, phase):
            outputs = llm.generate([_prompt(one) for one in job["prompts"]], sampling)
        results[phase] = [
            {
                "prompt_tokens": len(output.prompt_token_ids),
                "tokens": list(output.outputs[0].token_ids),
                "logprobs": [
                    step[token].logprob
                    for token, step in zip(
                        output.outputs[0].token_ids, output.outputs[0].logprobs, strict=True
                    )
                ],
            }
            for output in outputs
        ]
    with open(sys.argv[2], "w", encoding="utf-8") as file:
        json.dump(results, file)


def _prompt(one: dict[str, Any]) -> dict[str, Any]:
    from PIL import Image

    prompt: dict[str, Any] = {}
    if "ids" in one:
        prompt["prompt_token_ids"] = one["ids"]
    else:
        places = IMAGE * len(one["images"])
        user = f"<|im_start|>user\n{places}{one['prompt']}<|im_end|>\n"
        prompt["prompt"] = f"{user}<|im_start|>assistant\n"
    if one["images"]:
        prompt["multi_modal_data"] = {"image": [Image.open(path) for path in one["images"]]}
    if one.get("pixelprune"):
        prompt["mm_processor_kwargs"] = {"pixelprune": one["pixelprune"]}
    return prompt


@contextmanager
def _wrong(llm: Any, phase: str) -> Iterator[None]:
    """Make a part of the plugin wrong while a phase lasts; "right" leaves all as it is."""
    from ppcli.models.integrations.vllm import vllm_models, vllm_tower

    base = vllm_models._Pruned
    positions = vllm_tower._KeptPositions
    places: dict[str, tuple[type, str, Callable[[Any], Any]]] = {
        "in sequence": (base, "get_mrope_input_positions", _in_sequence),
        "rotary": (positions, "rot_pos_emb", _flipped_pair),
        "embeddings": (positions, "fast_pos_embed_interpolate", _flipped),
        "sequences": (positions, "metadata", _halved),
        "deepstack": (base, "embed_multimodal", _without_deepstack),
    }
    if phase not in places:
        yield
        return
    owner, name, change = places[phase]
    right = getattr(owner, name)
    setattr(owner, name, change(right))
    try:
        yield
    finally:
        setattr(owner, name, right)


def _in_sequence(_: Any) -> Any:
    import torch

    def positions(self: Any, input_tokens: list[int], mm_features: Any) -> Any:
        return torch.arange(len(input_tokens)).expand(3, -1).clone(), 0

    return positions


def _flipped(right: Any) -> Any:
    return lambda self, grid_thw: right(self, grid_thw).flip(0)


def _flipped_pair(right: Any) -> Any:
    return lambda self, grid_thw: tuple(one.flip(0) for one in right(self, grid_thw))


def _halved(right: Any) -> Any:
    import torch

    def metadata(self: Any) -> Any:
        made = right(self)
        ends = made["cu_seqlens"]
        half = ends[-1:] // 8 * 4
        made["cu_seqlens"] = torch.cat([ends[:1], half, ends[-1:]])
        return made

    return metadata


def _without_deepstack(right: Any) -> Any:
    def embed(self: Any, **kwargs: Any) -> Any:
        made = [one.clone() for one in right(self, **kwargs)]
        for one in made:
            one[:, self.visual_dim :] = 0
        return tuple(made)

    return embed


if __name__ == "__main__":
    main()
