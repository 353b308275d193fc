"""The work of `bench`: the same pages, full and pruned, through the same model in turn."""

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
from ppcli.errors import ErrorCode, ImageError, NothingToDoError, UsageError
from ppcli.inputs.refs import ImageRef
from ppcli.jobs.analysis_options import AnalysisOptions, load_kernels
from ppcli.jobs.bench_measures import (
    BatchMeasure,
    BenchResult,
    Failure,
    PageMeasure,
    Sides,
    Size,
    Times,
    combined,
)
from ppcli.jobs.peak_memory import peak_bytes
from ppcli.jobs.request_images import selected_pages
from ppcli.models.families.qwen3_vl.configuration import ModelConfig
from ppcli.models.model_choices import Device
from ppcli.models.onnx.directory import ModelDirectory
from ppcli.models.onnx.sessions import Place, Sessions, open_sessions
from ppcli.models.serving.active_request import ActiveRequest, start_request
from ppcli.models.serving.answering_model import rebuild_all_tiles
from ppcli.models.serving.batch import Batch, Generated
from ppcli.models.serving.generation_request import GenerationRequest
from ppcli.models.serving.runner import Runner
from ppcli.store.patch_codec import kept_tiles
from ppcli.store.rows import AnswerRow
from ppcli.version import __version__

_BATCH_SIZES = {Device.CPU: (1, 8), Device.CUDA: (1, 8, 32)}
_NEVER: frozenset[int] = frozenset()  # no token ends an answer: all are of one length


@dataclass(frozen=True, slots=True)
class BenchOptions:
    """What is measured.

    Attributes:
        ask: what is asked of every page; the answer has as many tokens as it may.
        repeats: of each page alone, and of each batch; one more is to warm up.
        batch_sizes: requests at once; None takes what suits the device.
        threads: of the CPU; 0 for all cores.
    """

    ask: GenerationRequest
    repeats: int = 3
    batch_sizes: Sequence[int] | None = None
    threads: int = 0

    def __post_init__(self) -> None:
        if self.ask.max_new_tokens < 2:
            raise UsageError("the time of a token is that of those after the first; ask for 2")


@dataclass(frozen=True, slots=True, eq=False)
class BenchPage:
    """One page as both sides take it, and the milliseconds that pruning took."""

    image_id: str
    tiles: Sides[KeptTiles]
    code_ms: float


def bench_pages(
    refs: Iterable[ImageRef], options: AnalysisOptions
) -> tuple[list[BenchPage], list[Failure]]:
    """Decode and code all pages of images, in this process.

    Args:
        refs: the images.
        options: how they are pruned.

    Raises:
        NothingToDoError: when there is no image.
    """
    load_kernels(options)
    lossless = replace(options, coder=CoderOptions())
    pages, failures = [], []
    for ref in refs:
        exact = selected_pages(ref, lossless)
        for page, whole in zip(selected_pages(ref, options), exact, strict=True):
            row = page.row
            if page.patches is None or whole.patches is None:
                failure = Failure(row.image_id, row.error_code or "", row.error_message or "")
                failures.append(failure)
                continue
            tiles = Sides(rebuild_all_tiles(kept_tiles(whole.patches)), kept_tiles(page.patches))
            pages.append(BenchPage(row.image_id, tiles, row.code_ms or 0.0))
    if not pages and not failures:
        raise NothingToDoError("there is no image to take times with")
    return pages, failures


def bench_model(
    model: ModelDirectory,
    place: Place,
    pages: Sequence[BenchPage],
    options: BenchOptions,
    whole_config: ModelConfig | None = None,
    on_run: Callable[[int, int], None] = lambda done, total: None,
) -> BenchResult:
    """Measure a model over some pages.

    Args:
        model: the model directory.
        place: where it runs.
        pages: that it is asked about.
        options: what is measured.
        whole_config: of the model that it stands for, where layers were left out.
        on_run: told how many of how many runs are done.

    Raises:
        ModelError, MissingDependencyError: when the model cannot be loaded there.
    """
    result = BenchResult(model.config, whole_config if whole_config != model.config else None)
    sizes = sorted(options.batch_sizes or _BATCH_SIZES[place.device])
    sessions = open_sessions(model, place, options.threads)
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
            result.peak_bytes = _peaks(model, place, options, measured, result.peak_batch_size)
        except ImageError as error:
            result.add(Failure("peak memory", error.code.value, error.message))
    return result


def _peaks(
    model: ModelDirectory,
    place: Place,
    options: BenchOptions,
    pages: Sequence[BenchPage],
    size: int,
) -> Sides[int]:
    """Memory that so many at once take, each side in a process of its own; the largest first."""
    tiles = Sides([page.tiles.full for page in pages], [page.tiles.pruned for page in pages])

    def peak(side: Sequence[KeptTiles]) -> int:
        largest = sorted(side, key=lambda kept: -kept.kept)
        chosen = list(islice(cycle(largest), size))
        return peak_bytes(model.folder, place, options.threads, options.ask, chosen)

    return tiles.map(peak)


def _setting(
    model: ModelDirectory, sessions: Sessions, options: BenchOptions, whole: ModelConfig | None
) -> dict[str, Any]:
    """What ran where."""
    return {
        "pixelprune": __version__,
        "onnxruntime": ort.__version__,
        "model": model.manifest.source,
        "dtype": model.manifest.dtype,
        "weights": model.manifest.matrices,
        "vision_layers": model.config.vision.depth,
        "text_layers": model.config.text.num_layers,
        "layers_extrapolated_to": whole and [whole.vision.depth, whole.text.num_layers],
        "device": sessions.place.device.value,
        "providers": sessions.decoder.get_providers(),
        "cores": os.cpu_count(),
        "threads": options.threads,
        "repeats": options.repeats,
        "new_tokens": options.ask.max_new_tokens,
        "prompt": options.ask.prompt,
    }


@dataclass(frozen=True, slots=True)
class _Answered:
    """One request that was answered."""

    size: Size
    times: Times
    tokens: list[int]

    @classmethod
    def of(cls, begun: ActiveRequest, made: Generated) -> "_Answered":
        tiles, steps = begun.row.kept or 0, len(made.tokens) - 1
        times = Times(begun.row.select_ms or 0.0, made.vision_ms, made.prefill_ms, made.decode_ms)
        return cls(Size(tiles, begun.job.prompt.length, steps), times, made.tokens)


class _Bench:
    """Asks about pages, in turn with every patch and with the kept ones only."""

    def __init__(
        self,
        model: ModelDirectory,
        sessions: Sessions,
        options: BenchOptions,
        on_run: Callable[[], None],
    ) -> None:
        self._model, self._ask = model, options.ask
        self._rounds, self._on_run = 1 + options.repeats, on_run
        self._runner = Runner(model, sessions)
        self._alone: dict[BenchPage, Sides[list[int]]] = {}

    def alone(self, page: BenchPage) -> PageMeasure | Failure:
        """One page by itself, again and again."""
        rounds: list[Sides[_Answered]] = []
        try:
            for _ in range(self._rounds):
                both = [self._run([page], tiles, 1)[1][0] for tiles in _SIDES]
                rounds.append(Sides(*both))
        except ImageError as error:
            return Failure(page.image_id, error.code.value, error.message)
        last = rounds[-1]
        answers = last.map(lambda answered: self._until_end(answered.tokens))
        self._alone[page] = answers
        times = [one.map(lambda answered: answered.times) for one in rounds[1:]]
        sizes = last.map(lambda answered: answered.size)
        return PageMeasure(page.image_id, sizes, combined(times, statistics.median), answers)

    def together(self, pages: Sequence[BenchPage], size: int) -> BatchMeasure | Failure:
        """So many at once; every page is asked about, again and again until the batch is full."""
        count = size * -(-len(pages) // size)
        rounds: list[Sides[tuple[float, list[_Answered]]]] = []
        try:
            for _ in range(self._rounds):
                runs = [self._run(islice(cycle(pages), count), tiles, size) for tiles in _SIDES]
                rounds.append(Sides(*runs))
        except (ImageError, UsageError) as error:
            code = error.code if isinstance(error, ImageError) else ErrorCode.OUT_OF_MEMORY
            return Failure(f"batch of {size}", code.value, str(error))
        sums = [
            combined([Sides(*pair) for pair in zip(*one.map(_times), strict=True)])
            for one in rounds[1:]
        ]
        full, pruned = rounds[-1].map(lambda run: run[1])
        known = [self._alone[page] for page in islice(cycle(pages), count)]
        return BatchMeasure(
            size,
            count,
            Sides(
                statistics.median(one.full[0] for one in rounds[1:]),
                statistics.median(one.pruned[0] for one in rounds[1:]),
            ),
            combined(sums, statistics.median),
            [Sides(one.size, other.size) for one, other in zip(full, pruned, strict=True)],
            Sides(
                self._differing(full, [alone.full for alone in known]),
                self._differing(pruned, [alone.pruned for alone in known]),
            ),
        )

    def _differing(self, run: Sequence[_Answered], alone: Sequence[list[int]]) -> int:
        """Answers that are not those of their page alone."""
        pairs = zip(run, alone, strict=True)
        return sum(self._until_end(answered.tokens) != known for answered, known in pairs)

    def _until_end(self, tokens: Sequence[int]) -> list[int]:
        return until_end(tokens, self._model.end_tokens)

    def _run(
        self, pages: Iterable[BenchPage], pruned: bool, size: int
    ) -> tuple[float, list[_Answered]]:
        """The seconds that the model took for all pages, so many at once; and each of them.

        Raises:
            ImageError: when one fails, or a step needs more memory than there is.
            UsageError: when so many do not fit.
        """
        started, ahead = time.perf_counter(), 0.0
        batch: Batch[tuple[int, ActiveRequest]] = Batch(self._runner, _NEVER, size)
        done: dict[int, _Answered] = {}
        waiting = enumerate(pages)
        held: tuple[int, ActiveRequest] | None = None
        ended = False
        while not ended or batch.active:
            while not ended and not batch.full:
                preparing = time.perf_counter()
                if held is None:
                    held = next(((n, self._begun(page, pruned)) for n, page in waiting), None)
                ahead += time.perf_counter() - preparing
                ended = held is None
                if held is None or not batch.takes(held[1].job):
                    break
                batch.begin(held, held[1].job)
                held = None
            for (number, begun), answer in batch.step():
                if isinstance(answer, ImageError):
                    raise answer
                done[number] = _Answered.of(begun, answer)
            if self._runner.slots != size:
                raise ImageError(ErrorCode.OUT_OF_MEMORY, f"a step of {size} at once failed")
        seconds = time.perf_counter() - started - ahead
        self._on_run()
        return seconds, [done[number] for number in range(len(done))]

    def _begun(self, page: BenchPage, pruned: bool) -> ActiveRequest:
        row = AnswerRow(
            image_id=page.image_id,
            page=1,
            prompt=self._ask.prompt,
            select_ms=page.code_ms if pruned else 0.0,
        )
        tiles = page.tiles.pruned if pruned else page.tiles.full
        return start_request(self._model, row, self._ask, [tiles])


_SIDES = (False, True)


def _times(run: tuple[float, Sequence[_Answered]]) -> list[Times]:
    """Of each request, without what is done ahead of the model."""
    return [replace(answered.times, select_ms=0.0) for answered in run[1]]


def until_end(tokens: Sequence[int], ends: frozenset[int]) -> list[int]:
    """An answer as it would have been, had a token been allowed to end it."""
    places = (place for place, token in enumerate(tokens) if token in ends)
    return list(tokens[: next(places, len(tokens))])
