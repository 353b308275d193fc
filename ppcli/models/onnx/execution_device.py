"""Chooses where a model runs, before it is loaded: on CUDA or on the CPU."""

import ctypes
import glob
import io
import os
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import dataclass

import onnxruntime as ort

from ppcli.errors import MissingDependencyError, ModelError
from ppcli.models.model_choices import Device

CUDA_PROVIDER, CPU_PROVIDER = "CUDAExecutionProvider", "CPUExecutionProvider"
_NO_GPU = (34, 100)  # CUDA errors of a stub driver, and of a driver that finds no GPU
_GPU_PATHS = (  # of the driver, of device files, of WSL, and of Jetson
    "/proc/driver/nvidia/gpus/*",
    "/dev/nvidia[0-9]*",
    "/dev/dxg",
    "/dev/nvmap",
)
_PIP_LINE = 'pip install "onnxruntime-gpu[cuda,cudnn]"'


@dataclass(frozen=True, slots=True)
class CudaProblem:
    """Why CUDA is not used.

    Attributes:
        reason: a phrase for messages.
        gpu_present: whether the machine has an NVIDIA GPU, which stays idle.
    """

    reason: str
    gpu_present: bool


GpuProblem = Callable[[int], CudaProblem | None]
"""Tells from the number of a GPU why it cannot be used; None if it can."""


@dataclass(frozen=True, slots=True)
class ExecutionDevice:
    """Where a model runs.

    Attributes:
        kind: `cuda` or `cpu`.
        index: of the GPU.
        cuda_problem: why `auto` chose the CPU; None if CUDA is used or was not wanted.
    """

    kind: Device
    index: int = 0
    cuda_problem: CudaProblem | None = None


def find_cuda_problem(index: int = 0) -> CudaProblem | None:
    """Check whether CUDA can be used, as far as that is possible without loading a model.

    Args:
        index: of the GPU.

    Returns:
        What is wrong; None if nothing is.
    """
    count, failure = _count_gpus()
    if failure:
        return CudaProblem(failure, _has_gpu_files())
    if not count:
        return CudaProblem("the NVIDIA driver finds no GPU, or is not installed", False)
    if index >= count:
        return CudaProblem(f"there is no GPU {index}; the last one is {count - 1}", True)
    reason = _missing_part()
    return CudaProblem(reason, True) if reason else None


def choose_device(
    name: str,
    dtype: str,
    device: Device,
    index: int = 0,
    gpu_problem: GpuProblem = find_cuda_problem,
) -> ExecutionDevice:
    """Choose where a model runs.

    Args:
        name: of the model, for messages.
        dtype: of the model.
        device: `auto` chooses CUDA if it works.
        index: of the GPU.
        gpu_problem: tells why a GPU cannot be used; by default one of this machine.

    Raises:
        MissingDependencyError: if CUDA was requested and cannot be used.
        ModelError: if a model of this type cannot run on the device.
    """
    problem = None
    if device is not Device.CPU:
        unsuited = _why_not_on_cuda(name, dtype)
        if unsuited and device is Device.CUDA:
            raise ModelError(unsuited)
        problem = gpu_problem(index)
        if unsuited:
            problem = CudaProblem(unsuited, problem is None or problem.gpu_present)
        if problem is None:
            return ExecutionDevice(Device.CUDA, index)
        if device is Device.CUDA:
            raise MissingDependencyError(f"CUDA cannot be used: {problem.reason}")
    if dtype == "bfloat16":
        reason = f" ({problem.reason})" if problem else ""
        raise ModelError(
            f"{name} is in bfloat16, which runs on CUDA only{reason}; "
            "for the CPU export it with --dtype float32"
        )
    return ExecutionDevice(Device.CPU, cuda_problem=problem)


def _count_gpus() -> tuple[int, str | None]:
    """How many GPUs the NVIDIA driver finds, and what is wrong with the driver."""
    try:
        driver = ctypes.CDLL("nvcuda.dll" if os.name == "nt" else "libcuda.so.1")
    except OSError:
        return 0, None
    count = ctypes.c_int(0)
    error = driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count))
    if error and error not in _NO_GPU:
        return 0, f"the NVIDIA driver does not work (CUDA error {error})"
    return count.value, None


def _has_gpu_files() -> bool:
    """Whether the system shows a GPU. Containers may have a driver library without one."""
    return not sys.platform.startswith("linux") or any(map(glob.glob, _GPU_PATHS))


def _missing_part() -> str | None:
    if CUDA_PROVIDER not in ort.get_available_providers():
        return "this onnxruntime was built without CUDA; pip install onnxruntime-gpu"
    if hasattr(ort, "preload_dlls"):
        with redirect_stdout(io.StringIO()):  # it prints what it does not find
            ort.preload_dlls()
    folder = os.path.join(os.path.dirname(ort.__file__), "capi")
    library = os.path.join(folder, "libonnxruntime_providers_cuda.so")
    if os.path.exists(library):  # on other systems the session reports it
        try:
            ctypes.CDLL(os.path.join(folder, "libonnxruntime_providers_shared.so"))
            ctypes.CDLL(library)
        except OSError as error:
            return f"{error}; {_PIP_LINE}"
    return None


def _why_not_on_cuda(name: str, dtype: str) -> str | None:
    if dtype == "float32":
        return (
            f"{name} is in float32, for which CUDA lacks operators; "
            "export it with --dtype bfloat16 or float16"
        )
    return None
