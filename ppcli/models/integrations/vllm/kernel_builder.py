"""Kernels of the coder in a process that must not import Numba.

vLLM's CPU worker replaces `torch.set_num_threads`, and fails where its process has imported Numba
before. Machine code in the cache is loaded without Numba, so what is missing there is compiled by
another process.
"""

import logging
import subprocess
import sys
from collections.abc import Iterable

from ppcli.jit import cache
from ppcli.jit.kernel import Variant, prepare

logger = logging.getLogger("pixelprune")
_SECONDS = 300
_PROGRAM = """
import importlib, sys
from ppcli.jit.kernel import prepare
variants = []
for line in sys.argv[1:]:
    module, name, *constants = line.split()
    kernel = getattr(importlib.import_module(module), name)
    variants.append(kernel.of(*(int(c) if c.lstrip("-").isdigit() else c for c in constants)))
prepare(variants)
"""


def load_kernels(variants: Iterable[Variant]) -> None:
    """Load kernels, of which the missing ones are compiled by a process of their own."""
    variants = list(variants)
    missing = [one for one in variants if cache.read(one.name) is None]
    if missing:
        _compile_elsewhere(missing)
    prepare(variants)


def _compile_elsewhere(variants: Iterable[Variant]) -> None:
    logger.info("compiling kernels (first run only)")
    lines = [
        " ".join((function.__module__, function.__name__, *map(str, one.constants)))
        for one in variants
        for function in [one.kernel.function]
    ]
    try:
        subprocess.run(  # noqa: S603
            [sys.executable, "-c", _PROGRAM, *lines],
            check=True,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_SECONDS,
        )
    except (OSError, subprocess.SubprocessError) as error:
        logger.warning("kernels cannot be compiled in a process of their own: %s", error)
