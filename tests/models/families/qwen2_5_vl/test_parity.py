"""Qwen2.5-VL's graphs against transformers: logits at every step, and all tokens."""

from dataclasses import replace

import numpy as np
import pytest

from ppcli.models.families.qwen2_5_vl import decoder_graph
from ppcli.models.families.qwen2_5_vl.patch_positions import patch_positions
from ppcli.models.kept_patches import KeptPatches
from tests.models.families.qwen2_5_vl.reference_qwen25 import seen_by_qwen25_vl
from tests.models.families.qwen2_5_vl.tiny_qwen25 import TinyQwen25
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
    opened,
    our_answer,
    reference,
)
from tests.models.random_images import ONE, patches
from tests.models.reference import Answer, pruned_answer
from tests.models.tiny_checkpoint import write_checkpoint

pytestmark = pytest.mark.oracle

YARN = (
    ("factor", 4.0),
    ("original_max_position_embeddings", 8192),
    ("rope_theta", 1_000_000.0),
    ("rope_type", "yarn"),
)
MODELS = {
    "tied": TinyQwen25(),
    "untied": TinyQwen25(tied=False, seed=1),
    "windows only": TinyQwen25(full_attention=(), seed=2),
    "full attention first": TinyQwen25(full_attention=(0,), layers=1, seed=3),
    "full attention last": TinyQwen25(full_attention=(1, 3), window_size=84, seed=4),
    "full attention only": TinyQwen25(full_attention=(0, 1, 2, 3), depth=4, seed=5),
    "windows of a tile": TinyQwen25(window_size=28, seed=6),
    "wide heads": TinyQwen25(
        hidden=256,
        heads=2,
        kv_heads=1,
        section=(16, 24, 24),
        vision_hidden=160,
        tied=False,  # tied, its logits are so large that float32 rounds them by 1e-4
        seed=7,
    ),
    "published windows": TinyQwen25(window_size=112, vision_heads=4, seed=8),
    "YaRN": TinyQwen25(rope=YARN, seed=9),
}
LARGE = (13, 10)  # tiles; the windows of all sizes are cut at one edge at least


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
    assert_pruned_agrees(runner_of(tiny), tiny, ids, images, seen_by_qwen25_vl)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("keep_ratio", [1.0, 0.3])
def test_many_windows(runner_of, name: str, keep_ratio: float) -> None:
    tiny = MODELS[name]
    images = images_of(tiny, [LARGE], keep_ratio)
    assert_pruned_agrees(runner_of(tiny), tiny, ONE, images, seen_by_qwen25_vl)
    if keep_ratio == 1:
        assert_every_patch_agrees(runner_of(tiny), tiny, ONE, images)


class TestWhatWouldShow:
    """Faults that fluent numbers could hide: each of them must leave the tolerance."""

    tiny = MODELS["tied"]
    images = tuple(images_of(tiny, [(5, 7)], 0.5))

    def theirs(self) -> Answer:
        return pruned_answer(reference(self.tiny), ONE, self.images, STEPS, seen_by_qwen25_vl)

    def ours(self, runner_of, **changed: np.ndarray) -> Answer:
        (image,) = patches(self.images, self.tiny)
        image = replace(image, inputs=image.inputs | changed)
        return our_answer(runner_of(self.tiny), laid_out(ONE, self.images), [image])

    def test_the_right_way_agrees(self, runner_of) -> None:
        assert_equal(self.ours(runner_of), self.theirs())

    def test_windows_of_other_places(self, runner_of) -> None:
        """As if the kept tiles were an image of their own."""
        (image,) = self.images
        alone = patch_positions(np.ones((1, int(image.keep.sum())), dtype=bool), 2, 2)
        ours = self.ours(runner_of, window=alone.window, window_slot=alone.window_slot)
        assert difference(ours, self.theirs()) > 100 * TOLERANCE

    def test_full_attention_everywhere(self, runner_of) -> None:
        (image,) = patches(self.images, self.tiny)
        count = len(image.pixel_values)
        one_row = np.stack([np.zeros(count, np.int64), np.arange(count)], axis=1)
        ours = self.ours(runner_of, window=np.zeros(count, np.int64), window_slot=one_row)
        assert difference(ours, self.theirs()) > 100 * TOLERANCE

    def test_rows_and_columns_of_other_places(self, runner_of) -> None:
        (image,) = self.images
        alone = patch_positions(np.ones((1, int(image.keep.sum())), dtype=bool), 2, 2)
        ours = self.ours(runner_of, pos_hw=alone.pos_hw)
        assert difference(ours, self.theirs()) > 100 * TOLERANCE

    def test_positions_in_sequence(self, runner_of) -> None:
        prompt, given = laid_out(ONE, self.images), patches(self.images, self.tiny)
        sequential = np.tile(np.arange(prompt.length), (3, 1))
        wrong = replace(prompt, positions=sequential, next_position=prompt.length)
        ours = our_answer(runner_of(self.tiny), wrong, given)
        assert difference(ours, self.theirs()) > 100 * TOLERANCE

    def test_one_place_too_far(self, runner_of) -> None:
        prompt, given = laid_out(ONE, self.images), patches(self.images, self.tiny)
        wrong = replace(prompt, next_position=prompt.next_position + 1)
        assert difference(our_answer(runner_of(self.tiny), wrong, given), self.theirs()) > (
            100 * TOLERANCE
        )

    def test_axes_that_alternate(self, tmp_path, monkeypatch) -> None:
        from ppcli.models.families.decoder_builder import interleaved_axes

        monkeypatch.setattr(
            decoder_graph._Qwen25Decoder,
            "_axis_of_pair",
            lambda self: interleaved_axes(self._text.mrope_section, 16),
        )
        checkpoint = write_checkpoint(tmp_path / "checkpoint", self.tiny)
        runner = opened(checkpoint, tmp_path / "model")
        given: list[KeptPatches] = patches(self.images, self.tiny)
        ours = our_answer(runner, laid_out(ONE, self.images), given)
        assert difference(ours, self.theirs()) > 100 * TOLERANCE
