"""Where a model runs, and what is said of it: with a driver of NVIDIA and without one."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ppcli.errors import MissingDependencyError, ModelError
from ppcli.models.model_choices import Device
from ppcli.models.onnx.sessions import _gpus, _missing_part, choose_place

_ASK = """
import sys
from ppcli.models.model_choices import Device
from ppcli.models.onnx.sessions import choose_place
print(choose_place("m", sys.argv[1], Device.AUTO, int(sys.argv[2])).fallback)
"""
no_driver = pytest.mark.skipif(_gpus() != (0, None), reason="there is a GPU")


@no_driver
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_without_a_gpu_nothing_is_said(dtype: str) -> None:
    place = choose_place("m", dtype, Device.AUTO)
    assert (place.device, place.fallback) == (Device.CPU, None)


@no_driver
def test_cuda_without_a_gpu() -> None:
    with pytest.raises(MissingDependencyError, match="CUDA cannot be used: there is no NVIDIA GPU"):
        choose_place("m", "float16", Device.CUDA)
    with pytest.raises(ModelError, match="is in float32, for which CUDA lacks operators"):
        choose_place("m", "float32", Device.CUDA)
    with pytest.raises(ModelError, match=r"runs on CUDA only \(there is no NVIDIA GPU"):
        choose_place("m", "bfloat16", Device.AUTO)


@pytest.fixture
def said(tmp_path: Path):
    """What is said where the driver is one that shows so many GPUs, or fails."""
    compiler = shutil.which("cc")
    if compiler is None or not sys.platform.startswith("linux"):
        pytest.skip("no driver can be compiled here")

    def ask(dtype: str, gpus: int, error: int = 0, device_id: int = 0) -> str:
        source = tmp_path / "driver.c"
        source.write_text(
            f"int cuInit(unsigned flags) {{ return {error}; }}\n"
            f"int cuDeviceGetCount(int *count) {{ *count = {gpus}; return 0; }}\n"
        )
        driver = tmp_path / "libcuda.so.1"
        subprocess.run([compiler, "-shared", "-fPIC", "-o", driver, source], check=True)
        done = subprocess.run(
            [sys.executable, "-c", _ASK, dtype, str(device_id)],
            env=os.environ | {"LD_LIBRARY_PATH": str(tmp_path)},
            check=True,
            capture_output=True,
            text=True,
        )
        return done.stdout.strip()

    return ask


def test_with_a_gpu_the_reason_is_the_right_one(said) -> None:
    assert said("float16", 1) == str(_missing_part())  # of CUDA, which is another here and there
    assert said("float32", 1).startswith("m is in float32, for which CUDA lacks operators")
    assert said("float16", 2, device_id=2) == "there is no GPU 2, the last one is 1"
    assert said("float16", 0, error=803) == "the driver of the GPU does not work (CUDA error 803)"


def test_a_driver_without_a_gpu(said) -> None:
    for error in (0, 34, 100):
        assert said("float16", 0, error) == said("float32", 0, error) == "None"
