"""Peak memory of `pixelprune analyze`, parent and workers together, at 200 and at 2,000 images.

The images are copies of those in sample_data. Run it as `python benchmarks/memory.py`; it needs
psutil (`pip install ".[benchmark]"`).
"""

import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
from rich.console import Console
from rich.table import Table

SAMPLES = Path(__file__).parents[1] / "sample_data"
COUNTS = (200, 2_000)
PAUSE = 0.02


def make_inputs(folder: Path, count: int) -> None:
    """Fill a folder with copies of the sample images."""
    images = sorted(p for p in SAMPLES.iterdir() if p.suffix in (".png", ".jpg", ".webp"))
    folder.mkdir()
    for number in range(count):
        source = images[number % len(images)]
        shutil.copy(source, folder / f"{number:05d}{source.suffix}")


def resident_bytes(parent: psutil.Process) -> int:
    """Memory of a process and of all below it, shared pages counted once for each."""
    total = 0
    for process in [parent, *parent.children(recursive=True)]:
        try:
            total += process.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return total


def peak_bytes(inputs: Path, out: Path) -> int:
    """The highest sum seen while one run is under way."""
    command = [sys.executable, "-m", "ppcli", "analyze", str(inputs), "-o", str(out), "-q"]
    peak = 0
    with subprocess.Popen(command) as run:
        process = psutil.Process(run.pid)
        while run.poll() is None:
            try:
                peak = max(peak, resident_bytes(process))
            except psutil.NoSuchProcess:
                break
            time.sleep(PAUSE)
    if run.returncode:
        raise SystemExit(f"the run ended with exit code {run.returncode}")
    return peak


def main() -> None:
    """Measure, and print a table."""
    table = Table("images", "peak MB", "ratio to the first")
    first = 0
    with tempfile.TemporaryDirectory() as name:
        for count in COUNTS:
            inputs = Path(name, f"in-{count}")
            make_inputs(inputs, count)
            peak = peak_bytes(inputs, Path(name, f"out-{count}"))
            first = first or peak
            table.add_row(f"{count:,}", f"{peak / 1e6:,.0f}", f"{peak / first:.3f}")
    Console().print(table)


if __name__ == "__main__":
    main()
