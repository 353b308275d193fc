"""Characters that an OCR model reads otherwise after pruning.

`python benchmarks/ocr.py FOLDER ... [--also FILE ...]` prints the table. It needs
`pip install rapidocr-onnxruntime==1.4.4`, whose wheel contains the models. The README beside it
lists measured figures.
"""

import json
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import typer
from numpy.typing import NDArray
from rapidfuzz.distance import Levenshtein
from rapidocr_onnxruntime import RapidOCR
from rapidocr_onnxruntime.ch_ppocr_rec import TextRecognizer
from rich.console import Console
from rich.table import Table

from ppcli.coding.coder_options import CoderOptions, Method, Metric, parse_threshold
from ppcli.coding.patchset import encode, raster_digest
from ppcli.files import LocalFile
from ppcli.imaging.decode import ImageSource, pillow_limits
from ppcli.imaging.fit import fit_image
from ppcli.imaging.fit_options import FitOptions
from ppcli.imaging.image_choices import WHITE
from ppcli.models.families.family_registry import PRESETS

Raster = NDArray[np.uint8]  # (grid_h·tile, grid_w·tile, 3), RGB

PRESET = PRESETS["qwen3-vl"]
TILE = PRESET.patch_size * PRESET.merge_size
MAX_PIXELS = 1 << 28
LONG_SIDES = range(640, 2001)  # the OCR model reduces longer images
SUFFIXES = {".png", ".jpg", ".jpeg"}
OVERLAP = 0.3  # of the smaller box: above it, two lines are about the same text
METHODS = (Method.PRED_2D, Method.PRED_2D_FLAT, Method.LEFT_OR_ABOVE, Method.LEFT_OR_ABOVE_FLAT)
SETTINGS = [
    *((Metric.MAX, one) for one in ("0", "auto", "4/255", "8/255", "12/255")),
    *((Metric.TWO_SCALE, one) for one in ("4/255", "8/255", "12/255")),
    *((metric, one) for metric in (Metric.MAE, Metric.RMSE) for one in ("2/255", "4/255")),
]


@dataclass(frozen=True, slots=True)
class Line:
    """A piece of text that was read.

    Attributes:
        box: left, top, right and bottom in pixels.
        text: without spaces, which the model sets at random.
    """

    box: tuple[float, float, float, float]
    text: str


class Lines:
    """The part of an OCR model that reads lines. It reads equal ones once.

    Each is read alone, since a batch is padded to its longest line, which can change the others.
    """

    def __init__(self, recognizer: TextRecognizer, known: dict[str, tuple[str, float]]) -> None:
        self._recognizer = recognizer
        self._known = known

    def __call__(self, crops: list[Raster], _: bool) -> tuple[list[tuple[str, float]], float]:
        """Return text and score of each line, and no time."""
        return [self._read(np.ascontiguousarray(crop)) for crop in crops], 0.0

    def _read(self, crop: Raster) -> tuple[str, float]:
        key = f"{crop.shape[1]}x{crop.shape[0]} {raster_digest(crop)}"
        if key not in self._known:
            [(text, score)], _ = self._recognizer([crop])
            self._known[key] = text, float(score)
        return self._known[key]


class Reader:
    """An OCR model on one thread. It remembers what it read, here and in a file."""

    def __init__(self, memory: Path | None) -> None:
        cv2.setNumThreads(1)
        self._memory = memory
        stored = json.loads(memory.read_text()) if memory and memory.exists() else {}
        self._rasters: dict[str, list] = stored.get("rasters", {})
        self._lines: dict[str, tuple[str, float]] = stored.get("lines", {})
        self._model = RapidOCR(intra_op_num_threads=1, inter_op_num_threads=1)
        self._model.text_rec = Lines(self._model.text_rec, self._lines)

    def read(self, raster: Raster) -> list[Line]:
        """Return the lines of a raster, in the order of the model."""
        digest = raster_digest(raster)
        if digest not in self._rasters:
            found, _ = self._model(np.ascontiguousarray(raster[:, :, ::-1]))
            self._rasters[digest] = [(corners, text) for corners, text, _ in found or []]
        return [_line(corners, text) for corners, text in self._rasters[digest]]

    def store(self) -> None:
        """Write the file."""
        if self._memory is not None:
            known = {"rasters": self._rasters, "lines": self._lines}
            self._memory.write_text(json.dumps(known, ensure_ascii=False))


def _line(corners: Sequence[Sequence[float]], text: str) -> Line:
    across, down = zip(*corners, strict=True)
    return Line((min(across), min(down), max(across), max(down)), "".join(text.split()))


def changed(before: Sequence[Line], after: Sequence[Line]) -> int:
    """Return the edit distance of two texts, summed over groups of lines that overlap.

    Boxes that shift by a pixel can change the order of lines, and one line can become two, so
    that neither the whole texts nor single lines can be compared.
    """
    lines = [*before, *after]
    group = list(range(len(lines)))  # of each line, as a forest of pointers to lower numbers

    def root(number: int) -> int:
        while group[number] != number:
            number = group[number]
        return number

    for first, one in enumerate(before):
        for second, other in enumerate(after, len(before)):
            if _overlap(one.box, other.box) > OVERLAP:
                low, high = sorted((root(first), root(second)))
                group[high] = low
    texts = {root(number): ["", ""] for number in range(len(lines))}
    for number, line in enumerate(lines):
        texts[root(number)][number >= len(before)] += line.text
    return sum(Levenshtein.distance(*pair) for pair in texts.values())


def _overlap(one: Sequence[float], other: Sequence[float]) -> float:
    """Return the common area of two boxes over the area of the smaller one."""
    wide = min(one[2], other[2]) - max(one[0], other[0])
    high = min(one[3], other[3]) - max(one[1], other[1])
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return wide * high / max(min(areas), 1) if wide > 0 and high > 0 else 0.0


@dataclass(slots=True)
class Totals:
    """What one setting did to all images of one kind.

    Attributes:
        keep_ratios: of each image.
        read: characters of the originals.
        changed: characters that differ.
        images: how many have such characters.
    """

    keep_ratios: list[float] = field(default_factory=list)
    read: int = 0
    changed: int = 0
    images: int = 0


def rasters(paths: Sequence[Path]) -> Iterator[tuple[str, Raster]]:
    """Yield the format and the raster of each image, as analyze decodes and fits it."""
    with pillow_limits(MAX_PIXELS):
        for path in paths:
            with ImageSource(LocalFile(str(path)).open(), MAX_PIXELS) as source:
                pixels = np.array(source.page(1, WHITE))
                kind = source.format
            yield kind, fit_image(pixels, FitOptions.of_preset(PRESET)).raster


def chosen(folders: Sequence[Path], number: int, also: Sequence[Path]) -> list[Path]:
    """Return the images that are read.

    Of each folder these are all JPEG files, and `number` PNG files whose long side is neither
    small nor reduced by the model: in the order of their names, at equal steps from the first.
    """
    paths = []
    for folder in folders:
        pictures: dict[str, list[Path]] = {"PNG": [], "JPEG": []}
        for path in sorted(folder.iterdir()):
            if path.suffix not in SUFFIXES:
                continue
            with ImageSource(LocalFile(str(path)).open(), MAX_PIXELS) as source:
                height, width = source.page(1, WHITE).shape[:2]
                kind = source.format
            if kind == "JPEG" or (kind == "PNG" and max(height, width) in LONG_SIDES):
                pictures[kind].append(path)
        pngs = pictures["PNG"]
        steps = range(min(number, len(pngs)))
        paths += [pngs[step * len(pngs) // len(steps)] for step in steps] + pictures["JPEG"]
    return [*paths, *also]


def measured(
    paths: Sequence[Path], reader: Reader, coders: Sequence[CoderOptions], console: Console
) -> dict[str, list[Totals]]:
    """Return the totals of each format of files, one for each configuration of the coder."""
    totals: dict[str, list[Totals]] = {}
    for number, (kind, raster) in enumerate(rasters(paths), 1):
        before = reader.read(raster)
        characters = sum(len(line.text) for line in before)
        console.print(f"{number} of {len(paths)}: {characters:,} characters", style="dim")
        for total, coder in zip(
            totals.setdefault(kind, [Totals() for _ in coders]), coders, strict=True
        ):
            kept = encode(raster, TILE, coder)
            rebuilt = kept.reconstruct()
            same = np.array_equal(rebuilt, raster)
            assert same or coder.threshold != 0
            differing = 0 if same else changed(before, reader.read(rebuilt))
            total.keep_ratios.append(kept.keep_ratio)
            total.read += characters
            total.changed += differing
            total.images += differing > 0
        reader.store()
    return totals


def main(
    folders: Annotated[list[Path], typer.Argument(help="Folders of documents and windows.")],
    png: Annotated[int, typer.Option(help="PNG files of each folder.")] = 11,
    also: Annotated[list[Path] | None, typer.Option(help="Another image; repeatable.")] = None,
    memory: Annotated[Path | None, typer.Option(help="A file that keeps what was read.")] = None,
) -> None:
    """Print what each method, metric and threshold changes in what the model reads."""
    coders = [
        CoderOptions(method, metric, threshold=parse_threshold(threshold))
        for method in METHODS
        for metric, threshold in SETTINGS
    ]
    names = [(method, *setting) for method in METHODS for setting in SETTINGS]
    paths = chosen(folders, png, also or [])
    console = Console(width=110)
    totals = measured(paths, Reader(memory), coders, Console(stderr=True))
    for kind, of_kind in totals.items():
        table = Table("method", "metric", "τ", title=f"{len(of_kind[0].keep_ratios)} {kind} files")
        for column in ("kept, median", "characters", "changed", "share", "images"):
            table.add_column(column, justify="right")
        for (method, metric, threshold), one in zip(names, of_kind, strict=True):
            share = one.changed / max(one.read, 1)
            median = statistics.median(one.keep_ratios)
            counts = (f"{one.read:,}", f"{one.changed:,}", f"{share:.3%}", f"{one.images}")
            table.add_row(method, metric, threshold, f"{median:.3f}", *counts)
        console.print(table)


if __name__ == "__main__":
    typer.run(main)
