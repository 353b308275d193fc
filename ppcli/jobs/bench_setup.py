"""Sets up a run of bench: the model that is measured, and the pages."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial

from ppcli.coding.coder_options import CoderOptions, warn_of_averages
from ppcli.errors import UsageError
from ppcli.imaging.decode import pillow_limits
from ppcli.imaging.fit_options import FitOptions
from ppcli.imaging.image_choices import DEFAULT_MAX_IMAGE_PIXELS
from ppcli.imaging.presets import Preset
from ppcli.inputs.input_options import InputOptions
from ppcli.jobs.analysis_options import AnalysisOptions
from ppcli.jobs.bench import BenchOptions, bench_model, bench_pages
from ppcli.jobs.bench_measures import BenchResult, log_failures
from ppcli.jobs.bench_options import MeasureOptions, RandomModelOptions
from ppcli.jobs.chosen_model import ChosenModel, report_cpu_fallback
from ppcli.jobs.run_control import RunControl
from ppcli.models.families.base import ModelConfig
from ppcli.models.families.family_registry import family_of_size, published_config
from ppcli.models.model_choices import Device, Dtype, Weights
from ppcli.models.model_options import ModelOptions
from ppcli.models.onnx.directory import ModelDirectory
from ppcli.models.onnx.execution_device import (
    ExecutionDevice,
    choose_device,
    find_cuda_problem,
)
from ppcli.models.onnx.random_model import random_model
from ppcli.models.serving.active_request import check_request
from ppcli.models.serving.generation_request import GenerationRequest


def bench(
    inputs: InputOptions,
    *,
    model: ModelOptions,
    random_weights: RandomModelOptions,
    coder: CoderOptions,
    measure: MeasureOptions,
    control: RunControl,
) -> BenchResult:
    """Measure a model with all patches and with the kept ones; see `ppcli.api.bench`."""
    if measure.price_per_hour is not None:
        raise UsageError("--price-per-hour needs --server URL")
    if model.model is not None and random_weights.random_weights is not None:
        raise UsageError("give --model DIR or --random-weights SIZE, not both")
    warn_of_averages(coder)
    listing = inputs.listing()
    listing.check()
    measured = _measured_model(model, random_weights, control)
    report_cpu_fallback(measured.device)
    analysis = AnalysisOptions(coder, FitOptions.of_preset(measured.preset), rebuildable=False)
    request = GenerationRequest(measure.prompt, max_new_tokens=measure.new_tokens)
    options = BenchOptions(request, measure.repeats, measure.batch_sizes, model.threads)
    with pillow_limits(DEFAULT_MAX_IMAGE_PIXELS):
        pages, failures = bench_pages(listing, analysis)
    log_failures(failures)
    if not pages:
        return BenchResult(measured.config, None, failures=failures)
    with measured.opened() as directory:
        check_request(directory, request)
        result = bench_model(
            directory,
            measured.device,
            pages,
            options,
            measured.whole,
            partial(control.report, "run"),
        )
    log_failures(result.failures)
    result.failures[:0] = failures
    return result


@dataclass(frozen=True, slots=True)
class _MeasuredModel:
    """A model that is neither made nor loaded before its pages are prepared.

    Attributes:
        device: where it runs.
        preset: of its images.
        config: its sizes.
        opened: the model directory, as long as the context lasts.
        whole: the sizes of the model it stands for, where layers may be left out.
    """

    device: ExecutionDevice
    preset: Preset
    config: ModelConfig
    opened: Callable[[], AbstractContextManager[ModelDirectory]]
    whole: ModelConfig | None = None


def _measured_model(
    model: ModelOptions, random: RandomModelOptions, control: RunControl
) -> _MeasuredModel:
    if random.random_weights is not None:
        return _random_model(random.random_weights, random, model, control)
    chosen = ChosenModel.of(model)
    directory = chosen.directory
    return _MeasuredModel(
        chosen.device, directory.preset, directory.config, lambda: nullcontext(directory)
    )


def _random_model(
    size: str, random: RandomModelOptions, model: ModelOptions, control: RunControl
) -> _MeasuredModel:
    """Return a model of a published size; by default of a data type that suits the device.

    Raises:
        ModelError, MissingDependencyError: it would not run on the device.
    """
    dtype = random.dtype or (Dtype.FLOAT32 if model.device is Device.CPU else Dtype.BFLOAT16)
    automatic = random.dtype is None and model.device is Device.AUTO
    problem = find_cuda_problem(model.device_id) if automatic else None
    if problem is None:
        device = choose_device(size, dtype.value, model.device, model.device_id)
    else:
        dtype, device = Dtype.FLOAT32, ExecutionDevice(Device.CPU, cuda_problem=problem)

    @contextmanager
    def opened() -> Iterator[ModelDirectory]:
        weights = random.weights or Weights.FLOAT
        on_tensor = partial(control.report, "tensor")
        with random_model(size, random.layers, dtype, weights, on_tensor) as folder:
            yield ModelDirectory.open(folder)

    return _MeasuredModel(
        device,
        family_of_size(size).preset,
        published_config(size, random.layers),
        opened,
        published_config(size),
    )
