"""The measurements of `bench --server`."""

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from ppcli.errors import ImageError
from ppcli.jobs.bench_measures import Failure, Paired
from ppcli.store.rows import error_columns

_MINUTES_AN_HOUR = 60
_PAGES_OF_PRICE = 1_000


@dataclass(frozen=True, slots=True)
class ServerTimes:
    """Milliseconds of a request that is alone at the server.

    Attributes:
        first_token_ms: from sending the request to the first piece of the answer.
        total_ms: to the end of the answer.
    """

    first_token_ms: float
    total_ms: float

    @classmethod
    def median(cls, several: Iterable["ServerTimes"]) -> "ServerTimes":
        """Return the medians of some times, at least one."""
        pairs = [(one.first_token_ms, one.total_ms) for one in several]
        return cls(*(statistics.median(column) for column in zip(*pairs, strict=True)))


@dataclass(frozen=True, slots=True)
class ServerPageMeasure:
    """The measurement of one page, which was alone at the server.

    Attributes:
        image_id: of the page.
        tiles: tokens of the image, counted here.
        prompt_tokens: that the server reports; None if it does not.
        answer_tokens: that the server reports; None if it does not.
        times: medians over the repeats.
        answers: the last ones, with thinking, up to the token that ends them.
    """

    image_id: str
    tiles: Paired[int]
    prompt_tokens: Paired[int | None]
    answer_tokens: Paired[int | None]
    times: Paired[ServerTimes]
    answers: Paired[str]

    @property
    def same_answer(self) -> bool:
        """Whether both answers are equal."""
        return self.answers.full == self.answers.pruned


@dataclass(frozen=True, slots=True)
class LoadMeasure:
    """The measurement of a server that has as many requests at once as it takes.

    Attributes:
        in_flight: requests at once, at each server.
        requests: of one run, each about one page.
        seconds: of each run.
        differing: answers of the last run unlike the answer about the same page alone.
    """

    in_flight: int
    requests: int
    seconds: Sequence[Paired[float]]
    differing: Paired[int]

    @property
    def a_minute(self) -> Paired[float]:
        """Requests per minute, in the run of median duration."""
        full, pruned = zip(*self.seconds, strict=True)
        return Paired(full, pruned).map(lambda each: 60 * self.requests / statistics.median(each))


@dataclass(slots=True)
class ServerBenchResult:
    """All results of `bench --server`.

    Attributes:
        setting: versions, servers, model and options.
        price_per_hour: of all servers together; None if it is unknown.
        pages: measurements of single pages.
        load: measurement of many requests at once; None if it failed.
        failures: measurements that failed.
    """

    setting: dict[str, Any] = field(default_factory=dict)
    price_per_hour: float | None = None
    pages: list[ServerPageMeasure] = field(default_factory=list)
    load: LoadMeasure | None = None
    failures: list[Failure] = field(default_factory=list)

    @property
    def tiles(self) -> Paired[int]:
        """Tokens of all images."""
        full, pruned = zip(*(page.tiles for page in self.pages), strict=True)
        return Paired(sum(full), sum(pruned))

    @property
    def prompt_tokens(self) -> Paired[int | None]:
        """Tokens of all prompts; None if the server does not report them."""
        return Paired(*map(_total, zip(*(page.prompt_tokens for page in self.pages), strict=True)))

    @property
    def answer_tokens(self) -> Paired[int | None]:
        """Tokens of all answers; None if the server does not report them."""
        return Paired(*map(_total, zip(*(page.answer_tokens for page in self.pages), strict=True)))

    @property
    def times(self) -> Paired[ServerTimes]:
        """Medians over the pages."""
        return Paired(
            *map(ServerTimes.median, zip(*(page.times for page in self.pages), strict=True))
        )

    @property
    def differing(self) -> int:
        """Number of pages whose two answers differ."""
        return sum(not page.same_answer for page in self.pages)

    @property
    def cost(self) -> Paired[float] | None:
        """Price of 1,000 pages; None without a price or without requests per minute."""
        price = self.price_per_hour
        if price is None or self.load is None:
            return None
        pages_an_hour = self.load.a_minute.map(lambda rate: rate * _MINUTES_AN_HOUR)
        return pages_an_hour.map(lambda pages: price * _PAGES_OF_PRICE / pages)

    def as_json(self) -> dict[str, Any]:
        """Return all figures. Names end with units."""
        return {
            "setting": self.setting,
            "images": [_page_json(page) for page in self.pages],
            "together": self._together() if self.pages else None,
            "load": None if self.load is None else _load_json(self.load),
            "cost_of_1000_pages": None if self.cost is None else asdict(self.cost),
            "failures": [_failure_json(one.name, one.error) for one in self.failures],
        }

    def _together(self) -> dict[str, Any]:
        return {
            "tokens": asdict(self.tiles),
            "prompt_tokens": asdict(self.prompt_tokens),
            "answer_tokens": asdict(self.answer_tokens),
            **_compared(self.times),
            "answers_that_differ": self.differing,
        }


def faster(times: Paired[ServerTimes]) -> dict[str, float]:
    """Return how many times faster the pruned requests are, by the name of the time."""
    return {
        name: getattr(times.full, name) / max(getattr(times.pruned, name), 1e-6)
        for name in ("first_token_ms", "total_ms")
    }


def _total(counts: Sequence[int | None]) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if len(known) == len(counts) else None


def _compared(times: Paired[ServerTimes]) -> dict[str, Any]:
    return {**asdict(times), "faster": faster(times)}


def _page_json(page: ServerPageMeasure) -> dict[str, Any]:
    return {
        "image_id": page.image_id,
        "keep_ratio": page.tiles.pruned / page.tiles.full,
        "tokens": asdict(page.tiles),
        "prompt_tokens": asdict(page.prompt_tokens),
        "answer_tokens": asdict(page.answer_tokens),
        **_compared(page.times),
        "answers": asdict(page.answers),
        "same_answer": page.same_answer,
    }


def _load_json(load: LoadMeasure) -> dict[str, Any]:
    rates = load.a_minute
    return {
        "in_flight": load.in_flight,
        "requests": load.requests,
        "seconds": [asdict(one) for one in load.seconds],
        "requests_a_minute": asdict(rates),
        "faster": rates.pruned / rates.full,
        "answers_unlike_alone": asdict(load.differing),
    }


def _failure_json(name: str, error: ImageError) -> dict[str, Any]:
    return {"name": name, **error_columns(error)}
