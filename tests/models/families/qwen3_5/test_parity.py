"""Qwen3.5's graphs against transformers: logits at every step, and all tokens."""

from dataclasses import replace

import numpy as np
import onnxruntime as ort
import pytest

from tests.models.families.qwen3_5.tiny_qwen3_5 import FULL, LINEAR, TinyQwen35
from tests.models.parity import (
    PROMPTS,
    STEPS,
    TOLERANCE,
    WITH_IMAGES,
    assert_equal,
    assert_every_patch_agrees,
    assert_pruned_agrees,
    difference,
    images_of,
    laid_out,
    our_answer,
    reference,
)
from tests.models.random_images import ONE, patches, random_image
from tests.models.reference import Answer, pruned_answer, seen_by_qwen3_vl

pytestmark = pytest.mark.oracle

MODELS = {
    "tied": TinyQwen35(),
    "untied, biased": TinyQwen35(tied=False, bias=True, side=48, seed=1),
    "attention alone": TinyQwen35(types=(FULL,) * 3, seed=2),
    "attention first": TinyQwen35(types=(FULL, LINEAR, LINEAR), seed=3),
    "as many heads of keys as of values": TinyQwen35(
        key_heads=4, key_size=32, value_size=32, kernel=3, types=(LINEAR, FULL, LINEAR), seed=4
    ),
    "one head of keys": TinyQwen35(key_heads=1, value_heads=3, kernel=2, seed=5),
    "rotated as a whole": TinyQwen35(rotated_share=1.0, section=(6, 5, 5), seed=6),
    "wide heads": TinyQwen35(
        head_size=256, rotated_share=0.25, section=(11, 11, 10), kv_heads=1, seed=7
    ),
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
    """Recurrent layers see the kept tokens one after another, as if the others were not there."""
    tiny, (ids, grids) = MODELS[name], PROMPTS[prompt]
    images = images_of(tiny, grids, keep_ratio)
    assert_pruned_agrees(runner_of(tiny), tiny, ids, images, seen_by_qwen3_vl)


@pytest.mark.slow
def test_a_page_of_4000_tokens_is_prefilled_in_chunks(runner_of) -> None:
    """The states pass from chunk to chunk."""
    tiny = MODELS["tied"]
    assert_every_patch_agrees(runner_of(tiny), tiny, ONE, [random_image((50, 80), 2)], 4)


class TestWhatWouldShow:
    """Faults that fluent numbers could hide: each of them must leave the tolerance."""

    tiny = MODELS["tied"]
    images = (random_image((4, 5), 3, 0.5),)

    def theirs(self) -> Answer:
        return pruned_answer(reference(self.tiny), ONE, self.images, STEPS)

    def test_the_right_way_agrees(self, runner_of) -> None:
        prompt, given = laid_out(ONE, self.images), patches(self.images, self.tiny)
        assert_equal(our_answer(runner_of(self.tiny), prompt, given), self.theirs())

    def test_positions_in_sequence(self, runner_of) -> None:
        runner, prompt = runner_of(self.tiny), laid_out(ONE, self.images)
        sequential = np.tile(np.arange(prompt.length), (3, 1))
        wrong = replace(prompt, positions=sequential, next_position=prompt.length)
        ours = our_answer(runner, wrong, patches(self.images, self.tiny))
        assert difference(ours, self.theirs()) > 100 * TOLERANCE

    @pytest.mark.parametrize(
        "change",
        [
            {"rotated_share": 1.0, "section": (6, 5, 5)},
            {"types": (LINEAR, LINEAR, FULL, FULL)},
            {"value_heads": 2},
            {"kernel": 3},
        ],
    )
    def test_another_model(self, runner_of, change: dict) -> None:
        """Its weights have the same seed."""
        other = replace(self.tiny, **change)
        prompt, given = laid_out(ONE, self.images), patches(self.images, other)
        ours = our_answer(runner_of(other), prompt, given)
        assert difference(ours, self.theirs()) > 100 * TOLERANCE

    def test_a_state_that_is_not_reset(self, runner_of, monkeypatch: pytest.MonkeyPatch) -> None:
        """As if the slot went on from the request before."""
        runner, prompt = runner_of(self.tiny), laid_out(ONE, self.images)
        given = patches(self.images, self.tiny)
        our_answer(runner, prompt, given)
        assert_equal(our_answer(runner, prompt, given), self.theirs())
        caches = runner._caches
        left = {
            tensor.declared.name: ort.OrtValue.ortvalue_from_numpy(buffer.numpy()[:1].copy())
            for tensor, buffer in zip(caches._tensors, caches._buffers, strict=True)
            if not tensor.declared.grows
        }
        monkeypatch.setattr(caches, "_zeros", left)
        wrong = our_answer(runner, prompt, given)
        assert difference(wrong, self.theirs()) > 100 * TOLERANCE
