"""The processors and the memory that workers may use."""

import os

MIN_WORKER_MEMORY = 256_000_000  # bytes; a worker takes some 180 MB before its first image
_SHARED_FRACTION = 0.75  # of all memory, divided between the workers
_MIN_DEFAULT = 1 << 30


def available_cores() -> int:
    """Return the number of processor cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def default_worker_memory(workers: int, needed: int) -> int:
    """Return the memory limit of a worker in bytes, where the user sets none.

    Args:
        workers: how many workers share the memory.
        needed: bytes that the largest task needs; the limit is lower if there is less memory.
    """
    share = int(_SHARED_FRACTION * total_memory() / workers)
    return max(_MIN_DEFAULT, min(needed, share))


def total_memory() -> int:
    """Return the memory of the computer, or of the container if that has less, in bytes."""
    return min([_physical_memory(), *_control_group_limits()])


def _physical_memory() -> int:
    if hasattr(os, "sysconf"):
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    import psutil  # slow to import

    total: int = psutil.virtual_memory().total
    return total


def _control_group_limits() -> list[int]:
    """Return the limits of control groups, version 2 and 1, as seen inside a container."""
    limits = []
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        try:
            with open(os.path.join("/sys/fs/cgroup", name), encoding="ascii") as file:
                text = file.read().strip()
        except OSError:
            continue
        if text.isdecimal() and int(text) > 0:
            limits.append(int(text))
    return limits
