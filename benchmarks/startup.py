"""What one small image costs from the shell, beside another checkout of this program.

    python benchmarks/startup.py IMAGE --against FOLDER

The two are run in turn. Each line has the shortest time on the clock and the least time of the
processor, that of workers included, of so many runs.
"""

import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated

import typer

_RUNS = {
    "one image": ["analyze", "{image}", "-o", "-"],
    "one image, --workers 0": ["analyze", "{image}", "-o", "-", "--workers", "0"],
    "--help": ["--help"],
}


def run(arguments: list[str], code: Path, cache: str) -> tuple[float, float]:
    """Seconds on the clock, and of the processor, of one command."""
    surroundings = os.environ | {"PYTHONPATH": str(code.resolve()), "NUMBA_CACHE_DIR": cache}
    before, started = _processor_seconds(), time.perf_counter()
    command = [sys.executable, "-m", "ppcli", *arguments]
    nothing = subprocess.DEVNULL
    subprocess.run(command, check=True, stdout=nothing, stderr=nothing, env=surroundings, cwd=code)
    return time.perf_counter() - started, _processor_seconds() - before


def _processor_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _say(what: str, name: str, times: list[tuple[float, float]]) -> None:
    clock, processor = map(min, zip(*times, strict=True))
    figures = f"{clock:6.2f} s on the clock, {processor:6.2f} s of the processor"
    typer.echo(f"{what:24} {name:6} {figures}")


def main(
    image: Annotated[Path, typer.Argument(help="A small image.")],
    against: Annotated[Path | None, typer.Option(help="Another checkout.")] = None,
    repeats: Annotated[int, typer.Option(min=1, help="Runs of each, in turn.")] = 7,
) -> None:
    """Print what the first run ever takes, with an empty cache, and what later ones take."""
    codes = {"here": Path(__file__).parents[1]} | ({"there": against} if against else {})
    with tempfile.TemporaryDirectory() as folder:
        filled = [part.format(image=image.resolve()) for part in _RUNS["one image"]]
        for name, code in codes.items():
            _say("first run ever", name, [run(filled, code, f"{folder}/{name}")])
        for what, parts in _RUNS.items():
            arguments = [part.format(image=image.resolve()) for part in parts]
            times: dict[str, list[tuple[float, float]]] = {name: [] for name in codes}
            for _ in range(repeats):
                for name, code in codes.items():
                    times[name].append(run(arguments, code, f"{folder}/{name}"))
            for name in codes:
                _say(what, name, times[name])


if __name__ == "__main__":
    typer.run(main)
