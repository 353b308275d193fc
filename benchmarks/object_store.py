"""Throughput of `pixelprune analyze` over small objects in a store, against the same local files.

The store is a server of S3 on this machine that waits 20 ms before each answer. The objects are
pieces of 60 to 100 KB cut from the PNG files of a folder. Run it as
`python benchmarks/object_store.py IMAGES`; it needs the extra s3.
"""

import argparse
import io
import itertools
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
from PIL import Image

SIDE = 720
SMALLEST, LARGEST = 60_000, 100_000
PIECES = 250


def pieces(folder: Path) -> Iterator[bytes]:
    """PNG files of the wanted size, cut from larger ones."""
    for path in sorted(folder.rglob("*.png")):
        with Image.open(path) as opened:
            image = opened.convert("RGB")
        for left in range(0, image.width - SIDE // 2, SIDE):
            for top in range(0, image.height - SIDE // 2, SIDE):
                file = io.BytesIO()
                image.crop((left, top, left + SIDE, top + SIDE)).save(file, "PNG")
                if SMALLEST <= file.tell() <= LARGEST:
                    yield file.getvalue()


def fill(folder: Path, images: Path, count: int) -> None:
    """Write so many files, again and again the same pieces."""
    cut = list(itertools.islice(pieces(images), PIECES))
    for number, content in enumerate(itertools.islice(itertools.cycle(cut), count)):
        (folder / f"{number:05d}.png").write_bytes(content)


def analyze(source: str, environment: dict[str, str], *options: str) -> tuple[float, float]:
    """Seconds of a run with two workers, and of processor time of all its processes."""
    with tempfile.TemporaryDirectory() as folder:
        line = ["-m", "ppcli", "analyze", source, "-q", "--workers", "2", "-o", f"{folder}/out"]
        before, started = os.times(), time.perf_counter()
        subprocess.run(
            [sys.executable, *line, *options], check=True, env={**os.environ, **environment}
        )
        after = os.times()
    spent = after.children_user + after.children_system
    return time.perf_counter() - started, spent - before.children_user - before.children_system


def main() -> None:
    """Measure and print the ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("images", type=Path)
    parser.add_argument("--count", type=int, default=2_000)
    parser.add_argument("--latency", type=float, default=0.02)
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    latency = str(given.latency)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        fill(folder, given.images, given.count)
        server = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("store_server.py")), name, latency],
            stdout=subprocess.PIPE,
        )
        try:
            assert server.stdout is not None
            endpoint = f"http://127.0.0.1:{int(server.stdout.readline())}"
            store = {
                "AWS_ENDPOINT_URL": endpoint,
                "AWS_ACCESS_KEY_ID": "key",
                "AWS_SECRET_ACCESS_KEY": "secret",
                "AWS_DEFAULT_REGION": "us-east-1",
            }
            ratios = []
            for _ in range(given.repeats):
                seconds = {}
                spent = {}
                for source, environment in ((name, {}), ("s3://bucket", store)):
                    first, first_spent = analyze(source, environment, "--limit", "4")
                    used = psutil.Process(server.pid).cpu_times()
                    whole, whole_spent = analyze(source, environment)
                    again = psutil.Process(server.pid).cpu_times()
                    seconds[source] = whole - first
                    spent[source] = (whole_spent - first_spent) / given.count * 1000
                    print(  # noqa: T201
                        f"{source}: {first:.2f} s to start, {given.count / (whole - first):.0f} "
                        f"images/s, {spent[source]:.2f} ms of processor time an image; the server "
                        f"took {(again.user - used.user + again.system - used.system):.2f} s"
                    )
                ratios.append(seconds[name] / seconds["s3://bucket"])
            print(f"throughput of the store / of the folder: {statistics.median(ratios):.2f}")  # noqa: T201
        finally:
            server.kill()
            server.wait()


if __name__ == "__main__":
    main()
