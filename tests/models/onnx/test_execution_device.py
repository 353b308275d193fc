"""Where a model runs, and why, with an NVIDIA driver and without one."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ppcli.errors import MissingDependencyError, ModelError
from ppcli.jobs.chosen_model import report_cpu_fallback
from ppcli.models.model_choices import Device
from ppcli.models.onnx.execution_device import (
    CudaProblem,
    ExecutionDevice,
    _count_gpus,
    _has_gpu_files,
    _missing_part,
    choose_device,
)

_CHOOSE = """
import sys
from ppcli.models.model_choices import Device
from ppcli.models.onnx import execution_device
if sys.argv[3] != "real":
    execution_device._has_gpu_files = lambda: sys.argv[3] == "gpu"
problem = execution_device.choose_device(
    "m", sys.argv[1], Device.AUTO, int(sys.argv[2])
).cuda_problem
print(problem.gpu_present, problem.reason)
"""
no_driver = pytest.mark.skipif(_count_gpus() != (0, None), reason="there is a GPU")
NO_GPU = "the NVIDIA driver finds no GPU, or is not installed"


@no_driver
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_without_a_gpu_auto_is_the_cpu(dtype: str) -> None:
    device = choose_device("m", dtype, Device.AUTO)
    assert device.kind is Device.CPU
    assert device.cuda_problem is not None
    assert not device.cuda_problem.gpu_present


def test_the_cpu_is_chosen_without_a_look_at_cuda() -> None:
    assert choose_device("m", "float16", Device.CPU) == ExecutionDevice(Device.CPU)


@no_driver
def test_cuda_without_a_gpu_is_an_error() -> None:
    with pytest.raises(MissingDependencyError, match=f"CUDA cannot be used: {NO_GPU}"):
        choose_device("m", "float16", Device.CUDA)
    with pytest.raises(ModelError, match="is in float32, for which CUDA lacks operators"):
        choose_device("m", "float32", Device.CUDA)
    with pytest.raises(ModelError, match=rf"runs on CUDA only \({NO_GPU}\)"):
        choose_device("m", "bfloat16", Device.AUTO)


@pytest.mark.parametrize(("gpu_present", "level"), [(True, "WARNING"), (False, "DEBUG")])
def test_an_idle_gpu_is_a_warning_and_no_gpu_is_not(caplog, gpu_present, level) -> None:
    device = ExecutionDevice(Device.CPU, cuda_problem=CudaProblem("a reason", gpu_present))
    with caplog.at_level("DEBUG", logger="pixelprune"):
        report_cpu_fallback(device)
        report_cpu_fallback(ExecutionDevice(Device.CPU))
    [record] = caplog.records
    assert record.levelname == level
    assert record.getMessage() == "the model runs on the CPU; CUDA is not used: a reason"


@pytest.fixture
def chosen(tmp_path: Path):
    """The problem that is found with a driver that shows so many GPUs, or fails."""
    compiler = shutil.which("cc")
    if compiler is None or not sys.platform.startswith("linux"):
        pytest.skip("no driver can be compiled here")

    def choose(
        dtype: str, gpus: int, error: int = 0, device_id: int = 0, files: str = "gpu"
    ) -> tuple[bool, str]:
        source = tmp_path / "driver.c"
        source.write_text(
            f"int cuInit(unsigned flags) {{ return {error}; }}\n"
            f"int cuDeviceGetCount(int *count) {{ *count = {gpus}; return 0; }}\n"
        )
        driver = tmp_path / "libcuda.so.1"
        subprocess.run([compiler, "-shared", "-fPIC", "-o", driver, source], check=True)
        done = subprocess.run(
            [sys.executable, "-c", _CHOOSE, dtype, str(device_id), files],
            env=os.environ | {"LD_LIBRARY_PATH": str(tmp_path)},
            check=True,
            capture_output=True,
            text=True,
        )
        present, _, reason = done.stdout.strip().partition(" ")
        return present == "True", reason

    return choose


def test_with_a_gpu_the_reason_is_the_right_one(chosen) -> None:
    missing = str(_missing_part())  # it depends on the machine
    assert chosen("float16", 1) == (True, missing)
    unsuited = "m is in float32, for which CUDA lacks operators; export it with --dtype bfloat16"
    assert chosen("float32", 1) == (True, f"{unsuited} or float16")
    assert chosen("float16", 2, device_id=2) == (True, "there is no GPU 2; the last one is 1")
    broken = "the NVIDIA driver does not work (CUDA error 803)"
    assert chosen("float16", 0, error=803) == (True, broken)


def test_a_driver_without_a_gpu(chosen) -> None:
    for error in (0, 34, 100):
        assert chosen("float16", 0, error) == (False, NO_GPU)
        assert not chosen("float32", 0, error)[0]


def test_a_driver_that_fails_where_the_system_shows_no_gpu(chosen) -> None:
    """As in a container whose image brings the driver library."""
    broken = "the NVIDIA driver does not work (CUDA error 803)"
    assert chosen("float16", 0, error=803, files="none") == (False, broken)
    if _count_gpus() == (0, None) and not _has_gpu_files():
        assert chosen("float16", 0, error=803, files="real") == (False, broken)
