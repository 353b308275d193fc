"""What patch sets take beside their image files, and how other compressions would do.

`python benchmarks/patch_codecs.py IMAGES [--every N]` prints the table; it needs the extra
`codecs`. The README beside it lists measured figures.
"""

import math
import statistics
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import imagecodecs
import numpy as np
import pyarrow as pa
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from timing import seconds

from ppcli.coding.coder_options import CoderOptions
from ppcli.coding.patchset import encode
from ppcli.files import LocalFile
from ppcli.imaging.decode import ImageSource, pillow_limits
from ppcli.imaging.fit import fit_image
from ppcli.imaging.fit_options import FitOptions
from ppcli.imaging.image_choices import WHITE, Fit
from ppcli.models.families.family_registry import PRESETS

Tiles = NDArray[np.uint8]  # (kept, tile, tile, 3)

PRESET = PRESETS["qwen3-vl"]
TILE = PRESET.patch_size * PRESET.merge_size
MAX_PIXELS = 1 << 28
ZSTD_LEVELS = (1, 3, 5, 9, 15, 19)
JPEG_XL_EFFORTS = (1, 2)
REPEATS = 3
KINDS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG"}


@dataclass(slots=True)
class Totals:
    """What one compression made of the files of one kind.

    Attributes:
        sizes: bytes of each patch set.
        encoding: seconds for all of them.
        decoding: seconds for all of them.
    """

    sizes: list[int] = field(default_factory=list)
    encoding: float = 0.0
    decoding: float = 0.0

    def add(self, tiles: Tiles, compress: Callable[[Tiles], bytes], expand: Callable) -> None:
        """Compress and expand the tiles of one image; the shortest of a few times counts."""
        packed = compress(tiles)
        self.sizes.append(len(packed))
        self.encoding += min(seconds(compress, tiles) for _ in range(REPEATS))
        self.decoding += min(
            seconds(lambda one: expand(one, tiles), packed) for _ in range(REPEATS)
        )


def zstd(level: int) -> tuple[Callable[[Tiles], bytes], Callable]:
    """Tiles one after another, as pixelprune stores them."""
    codec = pa.Codec("zstd", level)
    return (
        lambda tiles: codec.compress(tiles.data.cast("B"), asbytes=True),
        lambda packed, tiles: codec.decompress(packed, decompressed_size=tiles.nbytes),
    )


def jpeg_xl(effort: int) -> tuple[Callable[[Tiles], bytes], Callable]:
    """Tiles side by side in a picture that is about square."""

    def compress(tiles: Tiles) -> bytes:
        return imagecodecs.jpegxl_encode(mosaic(tiles), effort=effort, lossless=True, numthreads=1)

    return compress, lambda packed, _: imagecodecs.jpegxl_decode(packed, numthreads=1)


def mosaic(tiles: Tiles) -> NDArray[np.uint8]:
    """Lay tiles out row by row; the last one is repeated to fill the last row."""
    width = math.ceil(math.sqrt(len(tiles)))
    height = -(-len(tiles) // width)
    whole = tiles[np.minimum(np.arange(height * width), len(tiles) - 1)]
    rows = whole.reshape(height, width, TILE, TILE, 3).transpose(0, 2, 1, 3, 4)
    return np.ascontiguousarray(rows).reshape(height * TILE, width * TILE, 3)


def tiles_of(path: Path, fit: Fit) -> Tiles:
    """Return the kept tiles of an image, with the defaults of analyze."""
    with ImageSource(LocalFile(str(path)).open(), MAX_PIXELS) as source:
        pixels = source.page(1, WHITE)
    raster = fit_image(pixels, FitOptions.of_preset(PRESET, fit)).raster
    return encode(raster, TILE, CoderOptions()).tiles


def measured(paths: list[Path], fit: Fit) -> tuple[int, dict[str, Totals]]:
    """Return the bytes of all kept tiles, and the totals of each compression."""
    ways = {f"zstd {level}": zstd(level) for level in ZSTD_LEVELS}
    ways |= {f"JPEG XL, effort {effort}": jpeg_xl(effort) for effort in JPEG_XL_EFFORTS}
    totals: dict[str, Totals] = defaultdict(Totals)
    raw = 0
    for path in paths:
        tiles = tiles_of(path, fit)
        raw += tiles.nbytes
        picture = imagecodecs.jpegxl_encode(mosaic(tiles), effort=1, lossless=True)
        assert np.array_equal(imagecodecs.jpegxl_decode(picture), mosaic(tiles))
        for name, (compress, expand) in ways.items():
            totals[name].add(tiles, compress, expand)
    return raw, totals


def main(
    images: Annotated[Path, typer.Argument(help="A folder of PNG and JPEG files.")],
    every: Annotated[int, typer.Option(help="Use only every Nth file.")] = 1,
) -> None:
    """Print bytes beside the files' and beside zstd 3, and megabytes of tiles a second."""
    files = [path for path in sorted(images.rglob("*")) if path.suffix.lower() in KINDS][::every]
    table = Table("fit", "files", "compression", "of the files", "median", "larger", "of zstd 3")
    table.add_column("MB/s", justify="right")
    table.add_column("back, MB/s", justify="right")
    with pillow_limits(MAX_PIXELS):
        for fit in Fit:
            for kind in dict.fromkeys(KINDS.values()):
                paths = [path for path in files if KINDS[path.suffix.lower()] == kind]
                if not paths:
                    continue
                sources = [path.stat().st_size for path in paths]
                raw, totals = measured(paths, fit)
                usual = sum(totals["zstd 3"].sizes)
                for name, one in totals.items():
                    ratios = [a / b for a, b in zip(one.sizes, sources, strict=True)]
                    table.add_row(
                        fit.value,
                        f"{len(paths)} {kind}",
                        name,
                        f"{sum(one.sizes) / sum(sources):.2f}",
                        f"{statistics.median(ratios):.2f}",
                        f"{sum(ratio > 1 for ratio in ratios)}",
                        f"{sum(one.sizes) / usual:.2f}",
                        f"{raw / one.encoding / 1e6:,.0f}",
                        f"{raw / one.decoding / 1e6:,.0f}",
                    )
    Console(width=120).print(table)


if __name__ == "__main__":
    typer.run(main)
