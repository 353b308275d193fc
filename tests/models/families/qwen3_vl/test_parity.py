"""The exported graphs against transformers: logits at every step, and all tokens."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from ppcli.models.families.prompt_layout import PromptLayout, layout_mrope
from ppcli.models.kept_patches import KeptPatches
from ppcli.models.model_choices import Device
from ppcli.models.onnx.directory import ModelDirectory
from ppcli.models.onnx.execution_device import ExecutionDevice
from ppcli.models.onnx.export import Export
from ppcli.models.onnx.sessions import open_sessions
from ppcli.models.serving.runner import Features, Runner
from tests.models.random_images import (
    IMAGE_TOKEN,
    ONE,
    Image,
    patches,
    random_image,
    vision_inputs,
)
from tests.models.reference import Answer, pruned_answer, stock_answer, transformers_model
from tests.models.tiny_checkpoint import Tiny, write_checkpoint

pytestmark = pytest.mark.oracle

STEPS = 32
TOLERANCE = 1e-4
MODELS = {
    "tied": Tiny(),
    "untied": Tiny(tied=False, seed=1),
    "early deepstack": Tiny(deepstack=(0, 1), depth=5, layers=3, seed=2),
    "as much deepstack as layers": Tiny(deepstack=(1, 2, 3), layers=3, seed=3),
    "no deepstack": Tiny(deepstack=(), seed=4),
    "wide heads": Tiny(head_size=128, section=(24, 20, 20), heads=4, kv_heads=1, seed=5),
    "heads of 80": Tiny(vision_hidden=160, head_size=80, section=(16, 12, 12), seed=6),
    "biased": Tiny(bias=True, side=48, seed=7),
}
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


@pytest.fixture(scope="module")
def runner_of(tmp_path_factory: pytest.TempPathFactory):
    @cache
    def made(tiny: Tiny) -> Runner:
        folder = tmp_path_factory.mktemp("model")
        write_checkpoint(folder / "checkpoint", tiny)
        return opened(folder / "checkpoint", folder / "model")

    return made


def opened(checkpoint: Path, out: Path) -> Runner:
    Export(str(checkpoint), "float32", "a test").write(str(out))
    model = ModelDirectory.open(str(out))
    return Runner(model, open_sessions(model, ExecutionDevice(Device.CPU)))


@cache
def reference(tiny: Tiny):
    return transformers_model(tiny)


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


@pytest.mark.parametrize("prompt", PROMPTS)
@pytest.mark.parametrize("name", MODELS)
def test_every_patch_as_transformers(runner_of, name: str, prompt: str) -> None:
    tiny, (ids, grids) = MODELS[name], PROMPTS[prompt]
    images = [random_image(grid, seed) for seed, grid in enumerate(grids)]
    ours = our_answer(runner_of(tiny), laid_out(ids, images), patches(images, tiny.side))
    assert_equal(ours, stock_answer(reference(tiny), ids, images, STEPS))


@pytest.mark.parametrize("prompt", [name for name in PROMPTS if name != "text only"])
@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("keep_ratio", [0.5, 0.0])
def test_pruned_as_the_oracle(runner_of, name: str, prompt: str, keep_ratio: float) -> None:
    tiny, (ids, grids) = MODELS[name], PROMPTS[prompt]
    images = [random_image(grid, seed, keep_ratio) for seed, grid in enumerate(grids)]
    ours = our_answer(runner_of(tiny), laid_out(ids, images), patches(images, tiny.side))
    assert_equal(ours, pruned_answer(reference(tiny), ids, images, STEPS))


@pytest.mark.parametrize("keep_ratio", [1.0, 0.3])
def test_a_large_grid(runner_of, keep_ratio: float) -> None:
    tiny = MODELS["biased"]
    images = [random_image((32, 18), 1, keep_ratio)]  # 64 × 36 patches
    ours = our_answer(runner_of(tiny), laid_out(ONE, images), patches(images, tiny.side))
    assert_equal(ours, pruned_answer(reference(tiny), ONE, images, STEPS))
    if keep_ratio == 1:
        assert_equal(ours, stock_answer(reference(tiny), ONE, images, STEPS))


@pytest.mark.slow
def test_a_page_of_4000_tokens_is_prefilled_in_chunks(runner_of) -> None:
    tiny = MODELS["tied"]
    images = [random_image((50, 80), 2)]
    ours = our_answer(runner_of(tiny), laid_out(ONE, images), patches(images, tiny.side), 4)
    assert_equal(ours, stock_answer(reference(tiny), ONE, images, 4))


def test_different_images_give_different_answers(runner_of) -> None:
    runner, tiny = runner_of(MODELS["tied"]), MODELS["tied"]
    answers = set()
    for seed in range(4):
        images = [random_image((3, 4), seed)]
        answer = our_answer(runner, laid_out(ONE, images), patches(images, tiny.side))
        answers.add(tuple(answer.tokens))
    assert len(answers) == 4


class TestWhatWouldShow:
    """Faults that fluent numbers could hide: each of them must leave the tolerance."""

    tiny = MODELS["tied"]
    images = (random_image((4, 5), 3, 0.5),)

    def theirs(self) -> Answer:
        return pruned_answer(reference(self.tiny), ONE, self.images, STEPS)

    def test_the_right_way_agrees(self, runner_of) -> None:
        prompt, given = laid_out(ONE, self.images), patches(self.images, self.tiny.side)
        assert_equal(our_answer(runner_of(self.tiny), prompt, given), self.theirs())

    def test_deepstack_left_out(self, runner_of) -> None:
        runner, prompt = runner_of(self.tiny), laid_out(ONE, self.images)
        features = runner.embed(patches(self.images, self.tiny.side))
        features["deepstack"] = np.zeros_like(features["deepstack"])
        ours = fed(runner, prompt, features)
        assert difference(ours, self.theirs()) > 100 * TOLERANCE

    def test_positions_in_sequence(self, runner_of) -> None:
        runner, prompt = runner_of(self.tiny), laid_out(ONE, self.images)
        sequential = np.tile(np.arange(prompt.length), (3, 1))
        wrong = replace(prompt, positions=sequential, next_position=prompt.length)
        ours = our_answer(runner, wrong, patches(self.images, self.tiny.side))
        assert difference(ours, self.theirs()) > 100 * TOLERANCE

    def test_embeddings_of_other_places(self, runner_of) -> None:
        """As if the kept tiles were an image of their own."""
        runner, prompt = runner_of(self.tiny), laid_out(ONE, self.images)
        (image,) = patches(self.images, self.tiny.side)
        count = len(image.inputs["pos_hw"])
        whole = vision_inputs(np.ones((4, 5), dtype=bool), self.tiny.side)
        wrong = {name: whole[name][:count] for name in ("interp_idx", "interp_w")}
        ours = our_answer(runner, prompt, [replace(image, inputs=image.inputs | wrong)])
        assert difference(ours, self.theirs()) > 100 * TOLERANCE

    def test_one_place_too_far(self, runner_of) -> None:
        runner, prompt = runner_of(self.tiny), laid_out(ONE, self.images)
        wrong = replace(prompt, next_position=prompt.next_position + 1)
        ours = our_answer(runner, wrong, patches(self.images, self.tiny.side))
        assert difference(ours, self.theirs()) > 100 * TOLERANCE
