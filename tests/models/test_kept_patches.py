"""What our runtime and the integrations share."""

import subprocess
import sys

import numpy as np
import pytest

from ppcli.coding.coder_options import CoderOptions
from ppcli.errors import UsageError
from ppcli.imaging.pixels import pixel_values
from ppcli.models.families.family_registry import get_preset, published_config
from ppcli.models.kept_patches import (
    keeps_of_pixel_values,
    one_token_each,
    patches_kept,
    prune_images,
)
from tests.conftest import blocks

PRESET = get_preset("qwen3-vl")
CONFIG = published_config("qwen3-vl-2b")
WITHOUT_A_RUNTIME = """
import sys
import numpy as np
from importlib.resources import files
from ppcli import pruned_inputs
page = np.full((256, 320, 3), 255, dtype=np.uint8)
assert len(pruned_inputs([page], "?", files("ppcli") / "small_model").pixel_values) == 4
loaded = {"onnxruntime", "torch", "transformers", "ppcli.models.serving"} & set(sys.modules)
assert not loaded, loaded
"""


def test_an_image_and_its_pixel_values_are_pruned_alike() -> None:
    pixels = blocks(384, 256, block=32)
    (ours,) = prune_images([pixels], PRESET, CONFIG, CoderOptions())
    assert 0 < ours.keep.sum() < ours.keep.size
    assert ours.grid_thw == (1, 16, 24)
    tiles = pixels.reshape(8, 32, 12, 32, 3).swapaxes(1, 2).reshape(96, 32, 32, 3)
    every = pixel_values(tiles, PRESET)
    (keep,) = keeps_of_pixel_values([(every, (8, 12))], PRESET, CoderOptions())
    assert np.array_equal(keep, ours.keep)
    assert np.array_equal(every[patches_kept(keep, 2)], ours.pixel_values)
    assert {len(array) for array in ours.inputs.values()} == {4 * keep.sum()}


def test_a_prompt_with_kept_tokens_has_the_positions_of_the_whole_one() -> None:
    """vLLM has a token for each kept tile, transformers' processor one for each tile."""
    keeps = [np.array([[True, False, True]]), np.array([[True], [False]])]
    token = CONFIG.image_token
    texts = [[5, 6], [7], [8]]

    def prompt(counts: list[int]) -> np.ndarray:
        tokens = texts[0] + [token] * counts[0] + texts[1] + [token] * counts[1] + texts[2]
        return np.array(tokens)

    for counts in ([3, 2], [2, 1], [1, 1]):
        one_each = one_token_each(prompt(counts), token, counts)
        assert np.array_equal(one_each, prompt([1, 1]))
    laid_out = CONFIG.layout_prompt(one_each.tolist(), keeps)
    assert np.array_equal(laid_out.ids, prompt([2, 1]))
    assert laid_out.positions.T.tolist() == [
        *([n] * 3 for n in (0, 1)),
        *([2, 2, 2], [2, 2, 4]),
        [5] * 3,
        [6] * 3,
        [8] * 3,
    ]


def test_a_prompt_with_other_images_is_refused() -> None:
    with pytest.raises(UsageError, match="has 2 image tokens, and its images need 3"):
        one_token_each(np.array([1, 9, 9]), 9, [3])


def test_pruning_loads_no_runtime() -> None:
    subprocess.run([sys.executable, "-c", WITHOUT_A_RUNTIME], check=True)
