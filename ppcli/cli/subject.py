"""The model that `bench` measures: a model directory, or one with random weights made for it."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass

from ppcli.cli.infer_output import open_model, report_cpu_fallback
from ppcli.cli.progress import steps
from ppcli.cli.terminal import Terminal
from ppcli.imaging.presets import Preset
from ppcli.models.families.base import ModelConfig
from ppcli.models.families.family_registry import family_of_size, published_config
from ppcli.models.model_choices import Device, Dtype, Weights
from ppcli.models.onnx.directory import ModelDirectory
from ppcli.models.onnx.execution_device import (
    ExecutionDevice,
    choose_device,
    find_cuda_problem,
)
from ppcli.models.onnx.random_model import random_model


@dataclass(frozen=True, slots=True)
class Subject:
    """A model to be measured, not made or loaded before its images are there.

    Attributes:
        device: where it runs.
        preset: of its images.
        opened: the model directory, for as long as the context lasts.
        whole: what it stands for, where layers may be left out.
    """

    device: ExecutionDevice
    preset: Preset
    opened: Callable[[], AbstractContextManager[ModelDirectory]]
    whole: ModelConfig | None = None


def of_directory(folder: str | None, device: Device, device_id: int) -> Subject:
    """What `export` wrote; None is the small model.

    Raises:
        ModelError, MissingDependencyError: when it cannot be used, or not there.
    """
    model = open_model(folder)
    runs_on = choose_device(model.folder, model.manifest.dtype, device, device_id)
    report_cpu_fallback(runs_on)
    return Subject(runs_on, model.preset, lambda: nullcontext(model))


def of_random_weights(
    size: str,
    layers: int | None,
    dtype: Dtype | None,
    weights: Weights,
    device: Device,
    device_id: int,
    terminal: Terminal,
) -> Subject:
    """One of a true shape; without a type it gets that which suits the device.

    Raises:
        ModelError, MissingDependencyError: when it would not run there.
        UsageError: for an unknown size.
    """
    family = family_of_size(size)
    kind = dtype or (Dtype.FLOAT32 if device is Device.CPU else Dtype.BFLOAT16)
    problem = find_cuda_problem(device_id) if dtype is None and device is Device.AUTO else None
    if problem is None:
        runs_on = choose_device(size, kind.value, device, device_id)
    else:
        kind, runs_on = Dtype.FLOAT32, ExecutionDevice(Device.CPU, cuda_problem=problem)

    @contextmanager
    def opened() -> Iterator[ModelDirectory]:
        with (
            steps(terminal, "tensors") as on_tensor,
            random_model(size, layers, kind, weights, on_tensor) as folder,
        ):
            yield ModelDirectory.open(folder)

    report_cpu_fallback(runs_on)
    return Subject(runs_on, family.preset, opened, published_config(size))
