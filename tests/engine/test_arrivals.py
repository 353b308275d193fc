import threading
from collections.abc import Iterator

import pytest

from ppcli.engine.arrivals import READ_AHEAD, Arrivals
from tests.processes import eventually


class Gate:
    """An iterator that blocks until each number is released."""

    def __init__(self) -> None:
        self.may_go = threading.Semaphore(0)

    def __iter__(self) -> Iterator[int]:
        number = 0
        while True:
            self.may_go.acquire()
            yield number
            number += 1


def test_items_come_in_order_and_end() -> None:
    with Arrivals(iter(range(100))) as arrivals:
        assert arrivals.peek(3) == [0, 1, 2]
        assert list(arrivals) == list(range(100))
        assert next(arrivals, None) is None
        assert arrivals.peek(3) == []


def test_fewer_are_ahead_where_the_end_is_near() -> None:
    with Arrivals(iter("ab")) as arrivals:
        assert arrivals.peek(5) == ["a", "b"]
        assert list(arrivals) == ["a", "b"]


def test_what_has_not_arrived_is_not_known() -> None:
    gate = Gate()
    with Arrivals(iter(gate)) as arrivals:
        assert not arrivals.wait(0)
        gate.may_go.release()
        assert arrivals.wait(10)
        assert not arrivals.wait(0, number=2)
        assert next(arrivals) == 0


def test_waiting_can_be_given_up() -> None:
    class GivenUpError(Exception):
        pass

    def give_up() -> None:
        raise GivenUpError

    with Arrivals(iter(Gate()), give_up) as arrivals:
        with pytest.raises(GivenUpError):
            next(arrivals)
        with pytest.raises(GivenUpError):
            arrivals.peek(1)


def test_an_error_comes_after_the_items_before_it() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise OSError("the list is gone")

    with Arrivals(items()) as arrivals:
        assert next(arrivals) == 1
        for _ in range(2):
            with pytest.raises(OSError, match="gone"):
                next(arrivals)


def test_only_a_few_are_fetched_ahead_and_the_thread_ends() -> None:
    fetched = []

    def items() -> Iterator[int]:
        for number in range(10_000):
            fetched.append(number)
            yield number

    before = threading.active_count()
    with Arrivals(items()) as arrivals:
        next(arrivals)
        assert eventually(lambda: len(fetched) == READ_AHEAD + 2)
    assert eventually(lambda: threading.active_count() == before)
    assert len(fetched) == READ_AHEAD + 2
