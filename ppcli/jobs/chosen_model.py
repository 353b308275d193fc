"""The model that the options choose, and the device that it runs on."""

import logging
from dataclasses import dataclass
from typing import Self

from ppcli.filesystems.schemes import is_url, shown_url
from ppcli.models.model_options import ModelOptions
from ppcli.models.onnx.directory import SMALL_MODEL, ModelDirectory
from ppcli.models.onnx.execution_device import (
    ExecutionDevice,
    GpuProblem,
    choose_device,
    find_cuda_problem,
)
from ppcli.models.onnx.model_cache import open_model
from ppcli.models.onnx.sessions import Sessions, open_sessions

_SMALL_MODEL_ANSWERS = (
    "without --model, the small model in the package answers: it reads forms, tables and windows "
    "like those it was trained on; for real work use "
    "pixelprune export Qwen/Qwen3-VL-2B-Instruct DIR"
)

logger = logging.getLogger("pixelprune")


@dataclass(frozen=True, slots=True)
class ChosenModel:
    """A model directory and a device, before the graphs are loaded.

    Attributes:
        directory: the model directory.
        device: where it runs.
        threads: CPU threads; 0 for all cores.
    """

    directory: ModelDirectory
    device: ExecutionDevice
    threads: int

    @classmethod
    def of(cls, options: ModelOptions, gpu_problem: GpuProblem = find_cuda_problem) -> Self:
        """Open the model directory, or the small model in the package.

        One at a URL is copied into the cache of this machine.

        Args:
            options: the directory and the device.
            gpu_problem: see `choose_device`.

        Raises:
            ModelError: the directory is invalid or incomplete, or does not run on the device.
            StoreError: the URL cannot be read.
            UsageError: the scheme of the URL is unknown.
            MissingDependencyError: CUDA was chosen and cannot be used, or the driver of the URL is
                not installed.
        """
        if options.model is None:
            logger.warning("%s", _SMALL_MODEL_ANSWERS)
        return cls.opened(options, gpu_problem)

    @classmethod
    def opened(cls, options: ModelOptions, gpu_problem: GpuProblem = find_cuda_problem) -> Self:
        """Do the same without a warning about the small model."""
        model = SMALL_MODEL if options.model is None else options.model
        directory = open_model(model)
        name = shown_url(model) if is_url(model) else model
        dtype = directory.manifest.dtype
        device = choose_device(name, dtype, options.device, options.device_id, gpu_problem)
        return cls(directory, device, options.threads)

    def open_sessions(self) -> Sessions:
        """Load the graphs.

        Raises:
            ModelError, MissingDependencyError: they do not run on the device.
        """
        return open_sessions(self.directory, self.device, self.threads)


def report_cpu_fallback(device: ExecutionDevice) -> None:
    """Log why a model runs on the CPU: a warning if a GPU stays idle, else at debug level."""
    problem = device.cuda_problem
    if problem is not None:
        level = logging.WARNING if problem.gpu_present else logging.DEBUG
        logger.log(level, "the model runs on the CPU; CUDA is not used: %s", problem.reason)
