"""Running the two graphs: onnxruntime on CUDA or on the CPU, and no silent change between them."""

import ctypes
import io
import os
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from typing import Any

import onnxruntime as ort

from ppcli.errors import MissingPartError, ModelError
from ppcli.vlm.choices import Device
from ppcli.vlm.directory import DECODER, VISION, ModelDirectory

CUDA_PROVIDER, CPU_PROVIDER = "CUDAExecutionProvider", "CPUExecutionProvider"
_ONLY_FATAL = 4
_PIP_LINE = 'pip install "onnxruntime-gpu[cuda,cudnn]"'


@dataclass(frozen=True, slots=True)
class Sessions:
    """Both graphs of a model, ready to run.

    Attributes:
        vision: patches to embeddings.
        decoder: tokens and embeddings to logits.
        device: `cuda` or `cpu`, where both run.
        device_id: which GPU.
        fallback: why CUDA is not used although it was welcome; None when it is, or was not.
    """

    vision: Any
    decoder: Any
    device: Device
    device_id: int
    fallback: str | None = None


def open_sessions(
    model: ModelDirectory, device: Device = Device.AUTO, device_id: int = 0, threads: int = 0
) -> Sessions:
    """Load the graphs.

    Args:
        model: the model directory.
        device: `auto` takes CUDA where it works.
        device_id: which GPU.
        threads: of the CPU, for one operator; 0 takes all cores.

    Raises:
        MissingPartError: when CUDA was asked for and cannot be used, with the reason.
        ModelError: when a graph cannot be loaded, or its type does not run on the device.
    """
    problem = None
    if device is not Device.CPU:
        problem = _cuda_problem() or _unfit_for_cuda(model)
        if problem is None:
            try:
                return _loaded(model, Device.CUDA, device_id, threads)
            except MissingPartError as error:
                problem = str(error)
        if device is Device.CUDA:
            raise MissingPartError(f"CUDA cannot be used: {problem}")
    if model.manifest.dtype == "bfloat16":
        wanted = f" ({problem})" if problem else ""
        raise ModelError(
            f"{model.folder} is in bfloat16, which runs on CUDA only{wanted}; "
            "for the CPU export it with --dtype float32"
        )
    sessions = _loaded(model, Device.CPU, 0, threads)
    return Sessions(sessions.vision, sessions.decoder, Device.CPU, 0, problem)


def _cuda_problem() -> str | None:
    """Why CUDA cannot be used, as far as that shows before a graph is loaded."""
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


def _unfit_for_cuda(model: ModelDirectory) -> str | None:
    if model.manifest.dtype == "float32":
        return (
            f"{model.folder} is in float32, for which CUDA lacks operators; "
            "export it with --dtype bfloat16 or float16"
        )
    return None


def _loaded(model: ModelDirectory, device: Device, device_id: int, threads: int) -> Sessions:
    providers: list[Any] = [CPU_PROVIDER]
    if device is Device.CUDA:
        providers.insert(0, (CUDA_PROVIDER, {"device_id": device_id}))
    vision, decoder = (
        _session(os.path.join(model.folder, name), providers, threads) for name in (VISION, DECODER)
    )
    for session in (vision, decoder):
        if device is Device.CUDA and CUDA_PROVIDER not in session.get_providers():
            raise MissingPartError(f"onnxruntime cannot use GPU {device_id}; is there one?")
    return Sessions(vision, decoder, device, device_id)


def _session(path: str, providers: Sequence[Any], threads: int) -> Any:  # noqa: ANN401
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = _ONLY_FATAL  # what goes wrong is raised
    try:
        return ort.InferenceSession(path, options, providers=list(providers))
    except Exception as error:  # its errors have no common class
        raise ModelError(f"{path} cannot be loaded: {error}") from error
