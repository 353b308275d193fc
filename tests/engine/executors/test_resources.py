"""Cores and memory that workers may use."""

import os

from ppcli.engine.executors.resources import available_cores, default_worker_memory, total_memory
from ppcli.jobs.image_worker import image_memory


def test_the_share_of_a_worker() -> None:
    """What the largest image needs, but with many workers no more than there is, and a gibibyte."""
    whole = total_memory()
    assert default_worker_memory(1, image_memory(1)) < 1.1 * 2**30
    assert default_worker_memory(10_000, 1 << 40) == 2**30
    for number in (1, 2, 3):
        assert number * default_worker_memory(number, 1 << 50) <= max(0.75 * whole, number * 2**30)


def test_the_cores_are_those_this_process_may_use() -> None:
    assert 1 <= available_cores() <= (os.cpu_count() or 1)
    if hasattr(os, "sched_getaffinity"):
        allowed = os.sched_getaffinity(0)
        os.sched_setaffinity(0, {min(allowed)})
        try:
            assert available_cores() == 1
        finally:
            os.sched_setaffinity(0, allowed)
