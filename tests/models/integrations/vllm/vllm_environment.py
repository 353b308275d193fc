"""The environment of processes that import vLLM on a machine without a GPU."""

import os
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[4]
OPERATORS = Path(__file__).parent / "torchvision_operators"


def vllm_environment(**more: str) -> dict[str, str]:
    """Variables for a process of vLLM that answers from tiny models."""
    path = os.pathsep.join([str(OPERATORS), str(ROOT), os.environ.get("PYTHONPATH", "")])
    return {
        **os.environ,
        "PYTHONPATH": path.strip(os.pathsep),
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "VLLM_LOGGING_LEVEL": "WARNING",
        "VLLM_NO_USAGE_STATS": "1",
        "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": "1",
        **more,
    }


def skip_without_vllm() -> None:
    """Skip the module where vLLM is not installed."""
    if find_spec("vllm") is None:
        pytest.skip("vLLM is not installed: see docs/vllm.md", allow_module_level=True)
