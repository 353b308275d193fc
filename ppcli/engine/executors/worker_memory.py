"""How much memory workers may hold where nobody says it."""

import os

LEAST_WORKER_MEMORY = 256_000_000  # a worker holds some 180 MB before its first image
_SHARE = 0.75  # of all memory, for all workers together
_AT_LEAST = 1 << 30
_BYTES_PER_PIXEL = 20  # of the largest image, with the copies that decoding and fitting make
_FOR_THE_REST = 1 << 30


def default_worker_memory(workers: int, max_image_pixels: int) -> int:
    """Bytes of data for each worker: what the largest image needs, as far as there is memory.

    Args:
        workers: how many share the memory.
        max_image_pixels: of the largest image that is decoded.
    """
    needed = _FOR_THE_REST + _BYTES_PER_PIXEL * max_image_pixels
    share = int(_SHARE * total_memory() / workers)
    return max(_AT_LEAST, min(needed, share))


def total_memory() -> int:
    """Bytes of memory that this process may use: the computer's, or its container's."""
    return min([_memory_of_computer(), *_limits_of_containers()])


def _memory_of_computer() -> int:
    if hasattr(os, "sysconf"):
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    import psutil  # it takes a while to load

    total: int = psutil.virtual_memory().total
    return total


def _limits_of_containers() -> list[int]:
    """The limits of control groups, of both versions, as a container sees its own."""
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
