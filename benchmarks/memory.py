"""Peak memory of `pixelprune analyze`, parent and workers together, as its inputs grow.

Files are copies of those in sample_data; a PDF has them as its pages, and archives and Parquet
files have small pictures of them. Run it as `python benchmarks/memory.py`, with words to choose
from the kinds, such as `tar Parquet`.
"""

import io
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from itertools import cycle, islice
from pathlib import Path

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image
from rich.console import Console
from rich.table import Table

SAMPLES = Path(__file__).parents[1] / "sample_data"
DPI = 150
THUMBNAIL = 96
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


def thumbnails(count: int) -> Iterator[tuple[str, bytes]]:
    """So many small pictures, all different in their bytes, with names."""
    small = []
    for path in sorted(set(samples(100))):
        image = Image.open(path).convert("RGB")
        image.thumbnail((THUMBNAIL, THUMBNAIL))
        small.append(image)
    for number, image in enumerate(islice(cycle(small), count)):
        file = io.BytesIO()
        image.putpixel((0, 0), (number % 256, number // 256 % 256, number // 65536))
        image.save(file, "PNG", compress_level=1)
        yield f"{number:06d}.png", file.getvalue()


def make_tar(folder: Path, count: int, name: str = "images.tar", mode: str = "w") -> None:
    """One tar archive of small pictures."""
    with tarfile.open(folder / name, mode) as archive:  # type: ignore[call-overload]
        for member, content in thumbnails(count):
            info = tarfile.TarInfo(member)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))


def make_tar_gz(folder: Path, count: int) -> None:
    """One compressed tar archive of small pictures."""
    make_tar(folder, count, "images.tar.gz", "w:gz")


def make_zip(folder: Path, count: int) -> None:
    """One zip archive of small pictures."""
    with zipfile.ZipFile(folder / "images.zip", "w") as archive:
        for member, content in thumbnails(count):
            archive.writestr(member, content)


def make_parquet(folder: Path, count: int) -> None:
    """One Parquet file of small pictures, in row groups of 100."""
    writer = None
    pictures = thumbnails(count)
    while rows := [content for _, content in islice(pictures, 100)]:
        table = pa.table({"image": rows})
        writer = writer or pq.ParquetWriter(folder / "images.parquet", table.schema)
        writer.write_table(table)
    if writer is not None:
        writer.close()


MEASURED: tuple[tuple[str, Callable[[Path, int], None], tuple[int, ...]], ...] = (
    ("files", make_files, (200, 2_000)),
    ("pages of one PDF", make_pdf, (200, 2_000)),
    ("members of one tar", make_tar, (200, 20_000)),
    ("members of one tar.gz", make_tar_gz, (200, 20_000)),
    ("members of one zip", make_zip, (200, 20_000)),
    ("rows of one Parquet file", make_parquet, (200, 20_000)),
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
            if not any(word in kind for word in sys.argv[1:] or [""]):
                continue
            first = 0
            for count in counts:
                inputs = Path(name, f"{make.__name__}-{count}")
                inputs.mkdir()
                make(inputs, count)
                peak = peak_bytes(inputs, inputs.with_name(f"{inputs.name}-out"))
                first = first or peak
                table.add_row(f"{count:,} {kind}", f"{peak / 1e6:,.0f}", f"{peak / first:.3f}")
    Console().print(table)


if __name__ == "__main__":
    main()
