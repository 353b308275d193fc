"""Sets up a run of bench whose model is that of a server."""

from dataclasses import asdict
from functools import partial

from ppcli.coding.coder_options import CoderOptions
from ppcli.errors import UsageError
from ppcli.imaging.decode import pillow_limits
from ppcli.imaging.image_choices import DEFAULT_MAX_IMAGE_PIXELS
from ppcli.inputs.input_options import InputOptions
from ppcli.jobs.analysis_options import AnalysisOptions
from ppcli.jobs.bench_measures import log_failures
from ppcli.jobs.bench_options import MeasureOptions, RandomModelOptions
from ppcli.jobs.run_control import RunControl
from ppcli.jobs.server_bench import ServerBench, server_pages
from ppcli.jobs.server_bench_measures import ServerBenchResult
from ppcli.jobs.server_setup import ConnectedServers, check_server_options, connected_to_compare
from ppcli.models.model_options import ModelOptions
from ppcli.models.remote.server_options import ServerOptions
from ppcli.models.serving.generation_request import GenerationRequest
from ppcli.version import __version__


def bench_server(
    inputs: InputOptions,
    *,
    model: ModelOptions,
    random_weights: RandomModelOptions,
    server: ServerOptions,
    coder: CoderOptions,
    measure: MeasureOptions,
    control: RunControl,
) -> ServerBenchResult:
    """Measure servers with all patches and with the kept ones; see `ppcli.api.bench`."""
    _check_options(model, random_weights, coder, measure)
    listing = inputs.listing()
    listing.check()
    request = GenerationRequest(measure.prompt, max_new_tokens=measure.new_tokens)
    with connected_to_compare(server, streams=True) as servers:
        options = AnalysisOptions(coder, servers.fit, patches=False, rebuildable=False)
        with pillow_limits(DEFAULT_MAX_IMAGE_PIXELS):
            pages, failures = server_pages(listing, options)
        log_failures(failures)
        result = ServerBenchResult(price_per_hour=measure.price_per_hour)
        if pages:
            result.setting = _setting(servers, server, coder, measure)
            on_request = partial(control.report, "request")
            bench = ServerBench(servers.connection, request, measure.repeats, on_request)
            bench.measure(pages, result)
    log_failures(result.failures)
    result.failures[:0] = failures
    return result


def _check_options(
    model: ModelOptions,
    random_weights: RandomModelOptions,
    coder: CoderOptions,
    measure: MeasureOptions,
) -> None:
    """Refuse options that are for a model in this process.

    Raises:
        UsageError: naming them.
    """
    if random_weights != RandomModelOptions():
        raise UsageError("--random-weights is for a local model; --server names the model")
    if measure.batch_sizes is not None:
        raise UsageError("--batch-sizes is for a local model; servers take --in-flight")
    if coder.seed:
        raise UsageError("--seed is for the method random, which servers do not have")
    check_server_options(model, None, coder)


def _setting(
    servers: ConnectedServers, server: ServerOptions, coder: CoderOptions, measure: MeasureOptions
) -> dict[str, object]:
    """Describe versions, servers, model and options."""
    pruned = asdict(coder)
    return {
        "pixelprune": __version__,
        "servers": list(server.urls),
        "model": servers.connection.facts.model,
        **{name: pruned[name] for name in ("method", "metric", "mode", "threshold")},
        "repeats": measure.repeats,
        "new_tokens": measure.new_tokens,
        "prompt": measure.prompt,
        "price_per_hour": measure.price_per_hour,
    }
