"""Compares exported graphs with transformers: logits at every step, and all tokens."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np

from ppcli.models.families.prompt_layout import PromptLayout, layout_mrope
from ppcli.models.kept_patches import KeptPatches
from ppcli.models.model_choices import Device, Head
from ppcli.models.onnx.directory import ModelDirectory
from ppcli.models.onnx.execution_device import ExecutionDevice
from ppcli.models.onnx.export import Export
from ppcli.models.onnx.sessions import open_sessions
from ppcli.models.serving.runner import Features, Runner
from tests.models.random_images import IMAGE_TOKEN, ONE, Image, patches, random_image
from tests.models.reference import Answer, Seen, pruned_answer, stock_answer, transformers_model
from tests.models.tiny_model import TinyModel

STEPS = 32
TOLERANCE = 1e-4
TWO, THREE, NONE = (
    [1, 50, 3, 5, 4, 61, 3, 5, 4, 80, 2],
    [1, 3, 5, 4, 3, 5, 4, 3, 5, 4, 99, 2],
    [1, 40, 41, 42, 2],
)
PROMPTS: dict[str, tuple[list[int], list[tuple[int, int]]]] = {
    "one image": (ONE, [(3, 4)]),
    "a tile": (ONE, [(1, 1)]),
    "wide": (ONE, [(1, 9)]),
    "two images": (TWO, [(4, 2), (3, 3)]),
    "three images": (THREE, [(2, 2), (1, 3), (5, 1)]),
    "text only": (NONE, []),
}
WITH_IMAGES = [name for name in PROMPTS if name != "text only"]


def opened(checkpoint: Path, out: Path, head: Head | None = None) -> Runner:
    """Export a checkpoint, and open what was written."""
    Export(str(checkpoint), "float32", "a test", head=head).write(str(out))
    model = ModelDirectory.open(str(out))
    return Runner(model, open_sessions(model, ExecutionDevice(Device.CPU)))


reference = cache(transformers_model)


def laid_out(ids: Sequence[int], images: Sequence[Image]) -> PromptLayout:
    return layout_mrope(ids, IMAGE_TOKEN, [one.keep for one in images])


def our_answer(
    runner: Runner, prompt: PromptLayout, images: Sequence[KeptPatches], steps: int = STEPS
) -> Answer:
    return fed(runner, prompt, runner.embed(images), steps)


def fed(runner: Runner, prompt: PromptLayout, features: Features, steps: int = STEPS) -> Answer:
    """Greedy; no token ends the answer."""
    runner.reserve(prompt.length + steps)
    logits = [runner.prefill(prompt, features)]
    tokens = [int(logits[0].argmax())]
    for count in range(steps - 1):
        position = prompt.next_position + count
        logits.append(runner.step([tokens[-1]], [position], [prompt.length + count + 1])[0])
        tokens.append(int(logits[-1].argmax()))
    return Answer(tokens, logits)


def difference(ours: Answer, theirs: Answer) -> float:
    steps = zip(ours.logits, theirs.logits, strict=True)
    return max(float(np.abs(a - b).max()) for a, b in steps)


def assert_equal(ours: Answer, theirs: Answer) -> None:
    assert ours.tokens == theirs.tokens
    assert difference(ours, theirs) < TOLERANCE


def images_of(
    tiny: TinyModel, grids: Sequence[tuple[int, int]], keep_ratio: float = 1.0
) -> list[Image]:
    """Random images, the seed of each being its number."""
    return [random_image(g, n, keep_ratio, tiny.patch_values) for n, g in enumerate(grids)]


def assert_every_patch_agrees(
    runner: Runner, tiny: TinyModel, ids: Sequence[int], images: Sequence[Image], steps: int = STEPS
) -> None:
    """Compare with `generate` of transformers over whole images."""
    ours = our_answer(runner, laid_out(ids, images), patches(images, tiny), steps)
    assert_equal(ours, stock_answer(reference(tiny), ids, images, steps))


def assert_pruned_agrees(
    runner: Runner, tiny: TinyModel, ids: Sequence[int], images: Sequence[Image], seen_by: Seen
) -> None:
    """Compare with the blocks of transformers over the kept tiles."""
    ours = our_answer(runner, laid_out(ids, images), patches(images, tiny))
    assert_equal(ours, pruned_answer(reference(tiny), ids, images, STEPS, seen_by))
