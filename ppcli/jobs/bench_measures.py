"""What `bench` measures, and what it is held against: the operations of the graphs."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Generic, TypeVar

from ppcli.models.families.qwen3_vl.configuration import ModelConfig
from ppcli.models.families.qwen3_vl.operations import decoder_operations, vision_operations

_Of = TypeVar("_Of")
_To = TypeVar("_To")


@dataclass(slots=True)
class Sides(Generic[_Of]):
    """The same thing twice: with every patch fed, and with the kept ones only."""

    full: _Of
    pruned: _Of

    def __iter__(self) -> Iterator[_Of]:
        return iter((self.full, self.pruned))

    def map(self, change: Callable[[_Of], _To]) -> "Sides[_To]":
        """Both, changed."""
        return Sides(change(self.full), change(self.pruned))


@dataclass(frozen=True, slots=True)
class Failure:
    """What could not be measured, and why."""

    name: str
    error_code: str
    error_message: str


@dataclass(frozen=True, slots=True)
class Times:
    """Milliseconds of one request, or of several together.

    Attributes:
        select_ms: of pruning, and of the values of the patches.
        vision_ms: of the vision transformer.
        prefill_ms: of the language model until the first token.
        decode_ms: of all tokens after the first.
    """

    select_ms: float = 0.0
    vision_ms: float = 0.0
    prefill_ms: float = 0.0
    decode_ms: float = 0.0

    @property
    def first_token_ms(self) -> float:
        """Until the first token is there, from the decoded image on."""
        return self.select_ms + self.vision_ms + self.prefill_ms

    @property
    def total_ms(self) -> float:
        """Until the last token is there."""
        return self.first_token_ms + self.decode_ms


def combined(
    several: Sequence[Sides[Times]], how: Callable[[Iterable[float]], float] = sum
) -> Sides[Times]:
    """Each of the times by itself, by a sum or a median."""

    def of_side(side: Sequence[Times]) -> Times:
        names = [one.name for one in fields(Times)]
        return Times(*(how([getattr(times, name) for times in side]) for name in names))

    return Sides(*(of_side(side) for side in zip(*several, strict=True)))


@dataclass(frozen=True, slots=True)
class Size:
    """How large one request is.

    Attributes:
        tiles: that are fed.
        prompt_tokens: that are fed, the tiles included.
        steps: tokens of the answer after the first.
    """

    tiles: int
    prompt_tokens: int
    steps: int

    def operations(self, config: ModelConfig) -> Times:
        """As `Times`, in operations."""
        patches = self.tiles * config.vision.merge_size**2
        middle = self.prompt_tokens + self.steps // 2
        return Times(
            vision_ms=float(vision_operations(config.vision, patches)),
            prefill_ms=float(decoder_operations(config, self.prompt_tokens)),
            decode_ms=float(self.steps * decoder_operations(config, 1, past=middle)),
        )


@dataclass(frozen=True, slots=True)
class Comparison:
    """Times of both sides, and the operations that they take.

    Attributes:
        times: of the requests together.
        operations: likewise.
    """

    times: Sides[Times]
    operations: Sides[Times]

    @classmethod
    def of(
        cls, times: Sides[Times], sizes: Iterable[Sides[Size]], config: ModelConfig
    ) -> "Comparison":
        """Times of some requests, whose sizes give their operations."""
        counts = [one.map(lambda size: size.operations(config)) for one in sizes]
        return cls(times, combined(counts))

    @property
    def faster(self) -> dict[str, float]:
        """How many times faster the pruned side is, by phase."""
        full, pruned = self.times
        return {name: _ratio(getattr(full, name), getattr(pruned, name)) for name in PHASES}

    @property
    def ideal(self) -> dict[str, float]:
        """The same if each phase were as much faster as it takes fewer operations."""
        ideal = {
            name: _ratio(*(getattr(one, name) for one in self.operations)) for name in _COUNTED
        }
        full, pruned = self.times
        best = Times(pruned.select_ms, *(getattr(full, name) / ideal[name] for name in _COUNTED))
        for name in ("first_token_ms", "total_ms"):
            ideal[name] = _ratio(getattr(full, name), getattr(best, name))
        return ideal

    def scaled(self, other: Sides[Times]) -> "Comparison":
        """The times that other operations would take at the same speed."""

        def of_side(times: Times, ours: Times, theirs: Times) -> Times:
            grown = {
                name: getattr(times, name) * _ratio(getattr(theirs, name), getattr(ours, name))
                for name in _COUNTED
            }
            return Times(times.select_ms, **grown)

        sides = zip(self.times, self.operations, other, strict=True)
        return Comparison(Sides(*(of_side(*side) for side in sides)), other)


_COUNTED = ("vision_ms", "prefill_ms", "decode_ms")
PHASES = ("vision_ms", "prefill_ms", "first_token_ms", "decode_ms", "total_ms")


@dataclass(frozen=True, slots=True)
class PageMeasure:
    """One page alone.

    Attributes:
        image_id: its name.
        sizes: of the request.
        times: medians.
        answers: the tokens, up to the one that ends them.
    """

    image_id: str
    sizes: Sides[Size]
    times: Sides[Times]
    answers: Sides[list[int]]

    @property
    def keep_ratio(self) -> float:
        """The share of the tiles that is kept."""
        return self.sizes.pruned.tiles / self.sizes.full.tiles

    @property
    def same_answer(self) -> bool:
        """Whether both sides say the same."""
        return self.answers.full == self.answers.pruned

    @property
    def same_tokens(self) -> int:
        """How many tokens both answers begin with."""
        pairs = zip(*self.answers, strict=False)
        differing = (place for place, (one, other) in enumerate(pairs) if one != other)
        return next(differing, min(map(len, self.answers)))


@dataclass(frozen=True, slots=True)
class BatchMeasure:
    """Several requests at once.

    Attributes:
        batch_size: how many at once.
        requests: how many in all.
        seconds: for all of them; what is done ahead of the model, pruning included, is not in it.
        times: sums, likewise.
        sizes: of each request.
        differing: answers that are not those of their page alone.
    """

    batch_size: int
    requests: int
    seconds: Sides[float]
    times: Sides[Times]
    sizes: Sequence[Sides[Size]]
    differing: Sides[int]

    @property
    def a_minute(self) -> Sides[float]:
        """Requests in a minute."""
        return self.seconds.map(lambda seconds: 60 * self.requests / seconds)


@dataclass(slots=True)
class BenchResult:
    """All that a run of `bench` found.

    Attributes:
        config: of the model as it ran.
        whole: of the model it stands for, where layers were left out.
        setting: what ran where.
        pages: each alone.
        batches: several at once.
        peak_bytes: of memory, with so many at once:
        peak_batch_size: the largest batch that went through.
        failures: pages and batches that could not be measured.
    """

    config: ModelConfig
    whole: ModelConfig | None
    setting: dict[str, Any] = field(default_factory=dict)
    pages: list[PageMeasure] = field(default_factory=list)
    batches: list[BatchMeasure] = field(default_factory=list)
    peak_bytes: Sides[int] | None = None
    peak_batch_size: int = 0
    failures: list[Failure] = field(default_factory=list)

    def add(self, one: PageMeasure | BatchMeasure | Failure) -> bool:
        """Take a measure in; false when it is a failure."""
        if isinstance(one, Failure):
            self.failures.append(one)
        elif isinstance(one, PageMeasure):
            self.pages.append(one)
        else:
            self.batches.append(one)
        return not isinstance(one, Failure)

    def of_page(self, one: PageMeasure) -> Comparison:
        """One page alone."""
        return Comparison.of(one.times, [one.sizes], self.config)

    def of_batch(self, one: BatchMeasure) -> Comparison:
        """Several at once."""
        return Comparison.of(one.times, one.sizes, self.config)

    @property
    def of_all(self) -> Comparison:
        """All pages, one after another."""
        return self._sum_for(self.config)

    @property
    def extrapolated(self) -> Comparison | None:
        """The sum for the whole model: each phase in proportion to its operations."""
        if self.whole is None:
            return None
        return self.of_all.scaled(self._sum_for(self.whole).operations)

    def _sum_for(self, config: ModelConfig) -> Comparison:
        times = combined([page.times for page in self.pages])
        return Comparison.of(times, [page.sizes for page in self.pages], config)


def _ratio(of: float, to: float) -> float:
    return of / to if to else 1.0
