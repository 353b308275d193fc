"""The work of `bench`: the same pages, full and pruned, through the same model in turn."""

import os
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import cycle, islice
from typing import Any

import onnxruntime as ort

from ppcli.coding.options import CoderOptions
from ppcli.coding.patchset import KeptTiles
from ppcli.errors import ErrorCode, ImageError, NothingToDoError, UsageError
from ppcli.imaging.fit import FitOptions
from ppcli.inputs.refs import ImageRef
from ppcli.run.analysis import AnalysisOptions, load_kernels
from ppcli.run.measures import (
    BatchMeasure,
    BenchResult,
    Failure,
    PageMeasure,
    Sides,
    Size,
    Times,
    combined,
)
from ppcli.run.peak import peak_bytes
from ppcli.run.prepare import pages_of
from ppcli.store.codec import kept_tiles
from ppcli.store.rows import AnswerRow
from ppcli.version import __version__
from ppcli.vlm.batch import Batch, Generated
from ppcli.vlm.choices import Device
from ppcli.vlm.config import ModelConfig
from ppcli.vlm.directory import ModelDirectory
from ppcli.vlm.engine import Ask, Begun, Engine, whole
from ppcli.vlm.runner import Runner
from ppcli.vlm.sessions import Place, Sessions, open_sessions

_BATCH_SIZES = {Device.CPU: (1, 8), Device.CUDA: (1, 8, 32)}
SIDES = ("full", "pruned")
_NEVER: frozenset[int] = frozenset()  # no token ends an answer: all are of one length


@dataclass(frozen=True, slots=True)
class BenchOptions:
    """What is measured.

    Attributes:
        ask: what is asked of every page; the answer has as many tokens as it may.
        coder: how pages are pruned.
        repeats: of each page alone; one more is to warm up.
        batch_sizes: requests at once; None takes what suits the device.
        threads: of the CPU; 0 for all cores.
    """

    ask: Ask
    coder: CoderOptions
    repeats: int = 3
    batch_sizes: Sequence[int] | None = None
    threads: int = 0

    def __post_init__(self) -> None:
        if self.ask.max_new_tokens < 2:
            raise UsageError("the time of a token is that of those after the first; ask for 2")


def bench_model(
    model: ModelDirectory,
    place: Place,
    refs: Iterable[ImageRef],
    options: BenchOptions,
    whole_config: ModelConfig | None = None,
    on_run: Callable[[int, int], None] = lambda done, total: None,
) -> BenchResult:
    """Measure a model over all pages of some images.

    Args:
        model: the model directory.
        place: where it runs.
        refs: the images.
        options: what is measured.
        whole_config: of the model that it stands for, where layers were left out.
        on_run: told how many of how many runs are done.

    Raises:
        NothingToDoError: when there is no image.
    """
    analysis = AnalysisOptions(options.coder, FitOptions.of_preset(model.preset), rebuildable=False)
    load_kernels(analysis)
    loaded = list(_pages(refs, analysis))
    if not loaded:
        raise NothingToDoError("there is no image to take times with")
    pages = [one for one in loaded if isinstance(one, _Page)]
    sizes = sorted(options.batch_sizes or _BATCH_SIZES[place.device])
    cut = whole_config if whole_config != model.config else None
    result = BenchResult(model.config, cut)
    result.failures = [one for one in loaded if isinstance(one, Failure)]
    sessions = open_sessions(model, place, options.threads)
    result.setting = _setting(model, sessions, options)
    total = 2 * (len(pages) * (1 + options.repeats) + len(sizes))
    steps = iter(range(1, total + 1))
    bench = _Bench(model, sessions, options, lambda: on_run(next(steps), total))
    measured = [page for page in pages if result.add(bench.alone(page))]
    for size in sizes if measured else ():
        result.add(bench.together(measured, size))
    del bench, sessions  # before other processes load the model
    if result.batches:
        result.peak_batch_size = result.batches[-1].batch_size
        chosen = islice(cycle(measured), result.peak_batch_size)
        try:
            result.peak_bytes = _peaks(model, place, options, list(chosen))
        except ImageError as error:
            result.add(Failure("peak memory", error.code.value, error.message))
    return result


def _peaks(
    model: ModelDirectory, place: Place, options: BenchOptions, pages: Sequence["_Page"]
) -> Sides[int]:
    """Memory that both sides take, each in a process of its own."""
    tiles = Sides(*([getattr(page.tiles, side) for page in pages] for side in SIDES))
    return tiles.map(
        lambda side: peak_bytes(model.folder, place, options.threads, options.ask, side)
    )


def _setting(model: ModelDirectory, sessions: Sessions, options: BenchOptions) -> dict[str, Any]:
    """What ran where."""
    return {
        "pixelprune": __version__,
        "onnxruntime": ort.__version__,
        "model": model.manifest.source,
        "dtype": model.manifest.dtype,
        "weights": model.manifest.matrices,
        "vision_layers": model.config.vision.depth,
        "text_layers": model.config.text.num_layers,
        "device": sessions.place.device.value,
        "providers": sessions.decoder.get_providers(),
        "cores": os.cpu_count(),
        "threads": options.threads,
        "repeats": options.repeats,
        "new_tokens": options.ask.max_new_tokens,
        "prompt": options.ask.prompt,
        "coder": asdict(options.coder),
    }


@dataclass(frozen=True, slots=True, eq=False)
class _Page:
    """One page as both sides take it, and the milliseconds that pruning took."""

    image_id: str
    tiles: Sides[KeptTiles]
    code_ms: float


def _pages(refs: Iterable[ImageRef], options: AnalysisOptions) -> Iterator[_Page | Failure]:
    """All pages of images, decoded and coded in this process."""
    lossless = replace(options, coder=CoderOptions())
    for ref in refs:
        exact = pages_of(ref, lossless)
        for page, all_of_it in zip(pages_of(ref, options), exact, strict=True):
            row = page.row
            if page.patches is None or all_of_it.patches is None:
                yield Failure(row.image_id, row.error_code or "", row.error_message or "")
                continue
            tiles = Sides(whole(kept_tiles(all_of_it.patches)), kept_tiles(page.patches))
            yield _Page(row.image_id, tiles, row.code_ms or 0.0)


@dataclass(frozen=True, slots=True)
class _Answered:
    """One request that was answered."""

    size: Size
    times: Times
    tokens: list[int]

    @classmethod
    def of(cls, begun: Begun, made: Generated) -> "_Answered":
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
        self._ask, self._repeats, self._on_run = options.ask, options.repeats, on_run
        self._ends = model.end_tokens
        self._engine = Engine(model, sessions)
        self._runner = Runner(model, sessions)
        self._alone: dict[str, Sides[list[int]]] = {}

    def alone(self, page: _Page) -> PageMeasure | Failure:
        """One page by itself, again and again."""
        try:
            rounds = [page.tiles.map(partial(self._once, page)) for _ in range(1 + self._repeats)]
        except ImageError as error:
            return Failure(page.image_id, error.code.value, error.message)
        times = [one.map(lambda answered: answered.times) for one in rounds[1:]]
        last = rounds[-1]
        self._alone[page.image_id] = last.map(lambda answered: answered.tokens)
        return PageMeasure(
            page.image_id,
            last.map(lambda answered: answered.size),
            combined(times, statistics.median),
            last.map(lambda answered: until_end(answered.tokens, self._ends)),
        )

    def together(self, pages: Sequence[_Page], size: int) -> BatchMeasure | Failure:
        """So many at once; every page is asked about, again and again until the batch is full."""
        chosen = list(islice(cycle(pages), size * -(-len(pages) // size)))
        try:
            sides = Sides(*(self._all(chosen, size, side) for side in SIDES))
        except (ImageError, UsageError) as error:
            code = error.code if isinstance(error, ImageError) else ErrorCode.OUT_OF_MEMORY
            return Failure(f"batch of {size}", code.value, str(error))
        pairs = [Sides(*pair) for pair in zip(*sides.map(lambda side: side[1]), strict=True)]
        differing = [
            (pair.full.tokens != alone.full, pair.pruned.tokens != alone.pruned)
            for pair, alone in zip(pairs, map(self._answers_to, chosen), strict=True)
        ]
        return BatchMeasure(
            size,
            len(chosen),
            sides.map(lambda side: side[0]),
            combined([pair.map(lambda answered: answered.times) for pair in pairs]),
            [pair.map(lambda answered: answered.size) for pair in pairs],
            Sides(*(sum(side) for side in zip(*differing, strict=True))),
        )

    def _answers_to(self, page: _Page) -> Sides[list[int]]:
        return self._alone[page.image_id]

    def _once(self, page: _Page, tiles: KeptTiles) -> _Answered:
        return self._run([self._begun(page, tiles)], 1)[1][0]

    def _all(self, pages: Sequence[_Page], size: int, side: str) -> tuple[float, list[_Answered]]:
        return self._run([self._begun(page, getattr(page.tiles, side)) for page in pages], size)

    def _begun(self, page: _Page, tiles: KeptTiles) -> Begun:
        code_ms = page.code_ms if tiles is page.tiles.pruned else 0.0
        row = AnswerRow(image_id=page.image_id, page=1, prompt=self._ask.prompt, select_ms=code_ms)
        return self._engine.begun(row, self._ask, [tiles])

    def _run(self, requests: Sequence[Begun], size: int) -> tuple[float, list[_Answered]]:
        """The seconds that all of them took, so many at once; and each of them.

        Raises:
            ImageError: when one fails, or a step needs more memory than there is.
            UsageError: when so many do not fit.
        """
        started = time.perf_counter()
        batch: Batch[int] = Batch(self._runner, _NEVER, size)
        made: dict[int, Generated] = {}
        waiting = list(enumerate(requests))[::-1]
        while waiting or batch.active:
            while waiting and batch.takes(waiting[-1][1].job):
                number, begun = waiting.pop()
                batch.begin(number, begun.job)
            for number, answer in batch.step():
                if isinstance(answer, ImageError):
                    raise answer
                made[number] = answer
        seconds = time.perf_counter() - started
        if self._runner.slots != size:
            raise ImageError(ErrorCode.OUT_OF_MEMORY, f"a step of {size} at once failed")
        self._on_run()
        return seconds, [_Answered.of(begun, made[n]) for n, begun in enumerate(requests)]


def until_end(tokens: Sequence[int], ends: frozenset[int]) -> list[int]:
    """An answer as it would have been, had a token been allowed to end it."""
    places = (place for place, token in enumerate(tokens) if token in ends)
    return list(tokens[: next(places, len(tokens))])
