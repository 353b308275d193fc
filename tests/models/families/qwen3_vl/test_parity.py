"""Qwen3-VL's graphs against transformers: logits at every step, and all tokens."""

from dataclasses import replace

import numpy as np
import pytest

from tests.models.parity import (
    PROMPTS,
    STEPS,
    TOLERANCE,
    WITH_IMAGES,
    assert_equal,
    assert_every_patch_agrees,
    assert_pruned_agrees,
    difference,
    fed,
    images_of,
    laid_out,
    our_answer,
    reference,
)
from tests.models.random_images import ONE, patches, random_image
from tests.models.reference import Answer, pruned_answer, seen_by_qwen3_vl
from tests.models.tiny_checkpoint import Tiny

pytestmark = pytest.mark.oracle

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


@pytest.mark.parametrize("prompt", PROMPTS)
@pytest.mark.parametrize("name", MODELS)
def test_every_patch_as_transformers(runner_of, name: str, prompt: str) -> None:
    tiny, (ids, grids) = MODELS[name], PROMPTS[prompt]
    assert_every_patch_agrees(runner_of(tiny), tiny, ids, images_of(tiny, grids))


@pytest.mark.parametrize("prompt", WITH_IMAGES)
@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("keep_ratio", [0.5, 0.0])
def test_pruned_as_the_oracle(runner_of, name: str, prompt: str, keep_ratio: float) -> None:
    tiny, (ids, grids) = MODELS[name], PROMPTS[prompt]
    images = images_of(tiny, grids, keep_ratio)
    assert_pruned_agrees(runner_of(tiny), tiny, ids, images, seen_by_qwen3_vl)


@pytest.mark.parametrize("keep_ratio", [1.0, 0.3])
def test_a_large_grid(runner_of, keep_ratio: float) -> None:
    tiny = MODELS["biased"]
    images = [random_image((32, 18), 1, keep_ratio)]  # 64 × 36 patches
    assert_pruned_agrees(runner_of(tiny), tiny, ONE, images, seen_by_qwen3_vl)
    if keep_ratio == 1:
        assert_every_patch_agrees(runner_of(tiny), tiny, ONE, images)


@pytest.mark.slow
def test_a_page_of_4000_tokens_is_prefilled_in_chunks(runner_of) -> None:
    tiny = MODELS["tied"]
    assert_every_patch_agrees(runner_of(tiny), tiny, ONE, [random_image((50, 80), 2)], 4)


def test_different_images_give_different_answers(runner_of) -> None:
    runner, tiny = runner_of(MODELS["tied"]), MODELS["tied"]
    answers = set()
    for seed in range(4):
        images = [random_image((3, 4), seed)]
        answer = our_answer(runner, laid_out(ONE, images), patches(images, tiny))
        answers.add(tuple(answer.tokens))
    assert len(answers) == 4


class TestWhatWouldShow:
    """Faults that fluent numbers could hide: each of them must leave the tolerance."""

    tiny = MODELS["tied"]
    images = (random_image((4, 5), 3, 0.5),)

    def theirs(self) -> Answer:
        return pruned_answer(reference(self.tiny), ONE, self.images, STEPS)

    def test_the_right_way_agrees(self, runner_of) -> None:
        prompt, given = laid_out(ONE, self.images), patches(self.images, self.tiny)
        assert_equal(our_answer(runner_of(self.tiny), prompt, given), self.theirs())

    def test_deepstack_left_out(self, runner_of) -> None:
        runner, prompt = runner_of(self.tiny), laid_out(ONE, self.images)
        features = runner.embed(patches(self.images, self.tiny))
        features["deepstack"] = np.zeros_like(features["deepstack"])
        ours = fed(runner, prompt, features)
        assert difference(ours, self.theirs()) > 100 * TOLERANCE

    def test_positions_in_sequence(self, runner_of) -> None:
        runner, prompt = runner_of(self.tiny), laid_out(ONE, self.images)
        sequential = np.tile(np.arange(prompt.length), (3, 1))
        wrong = replace(prompt, positions=sequential, next_position=prompt.length)
        ours = our_answer(runner, wrong, patches(self.images, self.tiny))
        assert difference(ours, self.theirs()) > 100 * TOLERANCE

    def test_embeddings_of_other_places(self, runner_of) -> None:
        """As if the kept tiles were an image of their own."""
        runner, prompt = runner_of(self.tiny), laid_out(ONE, self.images)
        (image,) = patches(self.images, self.tiny)
        count = len(image.inputs["pos_hw"])
        whole = self.tiny.model_config().vision_inputs(np.ones((4, 5), dtype=bool))
        wrong = {name: whole[name][:count] for name in ("interp_idx", "interp_w")}
        ours = our_answer(runner, prompt, [replace(image, inputs=image.inputs | wrong)])
        assert difference(ours, self.theirs()) > 100 * TOLERANCE

    def test_one_place_too_far(self, runner_of) -> None:
        runner, prompt = runner_of(self.tiny), laid_out(ONE, self.images)
        wrong = replace(prompt, next_position=prompt.next_position + 1)
        ours = our_answer(runner, wrong, patches(self.images, self.tiny))
        assert difference(ours, self.theirs()) > 100 * TOLERANCE
