"""Running the two graphs: onnxruntime on CUDA or on the CPU, and no silent change between them."""

import ctypes
import io
import os
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from typing import Any

import onnxruntime as ort

from ppcli.errors import MissingDependencyError, ModelError
from ppcli.models.model_choices import Device
from ppcli.models.onnx.directory import DECODER, VISION, ModelDirectory

CUDA_PROVIDER, CPU_PROVIDER = "CUDAExecutionProvider", "CPUExecutionProvider"
_ONLY_FATAL = 4
_NO_GPU = (34, 100)  # of a driver that stands in for one, and of one that finds no GPU
_PIP_LINE = 'pip install "onnxruntime-gpu[cuda,cudnn]"'


@dataclass(frozen=True, slots=True)
class Place:
    """Where a model runs.

    Attributes:
        device: `cuda` or `cpu`.
        device_id: which GPU.
        fallback: why CUDA is not used although it was welcome and there is a GPU; else None.
    """

    device: Device
    device_id: int = 0
    fallback: str | None = None


@dataclass(frozen=True, slots=True)
class CudaProblem:
    """Why CUDA is not used.

    Attributes:
        reason: for people.
        gpu: whether there is a GPU that stays idle.
    """

    reason: str
    gpu: bool


@dataclass(frozen=True, slots=True)
class Sessions:
    """Both graphs of a model, ready to run.

    Attributes:
        vision: patches to embeddings.
        decoder: tokens and embeddings to logits.
        place: where they run.
    """

    vision: Any
    decoder: Any
    place: Place


def choose_place(name: str, dtype: str, device: Device, device_id: int = 0) -> Place:
    """Find out where a model can run, before anything of it is loaded.

    Args:
        name: what messages call the model.
        dtype: of the model.
        device: `auto` takes CUDA where it works.
        device_id: which GPU.

    Raises:
        MissingDependencyError: when CUDA was asked for and cannot be used, with the reason.
        ModelError: when the type of the model does not run on the device.
    """
    problem = None
    if device is not Device.CPU:
        unfit = _unfit_for_cuda(name, dtype)
        if unfit and device is Device.CUDA:
            raise ModelError(unfit)
        problem = cuda_problem(device_id)
        if unfit:
            problem = CudaProblem(unfit, problem is None or problem.gpu)
        if problem is None:
            return Place(Device.CUDA, device_id)
        if device is Device.CUDA:
            raise MissingDependencyError(f"CUDA cannot be used: {problem.reason}")
    if dtype == "bfloat16":
        wanted = f" ({problem.reason})" if problem else ""
        raise ModelError(
            f"{name} is in bfloat16, which runs on CUDA only{wanted}; "
            "for the CPU it takes --dtype float32"
        )
    return on_cpu(problem)


def on_cpu(problem: CudaProblem | None) -> Place:
    """The CPU; that CUDA is not used is worth a word where there is a GPU."""
    return Place(Device.CPU, fallback=problem.reason if problem and problem.gpu else None)


def open_sessions(model: ModelDirectory, place: Place, threads: int = 0) -> Sessions:
    """Load the graphs.

    Args:
        model: the model directory.
        place: where they run.
        threads: of the CPU, for one operator; 0 takes all cores.

    Raises:
        MissingDependencyError: when onnxruntime does not use CUDA after all.
        ModelError: when a graph cannot be loaded.
    """
    providers: list[Any] = [CPU_PROVIDER]
    if place.device is Device.CUDA:
        providers.insert(0, (CUDA_PROVIDER, {"device_id": place.device_id}))
    vision, decoder = (
        _session(os.path.join(model.folder, name), providers, threads) for name in (VISION, DECODER)
    )
    for session in (vision, decoder):
        if place.device is Device.CUDA and CUDA_PROVIDER not in session.get_providers():
            raise MissingDependencyError(
                f"onnxruntime does not use GPU {place.device_id}; --device cpu does without it"
            )
    return Sessions(vision, decoder, place)


def cuda_problem(device_id: int = 0) -> CudaProblem | None:
    """Why CUDA cannot be used, as far as that shows before a graph is loaded; None if it can."""
    count, failure = _gpus()
    if failure:
        return CudaProblem(failure, True)
    if not count:
        return CudaProblem("there is no NVIDIA GPU that its driver shows", False)
    if device_id >= count:
        return CudaProblem(f"there is no GPU {device_id}, the last one is {count - 1}", True)
    reason = _missing_part()
    return CudaProblem(reason, True) if reason else None


def _gpus() -> tuple[int, str | None]:
    """How many GPUs the driver of NVIDIA shows, and what is wrong with it."""
    try:
        driver = ctypes.CDLL("nvcuda.dll" if os.name == "nt" else "libcuda.so.1")
    except OSError:
        return 0, None
    count = ctypes.c_int(0)
    error = driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count))
    if error and error not in _NO_GPU:
        return 0, f"the driver of the GPU does not work (CUDA error {error})"
    return count.value, None


def _missing_part() -> str | None:
    if CUDA_PROVIDER not in ort.get_available_providers():
        return "this onnxruntime was built without it; pip install onnxruntime-gpu"
    if hasattr(ort, "preload_dlls"):
        with redirect_stdout(io.StringIO()):  # where it prints what it does not find
            ort.preload_dlls()
    folder = os.path.join(os.path.dirname(ort.__file__), "capi")
    library = os.path.join(folder, "libonnxruntime_providers_cuda.so")
    if os.path.exists(library):  # elsewhere than on Linux the session tells
        try:
            ctypes.CDLL(os.path.join(folder, "libonnxruntime_providers_shared.so"))
            ctypes.CDLL(library)
        except OSError as error:
            return f"{error}; {_PIP_LINE}"
    return None


def _unfit_for_cuda(name: str, dtype: str) -> str | None:
    if dtype == "float32":
        return (
            f"{name} is in float32, for which CUDA lacks operators; "
            "it takes --dtype bfloat16 or float16"
        )
    return None


def _session(path: str, providers: Sequence[Any], threads: int) -> Any:  # noqa: ANN401
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = _ONLY_FATAL  # what goes wrong is raised
    try:
        return ort.InferenceSession(path, options, providers=list(providers))
    except Exception as error:  # its errors have no common class
        raise ModelError(f"{path} cannot be loaded: {error}") from error
