"""Loads the two graphs of a model into onnxruntime, without a silent change of the device."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import onnxruntime as ort

from ppcli.errors import MissingDependencyError, ModelError
from ppcli.models.model_choices import Device
from ppcli.models.onnx.directory import DECODER, VISION, ModelDirectory
from ppcli.models.onnx.execution_device import CPU_PROVIDER, CUDA_PROVIDER, ExecutionDevice

_ONLY_FATAL = 4


@dataclass(frozen=True, slots=True)
class Sessions:
    """Both graphs of a model, loaded.

    Attributes:
        vision: patches to image features.
        decoder: tokens and image features to logits.
        device: where they run.
    """

    vision: Any
    decoder: Any
    device: ExecutionDevice


def open_sessions(model: ModelDirectory, device: ExecutionDevice, threads: int = 0) -> Sessions:
    """Load the graphs of a model.

    Args:
        model: the model directory.
        device: where they run.
        threads: CPU threads for one operator; 0 uses all cores.

    Raises:
        MissingDependencyError: if onnxruntime does not use CUDA although it should.
        ModelError: if a graph cannot be loaded.
    """
    providers: list[Any] = [CPU_PROVIDER]
    if device.kind is Device.CUDA:
        providers.insert(0, (CUDA_PROVIDER, {"device_id": device.index}))
    vision, decoder = (
        _session(os.path.join(model.folder, name), providers, threads) for name in (VISION, DECODER)
    )
    for session in (vision, decoder):
        if device.kind is Device.CUDA and CUDA_PROVIDER not in session.get_providers():
            raise MissingDependencyError(
                f"onnxruntime does not use GPU {device.index}; run on the CPU with --device cpu"
            )
    return Sessions(vision, decoder, device)


def _session(path: str, providers: Sequence[Any], threads: int) -> Any:  # noqa: ANN401
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = _ONLY_FATAL  # errors are raised as well
    try:
        return ort.InferenceSession(path, options, providers=list(providers))
    except Exception as error:  # its errors have no common base class
        raise ModelError(f"{path} cannot be loaded: {error}") from error
