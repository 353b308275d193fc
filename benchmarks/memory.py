"""Peak memory of `pixelprune analyze`, parent and workers together, as its inputs grow.

Files are copies of those in sample_data; a PDF has them as its pages. Run it as
`python benchmarks/memory.py`.
"""

import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import cycle, islice
from pathlib import Path

import psutil
from PIL import Image
from rich.console import Console
from rich.table import Table

SAMPLES = Path(__file__).parents[1] / "sample_data"
DPI = 150
PAUSE = 0.02


def samples(count: int) -> list[Path]:
    """So many sample images, again and again the same."""
    images = sorted(p for p in SAMPLES.iterdir() if p.suffix in (".png", ".jpg", ".webp"))
    return list(islice(cycle(images), count))


def make_files(folder: Path, count: int) -> None:
    """Fill a folder with copies of the sample images."""
    for number, source in enumerate(samples(count)):
        shutil.copy(source, folder / f"{number:05d}{source.suffix}")


def make_pdf(folder: Path, count: int) -> None:
    """One file with the sample images as its pages."""
    pages = {path: Image.open(path).convert("RGB") for path in set(samples(count))}
    first, *others = (pages[path] for path in samples(count))
    first.save(folder / "pages.pdf", save_all=True, append_images=others, resolution=DPI)


MEASURED: tuple[tuple[str, Callable[[Path, int], None], tuple[int, ...]], ...] = (
    ("files", make_files, (200, 2_000)),
    ("pages of one PDF", make_pdf, (200, 2_000)),
)


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
    with tempfile.TemporaryDirectory() as name:
        for kind, make, counts in MEASURED:
            first = 0
            for count in counts:
                inputs = Path(name, f"{make.__name__}-{count}")
                inputs.mkdir()
                make(inputs, count)
                peak = peak_bytes(inputs, inputs.with_suffix(".out"))
                first = first or peak
                table.add_row(f"{count:,} {kind}", f"{peak / 1e6:,.0f}", f"{peak / first:.3f}")
    Console().print(table)


if __name__ == "__main__":
    main()
