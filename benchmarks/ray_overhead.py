"""Time of `pixelprune analyze --engine ray` on this machine, against the local engine.

Both work on the same files with two worker processes: pieces of 60 to 100 KB cut from the PNG files
of a folder. The time of a run over four of them counts as starting, and is taken off. Run it as
`python benchmarks/ray_overhead.py IMAGES`; it needs the extra ray.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from object_store import fill

ENGINES = {"local": (), "ray": ("--engine", "ray")}


def analyze(folder: str, *options: str) -> float:
    """Seconds of a run."""
    with tempfile.TemporaryDirectory() as out:
        line = ["-m", "ppcli", "analyze", folder, "-q", "--workers", "2", "-o", f"{out}/out"]
        started = time.perf_counter()
        subprocess.run([sys.executable, *line, *options], check=True)
        return time.perf_counter() - started


def main() -> None:
    """Measure and print the ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("images", type=Path)
    parser.add_argument("--count", type=int, default=2_000)
    parser.add_argument("--rows-per-shard", type=int, default=500)
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    shards = ("--rows-per-shard", str(given.rows_per_shard))
    ratios = []
    with tempfile.TemporaryDirectory() as folder:
        fill(Path(folder), given.images, given.count)
        for _ in range(given.repeats):
            seconds = {}
            for name, options in ENGINES.items():
                start = analyze(folder, "--limit", "4", *options)
                seconds[name] = analyze(folder, *shards, *options) - start
                print(f"{name}: {start:.2f} s to start, {seconds[name]:.2f} s more")  # noqa: T201
            ratios.append(seconds["ray"] / seconds["local"])
    print(f"time with Ray / of the local engine: {statistics.median(ratios):.2f}")  # noqa: T201


if __name__ == "__main__":
    main()
