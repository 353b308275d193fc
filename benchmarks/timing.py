"""Taking times side by side, so that a ratio is of one run on one machine."""

import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

Timed = Callable[[Any], object]


def warm(work: dict[str, Timed], items: Sequence[Any], repeats: int = 5) -> dict[str, list[float]]:
    """The shortest of a few times for each item, the works in turn, item by item."""
    times: dict[str, list[float]] = {name: [] for name in work}
    for item in items:
        best = dict.fromkeys(work, float("inf"))
        for _ in range(repeats):
            for name, call in work.items():
                best[name] = min(best[name], seconds(call, item))
        for name, shortest in best.items():
            times[name].append(shortest)
    return times


def cold(work: dict[str, Timed], items: Sequence[Any], repeats: int = 3) -> dict[str, list[float]]:
    """As `warm`, but each work goes through all items before it sees one again."""
    times: dict[str, list[float]] = {}
    for name, call in work.items():
        rounds = [[seconds(call, item) for item in items] for _ in range(repeats)]
        times[name] = [min(of_item) for of_item in zip(*rounds, strict=True)]
    return times


def seconds(call: Timed, item: object) -> float:
    """How long one call takes."""
    started = time.perf_counter()
    call(item)
    return time.perf_counter() - started


def median_ratio(times: Sequence[float], against: Sequence[float]) -> float:
    """The median over the items of one time by the other."""
    return statistics.median(a / b for a, b in zip(times, against, strict=True))
