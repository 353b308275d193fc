"""The job of `bench`: time a model on the same pages, full and pruned in turn."""

import os
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import cycle, islice
from typing import Any

import onnxruntime as ort

from ppcli.coding.coder_options import CoderOptions
from ppcli.coding.patchset import KeptTiles
from ppcli.engine.run import no_inputs_error
from ppcli.errors import ErrorCode, ImageError, UsageError
from ppcli.inputs.refs import ImageRef
from ppcli.jobs.analysis_options import AnalysisOptions, load_kernels
from ppcli.jobs.bench_measures import (
    BatchMeasure,
    BenchResult,
    Failure,
    PageMeasure,
    Paired,
    PhaseTimes,
    RequestSize,
    combined,
)
from ppcli.jobs.peak_memory import peak_bytes
from ppcli.jobs.selected_pages import selected_pages
from ppcli.models.families.base import ModelConfig
from ppcli.models.model_choices import Device
from ppcli.models.onnx.directory import ModelDirectory
from ppcli.models.onnx.execution_device import ExecutionDevice
from ppcli.models.onnx.sessions import Sessions, open_sessions
from ppcli.models.serving.active_request import ActiveRequest, start_request
from ppcli.models.serving.answering_model import rebuild_all_tiles
from ppcli.models.serving.batch import Batch, Generated
from ppcli.models.serving.generation_request import GenerationRequest
from ppcli.models.serving.runner import Runner
from ppcli.store.patch_codec import kept_tiles
from ppcli.store.rows import AnswerRow, error_of
from ppcli.version import __version__

_BATCH_SIZES = {Device.CPU: (1, 8), Device.CUDA: (1, 8, 32)}
_NEVER: frozenset[int] = frozenset()  # no token ends an answer, so all have the same length


@dataclass(frozen=True, slots=True)
class BenchOptions:
    """What is measured.

    Attributes:
        request: prompt and settings; every answer has the maximum number of tokens.
        repeats: measured runs of each page and of each batch size, after one to warm up.
        batch_sizes: requests at a time; None for the default of the device.
        threads: of the CPU; 0 for all cores.

    Raises:
        UsageError: if answers have fewer than two tokens.
    """

    request: GenerationRequest
    repeats: int = 3
    batch_sizes: Sequence[int] | None = None
    threads: int = 0

    def __post_init__(self) -> None:
        if self.request.max_new_tokens < 2:
            raise UsageError("decoding is timed after the first token; generate 2 tokens or more")


@dataclass(frozen=True, slots=True, eq=False)
class BenchPage:
    """One page for both runs.

    Attributes:
        image_id: of the page.
        tiles: that are fed.
        code_ms: milliseconds that pruning took.
    """

    image_id: str
    tiles: Paired[KeptTiles]
    code_ms: float


def bench_pages(
    refs: Iterable[ImageRef], options: AnalysisOptions
) -> tuple[list[BenchPage], list[Failure]]:
    """Decode and prune all pages of images, in this process.

    Args:
        refs: the images.
        options: how they are pruned.

    Returns:
        The pages, and those that failed.

    Raises:
        NothingToDoError: if there is no image.
    """
    load_kernels(options)
    lossless = replace(options, coder=CoderOptions())
    pages, failures = [], []
    for ref in refs:
        exact = selected_pages(ref, lossless)
        for page, whole in zip(selected_pages(ref, options), exact, strict=True):
            row = page.row
            if (error := error_of(row) or error_of(whole.row)) is not None:
                failures.append(Failure(row.image_id, error))
                continue
            assert page.patches is not None and whole.patches is not None
            tiles = Paired(rebuild_all_tiles(kept_tiles(whole.patches)), kept_tiles(page.patches))
            pages.append(BenchPage(row.image_id, tiles, row.code_ms or 0.0))
    if not pages and not failures:
        raise no_inputs_error("image", 0)
    return pages, failures


def bench_model(
    model: ModelDirectory,
    device: ExecutionDevice,
    pages: Sequence[BenchPage],
    options: BenchOptions,
    whole_config: ModelConfig | None = None,
    on_run: Callable[[int, int], None] = lambda done, total: None,
) -> BenchResult:
    """Measure a model on some pages.

    Args:
        model: the model directory.
        device: where the model runs.
        pages: to ask about.
        options: what is measured.
        whole_config: of the complete model, if layers were left out.
        on_run: called after each run with the number of finished runs and of all runs.

    Raises:
        ModelError, MissingDependencyError: when the model cannot be loaded there.
    """
    result = BenchResult(model.config, whole_config if whole_config != model.config else None)
    sizes = sorted(options.batch_sizes or _BATCH_SIZES[device.kind])
    sessions = open_sessions(model, device, options.threads)
    result.setting = _setting(model, sessions, options, result.whole)
    total = 2 * (1 + options.repeats) * (len(pages) + len(sizes))
    steps = iter(range(1, total + 1))
    bench = _Bench(model, sessions, options, lambda: on_run(next(steps), total))
    measured = [page for page in pages if result.add(bench.alone(page))]
    for size in sizes if measured else ():
        result.add(bench.together(measured, size))
    del bench, sessions  # before other processes load the model
    if result.batches:
        result.peak_batch_size = result.batches[-1].batch_size
        try:
            result.peak_bytes = _peaks(model, device, options, measured, result.peak_batch_size)
        except ImageError as error:
            result.add(Failure("peak memory", error))
    return result


def _peaks(
    model: ModelDirectory,
    device: ExecutionDevice,
    options: BenchOptions,
    pages: Sequence[BenchPage],
    size: int,
) -> Paired[int]:
    """Measure the peak memory of a batch of the largest pages, in one process for each run."""
    tiles = Paired([page.tiles.full for page in pages], [page.tiles.pruned for page in pages])

    def peak(tiles_of_run: Sequence[KeptTiles]) -> int:
        largest = sorted(tiles_of_run, key=lambda kept: -kept.kept)
        chosen = list(islice(cycle(largest), size))
        return peak_bytes(model.folder, device, options.threads, options.request, chosen)

    return tiles.map(peak)


def _setting(
    model: ModelDirectory, sessions: Sessions, options: BenchOptions, whole: ModelConfig | None
) -> dict[str, Any]:
    """Describe versions, model, device and options."""
    return {
        "pixelprune": __version__,
        "onnxruntime": ort.__version__,
        "model": model.manifest.source,
        "dtype": model.manifest.dtype,
        "weights": model.manifest.matrices,
        "vision_layers": model.config.vision_layers,
        "text_layers": model.config.text_layers,
        "layers_extrapolated_to": whole and [whole.vision_layers, whole.text_layers],
        "device": sessions.device.kind.value,
        "providers": sessions.decoder.get_providers(),
        "cores": os.cpu_count(),
        "threads": options.threads,
        "repeats": options.repeats,
        "new_tokens": options.request.max_new_tokens,
        "prompt": options.request.prompt,
    }


@dataclass(frozen=True, slots=True)
class _Answered:
    """An answered request."""

    size: RequestSize
    times: PhaseTimes
    tokens: list[int]

    @classmethod
    def of(cls, active: ActiveRequest, made: Generated) -> "_Answered":
        tiles, steps = active.row.kept or 0, len(made.tokens) - 1
        times = PhaseTimes(
            active.row.select_ms or 0.0, made.vision_ms, made.prefill_ms, made.decode_ms
        )
        return cls(
            RequestSize(tiles, active.batch_request.prompt.length, steps), times, made.tokens
        )


class _Bench:
    """Runs requests about pages, full and pruned in turn."""

    def __init__(
        self,
        model: ModelDirectory,
        sessions: Sessions,
        options: BenchOptions,
        on_run: Callable[[], None],
    ) -> None:
        self._model, self._request = model, options.request
        self._rounds, self._on_run = 1 + options.repeats, on_run
        self._runner = Runner(model, sessions)
        self._alone: dict[BenchPage, Paired[list[int]]] = {}

    def alone(self, page: BenchPage) -> PageMeasure | Failure:
        """Measure one page by itself."""
        rounds: list[Paired[_Answered]] = []
        try:
            for _ in range(self._rounds):
                both = [self._run([page], tiles, 1)[1][0] for tiles in _PRUNED]
                rounds.append(Paired(*both))
        except ImageError as error:
            return Failure(page.image_id, error)
        last = rounds[-1]
        answers = last.map(lambda answered: self._until_end(answered.tokens))
        self._alone[page] = answers
        times = [one.map(lambda answered: answered.times) for one in rounds[1:]]
        sizes = last.map(lambda answered: answered.size)
        return PageMeasure(page.image_id, sizes, combined(times, statistics.median), answers)

    def together(self, pages: Sequence[BenchPage], size: int) -> BatchMeasure | Failure:
        """Measure a batch size with every page; pages repeat to fill the last batch."""
        count = size * -(-len(pages) // size)
        rounds: list[Paired[tuple[float, list[_Answered]]]] = []
        try:
            for _ in range(self._rounds):
                runs = [self._run(islice(cycle(pages), count), tiles, size) for tiles in _PRUNED]
                rounds.append(Paired(*runs))
        except ImageError as error:
            return Failure(f"batch of {size}", error)
        except UsageError as error:  # it does not fit into memory
            return Failure(f"batch of {size}", ImageError(ErrorCode.OUT_OF_MEMORY, str(error)))
        sums = [
            combined([Paired(*pair) for pair in zip(*one.map(_times), strict=True)])
            for one in rounds[1:]
        ]
        full, pruned = rounds[-1].map(lambda run: run[1])
        known = [self._alone[page] for page in islice(cycle(pages), count)]
        return BatchMeasure(
            size,
            count,
            Paired(
                statistics.median(one.full[0] for one in rounds[1:]),
                statistics.median(one.pruned[0] for one in rounds[1:]),
            ),
            combined(sums, statistics.median),
            [Paired(one.size, other.size) for one, other in zip(full, pruned, strict=True)],
            Paired(
                self._differing(full, [alone.full for alone in known]),
                self._differing(pruned, [alone.pruned for alone in known]),
            ),
        )

    def _differing(self, run: Sequence[_Answered], alone: Sequence[list[int]]) -> int:
        """Count the answers that differ from the answer to the same page by itself."""
        pairs = zip(run, alone, strict=True)
        return sum(self._until_end(answered.tokens) != known for answered, known in pairs)

    def _until_end(self, tokens: Sequence[int]) -> list[int]:
        return until_end(tokens, self._model.end_tokens)

    def _run(
        self, pages: Iterable[BenchPage], pruned: bool, size: int
    ) -> tuple[float, list[_Answered]]:
        """Ask about all pages, `size` at a time.

        Returns:
            The seconds that the model took, and each answered request.

        Raises:
            ImageError: if a request fails, or a step runs out of memory.
            UsageError: if the batch does not fit into memory.
        """
        started, preparation = time.perf_counter(), 0.0
        batch: Batch[tuple[int, ActiveRequest]] = Batch(self._runner, _NEVER, size)
        done: dict[int, _Answered] = {}
        waiting = enumerate(pages)
        held: tuple[int, ActiveRequest] | None = None
        has_ended = False
        while not has_ended or batch.active:
            while not has_ended and not batch.full:
                preparing = time.perf_counter()
                if held is None:
                    held = next(((n, self._activate(page, pruned)) for n, page in waiting), None)
                preparation += time.perf_counter() - preparing
                has_ended = held is None
                if held is None or not batch.can_start(held[1].batch_request):
                    break
                batch.start(held, held[1].batch_request)
                held = None
            for (number, active), answer in batch.step():
                if isinstance(answer, ImageError):
                    raise answer
                done[number] = _Answered.of(active, answer)
            if self._runner.slots != size:
                raise ImageError(ErrorCode.OUT_OF_MEMORY, f"a step of {size} at once failed")
        seconds = time.perf_counter() - started - preparation
        self._on_run()
        return seconds, [done[number] for number in range(len(done))]

    def _activate(self, page: BenchPage, pruned: bool) -> ActiveRequest:
        row = AnswerRow(
            image_id=page.image_id,
            page=1,
            prompt=self._request.prompt,
            select_ms=page.code_ms if pruned else 0.0,
        )
        tiles = page.tiles.pruned if pruned else page.tiles.full
        return start_request(self._model, row, self._request, [tiles])


_PRUNED = (False, True)


def _times(run: tuple[float, Sequence[_Answered]]) -> list[PhaseTimes]:
    """Return the times of each request, without preparation."""
    return [replace(answered.times, select_ms=0.0) for answered in run[1]]


def until_end(tokens: Sequence[int], ends: frozenset[int]) -> list[int]:
    """Cut an answer before the first of the tokens that end answers."""
    positions = (position for position, token in enumerate(tokens) if token in ends)
    return list(tokens[: next(positions, len(tokens))])
