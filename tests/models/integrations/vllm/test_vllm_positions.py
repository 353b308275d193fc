"""Places of tokens in the whole prompt, and the table of M-RoPE positions."""

import subprocess
import sys

import numpy as np
import pytest

from ppcli.errors import ModelError
from tests.models.integrations.vllm.vllm_environment import (
    ROOT,
    skip_without_vllm,
    vllm_environment,
)

skip_without_vllm()
pytestmark = pytest.mark.vllm


def feature(offset: int, grid: tuple[int, int], keep: np.ndarray | None, modality: str = "image"):
    """A feature as vLLM's engine has it; `keep` None where nothing is pruned."""
    import torch
    from vllm.multimodal.inputs import (
        MultiModalFeatureSpec,
        MultiModalFieldConfig,
        MultiModalFieldElem,
        MultiModalKwargsItem,
        PlaceholderRange,
    )

    field = MultiModalFieldConfig.batched(modality).field
    data = {"image_grid_thw": torch.tensor((1, *(2 * side for side in grid)))}
    if keep is not None:
        data["image_keep"] = torch.from_numpy(keep.ravel())
    length = grid[0] * grid[1] if keep is None else int(keep.sum())
    item = MultiModalKwargsItem(
        {name: MultiModalFieldElem(data=value, field=field) for name, value in data.items()}
    )
    return MultiModalFeatureSpec(item, modality, "x", PlaceholderRange(offset, length))


@pytest.mark.parametrize("seed", range(6))
def test_positions_are_those_of_our_own_engine(in_vllm: None, seed: int) -> None:
    from vllm.model_executor.models.qwen3_vl import Qwen3VLForConditionalGeneration

    from ppcli.models.families.prompt_layout import layout_mrope
    from ppcli.models.integrations.vllm.vllm_positions import whole_prompt

    rng = np.random.default_rng(seed)
    keeps, features, tokens, short = [], [], [], []
    for _ in range(rng.integers(0, 4)):
        text = rng.integers(10, 90, rng.integers(0, 9)).tolist()
        keep = rng.random(rng.integers(1, 7, 2)) < 0.5
        keep[0, 0] = True
        tokens += [*text, 3]
        short += [*text, 3, 5]
        features.append(feature(len(tokens), keep.shape, keep))
        keeps.append(keep)
        tokens += [5] * int(keep.sum())
    tail = rng.integers(10, 90, rng.integers(1, 9)).tolist()
    tokens += tail
    expected = layout_mrope(short + tail, 5, keeps)
    assert expected.ids.tolist() == tokens
    whole, moved, stays = whole_prompt(tokens, features[::-1], 5)
    assert np.array_equal(np.array(whole)[stays], tokens)

    class Config:
        video_token_id, vision_start_token_id, vision_end_token_id = 6, 3, 4

        class vision_config:  # noqa: N801
            spatial_merge_size = 2

    get = Qwen3VLForConditionalGeneration._get_mrope_input_positions
    positions, delta = get(whole, moved, Config)
    assert np.array_equal(positions.numpy()[:, stays], expected.positions)
    assert delta + len(whole) == expected.next_position


def test_what_is_not_pruned_stays(in_vllm: None) -> None:
    from ppcli.models.integrations.vllm.vllm_positions import whole_prompt

    tokens = [9, 5, 5, 5, 5, 8]
    whole, moved, stays = whole_prompt(tokens, [feature(1, (2, 2), None)], 5)
    assert whole == tokens
    assert stays.all()
    assert moved[0].mm_position.length == 4


@pytest.mark.parametrize("scaling", [None, "yarn"])
def test_an_enlarged_table_goes_on_as_it_began(in_vllm: None, scaling: str | None) -> None:
    program = f"""
import torch
from vllm.config import VllmConfig, set_current_vllm_config
from ppcli.models.integrations.vllm.vllm_positions import enlarge_tables
from vllm.model_executor.layers.rotary_embedding import get_rope
parameters = {{"rope_theta": 5e6, "rope_type": "default", "mrope_section": [6, 5, 5]}}
if {scaling!r}:
    parameters |= {{"rope_type": "yarn", "factor": 2.0, "original_max_position_embeddings": 300}}
with set_current_vllm_config(VllmConfig()):
    def make(most):
        return get_rope(32, most, rope_parameters=dict(parameters), mrope_positions_factor=1)

    table = make(600)
    before = table.cos_sin_cache.clone()
    model = torch.nn.Module(); model.inner = table; model.weight = torch.nn.Linear(1, 1)
    enlarge_tables(model, 100)
    assert table.cos_sin_cache is not None and len(table.cos_sin_cache) == 600
    enlarge_tables(model, 5000)
    assert len(table.cos_sin_cache) == 5000
    assert torch.equal(table.cos_sin_cache[:600], before)
    if not {scaling!r}:
        assert torch.equal(table.cos_sin_cache, make(5000).cos_sin_cache)
    step = table.cos_sin_cache[:, 0]
    assert (step[600:700] - step[500:600]).abs().max() > 0
    table.base *= 2; table.scaling_factor = table.scaling_factor and 3.0
    try:
        enlarge_tables(model, 6000)
    except Exception as error:
        print(type(error).__name__)
"""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program],
        cwd=ROOT,
        env=vllm_environment(),
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()[-3000:]
    assert done.stdout.split()[-1] == ModelError.__name__.encode()


def test_rows_of_the_table(in_vllm: None) -> None:
    from ppcli.models.integrations.vllm.vllm_positions import table_rows

    few = table_rows(32_768, 262_144, 2, 16_777_216, 32)
    assert 32_768 + 2 * 1800 < few < 32_768 + 2 * 1830
    assert table_rows(262_144, 262_144, 999, 16_777_216, 32) == 4 * 262_144
    assert table_rows(600, 32_768, 999, 4096, 32) < 600 + 200 * 30
