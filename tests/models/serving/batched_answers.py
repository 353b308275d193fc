"""Requests of many kinds, answered in batches."""

import dataclasses
from typing import Any

from ppcli.coding.coder_options import CoderOptions
from ppcli.coding.patchset import KeptTiles, encode
from ppcli.models.serving.active_request import ActiveRequest
from ppcli.models.serving.answering_model import AnsweringModel
from ppcli.models.serving.generation_request import GenerationRequest
from ppcli.store.rows import AnswerRow
from tests.conftest import blocks

Requests = list[tuple[GenerationRequest, list[KeptTiles]]]
Answers = dict[int, dict[str, Any]]


def image(seed: int, grid: tuple[int, int], tile: int = 32) -> KeptTiles:
    raster = blocks(tile * grid[1], tile * grid[0], levels=2, seed=seed)
    return encode(raster, tile, CoderOptions())


def requests_of_many_kinds(tile: int) -> Requests:
    """Requests that differ in length, images, sampling and what ends them."""
    total = "What is the total?"
    asked: list[tuple[str, dict[str, Any], list[tuple[int, tuple[int, int]]]]] = [
        (total, {"max_new_tokens": 20}, [(0, (3, 4))]),
        ("Read line three of the page, please.", {"max_new_tokens": 9}, [(1, (1, 1))]),
        (total, {"max_new_tokens": 31}, [(2, (7, 5))]),
        ("No image at all", {"max_new_tokens": 14}, []),
        (total, {"max_new_tokens": 1}, [(3, (2, 9))]),
        ("Which?", {"max_new_tokens": 25}, [(4, (4, 4)), (5, (2, 2))]),
        (total, {"max_new_tokens": 20, "temperature": 2.0}, [(6, (5, 5))]),
        (total, {"max_new_tokens": 17}, [(7, (6, 1))]),
        ("東京 🙂", {"max_new_tokens": 40, "system": "You answer briefly."}, [(8, (3, 3))]),
        ("Which?", {"max_new_tokens": 30, "repetition_penalty": 1.4}, [(9, (2, 3))]),
        (
            "Which?",
            {"max_new_tokens": 30, "presence_penalty": 2.0, "stop": ("e", "a")},
            [(9, (2, 3))],
        ),
        (
            "x",
            {"max_new_tokens": 9, "temperature": 3.0, "top_k": 9, "min_p": 0.01},
            [(9, (2, 3))],
        ),
    ]
    return [
        (GenerationRequest(prompt, **options), [image(seed, grid, tile) for seed, grid in images])
        for prompt, options, images in asked
    ]


def begun(engine: AnsweringModel, requests: Requests, order: list[int]) -> list[ActiveRequest]:
    return [
        engine.start(AnswerRow(image_id=f"{number}.png"), *requests[number]) for number in order
    ]


def answers(engine: AnsweringModel, requests: Requests, order: list[int]) -> Answers:
    """Run requests through the batch in an order; rows without times by number."""
    waiting = list(zip(order, begun(engine, requests, order), strict=True))
    found: Answers = {}
    most = 0
    while waiting or engine.batch.active:
        while (
            waiting
            and not engine.batch.full
            and engine.batch.can_start(waiting[0][1].batch_request)
        ):
            one = waiting.pop(0)
            engine.batch.start(one, one[1].batch_request)
        most = max(most, engine.batch.active)
        for (number, request), made in engine.batch.step():
            row = dataclasses.asdict(engine.finish(request, made))
            found[number] = {k: v for k, v in row.items() if not k.endswith("_ms")}
    found[-1] = {"most at once": most}
    return found
