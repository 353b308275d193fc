"""How many requests a server gets at once, against a simulated server."""

import heapq
import random
import statistics

import pytest

from ppcli.models.remote.in_flight import InFlightLimit
from ppcli.models.remote.server_options import MOST_IN_FLIGHT


def simulated(
    limit: InFlightLimit, capacity: int, answers: int, refuses_above: int = 10**9
) -> list[int]:
    """The limit after each answer of a server that works on `capacity` requests at once.

    Each takes half a second to one and a half; others queue. Above `refuses_above` in flight it
    refuses.
    """
    rng = random.Random(0)
    now, values = 0.0, []
    free = [0.0] * capacity  # when each place of the server is free
    under_way: list[tuple[float, float]] = []  # when each ends and was sent
    while len(values) < answers:
        while len(under_way) < limit.value:
            limit.on_start(now, len(under_way) + 1)
            if len(under_way) >= refuses_above:
                limit.on_refusal(now)
                break
            ends = max(now, heapq.heappop(free)) + rng.uniform(0.5, 1.5)
            heapq.heappush(free, ends)
            heapq.heappush(under_way, (ends, now))
        ends, sent = heapq.heappop(under_way)
        now = max(now, ends)
        limit.on_answer(now, now - sent)
        values.append(limit.value)
    return values


@pytest.mark.parametrize("capacity", [1, 6, 24, 100])
def test_it_settles_near_what_the_server_works_on(capacity: int) -> None:
    values = simulated(InFlightLimit(), capacity, answers=200 * capacity)
    settled = values[len(values) // 2 :]
    assert statistics.median(settled) >= capacity * 0.8
    assert statistics.median(settled) <= max(4, capacity) * 3
    assert max(settled) <= max(4, capacity) * 16


def test_it_starts_low() -> None:
    assert InFlightLimit().value == 4


def test_refusals_lower_it() -> None:
    values = simulated(InFlightLimit(), capacity=100, answers=2_000, refuses_above=20)
    assert sum(values[500:]) / len(values[500:]) <= 25


def test_refusals_at_one_moment_count_once() -> None:
    limit = InFlightLimit()
    limit.value = 16
    for _ in range(10):
        limit.on_refusal(5.0)
    assert limit.value == 8


def test_a_fixed_number_stays() -> None:
    limit = InFlightLimit(3)
    assert set(simulated(limit, 10, 100)) == {3}
    limit.on_refusal(1.0)
    assert limit.value == 3


def test_it_does_not_grow_while_there_are_too_few_requests() -> None:
    limit, now = InFlightLimit(), 0.0
    for _ in range(100):
        limit.on_start(now, 1)
        now += 1
        limit.on_answer(now, 1)
    assert limit.value == 4


def test_it_has_an_upper_end() -> None:
    limit, now = InFlightLimit(), 0.0
    for _ in range(50_000):  # a server that any number of requests does not slow down
        limit.on_start(now, limit.value)
        now += 1
        limit.on_answer(now, 0.5)
    assert limit.value == MOST_IN_FLIGHT
