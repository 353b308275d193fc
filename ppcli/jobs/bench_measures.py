"""The measurements of `bench`, and the speed-ups that counts of operations predict."""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Generic, TypeVar

from ppcli.errors import ImageError
from ppcli.models.families.base import ModelConfig

logger = logging.getLogger("pixelprune")

_Of = TypeVar("_Of")
_To = TypeVar("_To")


@dataclass(slots=True)
class Paired(Generic[_Of]):
    """A value for each of the two runs that are compared.

    Attributes:
        full: with every patch fed.
        pruned: with the kept patches only.
    """

    full: _Of
    pruned: _Of

    def __iter__(self) -> Iterator[_Of]:
        return iter((self.full, self.pruned))

    def map(self, change: Callable[[_Of], _To]) -> "Paired[_To]":
        """Apply a function to both values."""
        return Paired(change(self.full), change(self.pruned))


@dataclass(frozen=True, slots=True)
class Failure:
    """A measurement that failed.

    Attributes:
        name: what was measured.
        error: why it failed.
    """

    name: str
    error: ImageError


def log_failures(failures: Iterable[Failure]) -> None:
    """Log why measurements failed."""
    for failure in failures:
        code, message = failure.error.code.value, failure.error.message
        message = message.removeprefix(f"{failure.name}: ")
        logger.warning("%s: %s: %s", code, failure.name, message)


@dataclass(frozen=True, slots=True)
class PhaseTimes:
    """Milliseconds of one request, or of several together.

    Attributes:
        select_ms: pruning, and making the pixel values of patches.
        vision_ms: the vision transformer.
        prefill_ms: the language model, until the first token.
        decode_ms: all tokens after the first.
    """

    select_ms: float = 0.0
    vision_ms: float = 0.0
    prefill_ms: float = 0.0
    decode_ms: float = 0.0

    @property
    def first_token_ms(self) -> float:
        """Time to the first token, from the decoded image on."""
        return self.select_ms + self.vision_ms + self.prefill_ms

    @property
    def total_ms(self) -> float:
        """Time to the last token, from the decoded image on."""
        return self.first_token_ms + self.decode_ms


def combined(
    several: Sequence[Paired[PhaseTimes]], how: Callable[[Iterable[float]], float] = sum
) -> Paired[PhaseTimes]:
    """Combine times, phase by phase.

    Args:
        several: to combine.
        how: combines the times of one phase, such as a sum or a median.
    """

    def of_side(side: Sequence[PhaseTimes]) -> PhaseTimes:
        names = [one.name for one in fields(PhaseTimes)]
        return PhaseTimes(*(how([getattr(times, name) for times in side]) for name in names))

    return Paired(*(of_side(side) for side in zip(*several, strict=True)))


@dataclass(frozen=True, slots=True)
class RequestSize:
    """The size of a request.

    Attributes:
        tiles: number of tiles fed.
        prompt_tokens: number of tokens fed, those of tiles included.
        steps: tokens of the answer after the first.
    """

    tiles: int
    prompt_tokens: int
    steps: int

    def operations(self, config: ModelConfig) -> PhaseTimes:
        """Count the operations of each phase; `select_ms` stays 0."""
        patches = self.tiles * config.merge_size**2
        middle = self.prompt_tokens + self.steps // 2
        return PhaseTimes(
            vision_ms=float(config.vision_operations(patches)),
            prefill_ms=float(config.decoder_operations(self.prompt_tokens)),
            decode_ms=float(self.steps * config.decoder_operations(1, past=middle)),
        )


@dataclass(frozen=True, slots=True)
class Comparison:
    """The times of the same requests in both runs, and their operations.

    Attributes:
        times: sums over the requests.
        operations: sums over the requests, in operations instead of milliseconds.
    """

    times: Paired[PhaseTimes]
    operations: Paired[PhaseTimes]

    @classmethod
    def of(
        cls, times: Paired[PhaseTimes], sizes: Iterable[Paired[RequestSize]], config: ModelConfig
    ) -> "Comparison":
        """Compare some requests; their sizes give the operations."""
        counts = [one.map(lambda size: size.operations(config)) for one in sizes]
        return cls(times, combined(counts))

    @property
    def faster(self) -> dict[str, float]:
        """How many times faster the pruned run is, by phase."""
        full, pruned = self.times
        return {name: _ratio(getattr(full, name), getattr(pruned, name)) for name in PHASES}

    @property
    def ideal(self) -> dict[str, float]:
        """How many times faster it would be if time were proportional to operations, by phase."""
        ideal = {
            name: _ratio(*(getattr(one, name) for one in self.operations)) for name in _COUNTED
        }
        full, pruned = self.times
        best = PhaseTimes(
            pruned.select_ms, *(getattr(full, name) / ideal[name] for name in _COUNTED)
        )
        for name in ("first_token_ms", "total_ms"):
            ideal[name] = _ratio(getattr(full, name), getattr(best, name))
        return ideal

    def scaled(self, other: Paired[PhaseTimes]) -> "Comparison":
        """Return the times that other numbers of operations would take at the same speed."""

        def of_side(times: PhaseTimes, ours: PhaseTimes, theirs: PhaseTimes) -> PhaseTimes:
            grown = {
                name: getattr(times, name) * _ratio(getattr(theirs, name), getattr(ours, name))
                for name in _COUNTED
            }
            return PhaseTimes(times.select_ms, **grown)

        sides = zip(self.times, self.operations, other, strict=True)
        return Comparison(Paired(*(of_side(*side) for side in sides)), other)


_COUNTED = ("vision_ms", "prefill_ms", "decode_ms")
PHASES = ("vision_ms", "prefill_ms", "first_token_ms", "decode_ms", "total_ms")


@dataclass(frozen=True, slots=True)
class PageMeasure:
    """The measurement of one page by itself.

    Attributes:
        image_id: of the page.
        sizes: of the request.
        times: medians over the repeats.
        answers: tokens of the answers, without the one that ends them.
    """

    image_id: str
    sizes: Paired[RequestSize]
    times: Paired[PhaseTimes]
    answers: Paired[list[int]]

    @property
    def keep_ratio(self) -> float:
        """Kept tiles over all tiles."""
        return self.sizes.pruned.tiles / self.sizes.full.tiles

    @property
    def same_answer(self) -> bool:
        """Whether both answers are equal."""
        return self.answers.full == self.answers.pruned

    @property
    def same_tokens(self) -> int:
        """Length of the longest common prefix of both answers, in tokens."""
        pairs = zip(*self.answers, strict=False)
        differing = (place for place, (one, other) in enumerate(pairs) if one != other)
        return next(differing, min(map(len, self.answers)))


@dataclass(frozen=True, slots=True)
class BatchMeasure:
    """The measurement of a batch size.

    Attributes:
        batch_size: requests at a time.
        requests: number of all requests.
        seconds: duration of all requests, without pruning and other preparation.
        times: sums over the requests, without preparation.
        sizes: of each request.
        differing: number of answers that differ from the answer to the same page by itself.
    """

    batch_size: int
    requests: int
    seconds: Paired[float]
    times: Paired[PhaseTimes]
    sizes: Sequence[Paired[RequestSize]]
    differing: Paired[int]

    @property
    def a_minute(self) -> Paired[float]:
        """Requests per minute."""
        return self.seconds.map(lambda seconds: 60 * self.requests / seconds)


@dataclass(slots=True)
class BenchResult:
    """All results of `bench`.

    Attributes:
        config: of the model that ran.
        whole: of the complete model, if layers were left out.
        setting: versions, model, device and options.
        pages: measurements of single pages.
        batches: measurements of batch sizes.
        peak_bytes: peak memory of the largest batch; None if it was not measured.
        peak_batch_size: requests in the largest batch.
        failures: measurements that failed.
    """

    config: ModelConfig
    whole: ModelConfig | None
    setting: dict[str, Any] = field(default_factory=dict)
    pages: list[PageMeasure] = field(default_factory=list)
    batches: list[BatchMeasure] = field(default_factory=list)
    peak_bytes: Paired[int] | None = None
    peak_batch_size: int = 0
    failures: list[Failure] = field(default_factory=list)

    def add(self, one: PageMeasure | BatchMeasure | Failure) -> bool:
        """Add a measurement or a failure; return whether it is a measurement."""
        if isinstance(one, Failure):
            self.failures.append(one)
        elif isinstance(one, PageMeasure):
            self.pages.append(one)
        else:
            self.batches.append(one)
        return not isinstance(one, Failure)

    def of_page(self, one: PageMeasure) -> Comparison:
        """Compare both runs of one page."""
        return Comparison.of(one.times, [one.sizes], self.config)

    def of_batch(self, one: BatchMeasure) -> Comparison:
        """Compare both runs of a batch size."""
        return Comparison.of(one.times, one.sizes, self.config)

    @property
    def of_all(self) -> Comparison:
        """Both runs over all single pages, summed."""
        return self._sum_for(self.config)

    @property
    def extrapolated(self) -> Comparison | None:
        """`of_all` for the complete model, in proportion to operations; None if it ran complete."""
        if self.whole is None:
            return None
        return self.of_all.scaled(self._sum_for(self.whole).operations)

    def _sum_for(self, config: ModelConfig) -> Comparison:
        times = combined([page.times for page in self.pages])
        return Comparison.of(times, [page.sizes for page in self.pages], config)


def _ratio(of: float, to: float) -> float:
    return of / to if to else 1.0
