"""The model that `bench` measures: a model directory, or one with random weights made for it."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass

from ppcli.cli.infer_output import open_model, tell_fallback
from ppcli.cli.progress import steps
from ppcli.cli.terminal import Terminal
from ppcli.imaging.presets import DEFAULT_PRESET, PRESETS, Preset
from ppcli.models.families.qwen3_vl.configuration import ModelConfig
from ppcli.models.model_choices import Device, Dtype, ModelSize, Weights
from ppcli.models.onnx.directory import ModelDirectory
from ppcli.models.onnx.random_weights import config_of, random_model
from ppcli.models.onnx.sessions import Place, choose_place, cuda_problem, on_cpu


@dataclass(frozen=True, slots=True)
class Subject:
    """A model to be measured, not made or loaded before its images are there.

    Attributes:
        place: where it runs.
        preset: of its images.
        opened: the model directory, for as long as the context lasts.
        whole: what it stands for, where layers may be left out.
    """

    place: Place
    preset: Preset
    opened: Callable[[], AbstractContextManager[ModelDirectory]]
    whole: ModelConfig | None = None


def of_directory(folder: str | None, device: Device, device_id: int) -> Subject:
    """What `export` wrote; None is the small model.

    Raises:
        ModelError, MissingDependencyError: when it cannot be used, or not there.
    """
    model = open_model(folder)
    place = choose_place(model.folder, model.manifest.dtype, device, device_id)
    tell_fallback(place)
    return Subject(place, model.preset, lambda: nullcontext(model))


def of_random_weights(
    size: ModelSize,
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
    """
    kind = dtype or (Dtype.FLOAT32 if device is Device.CPU else Dtype.BFLOAT16)
    problem = cuda_problem(device_id) if dtype is None and device is Device.AUTO else None
    if problem is None:
        place = choose_place(size.value, kind.value, device, device_id)
    else:
        kind, place = Dtype.FLOAT32, on_cpu(problem)

    @contextmanager
    def opened() -> Iterator[ModelDirectory]:
        with (
            steps(terminal, "tensors") as on_tensor,
            random_model(size, layers, kind, weights, on_tensor) as folder,
        ):
            yield ModelDirectory.open(folder)

    tell_fallback(place)
    return Subject(place, PRESETS[DEFAULT_PRESET], opened, config_of(size))
