"""A thousand images, each of them damaged in some way."""

import json
import random
import re
from collections.abc import Callable
from io import BytesIO
from itertools import cycle, islice
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ppcli.errors import ErrorCode, ExitCode
from tests.command import pixelprune
from tests.conftest import blocks

pytestmark = pytest.mark.slow

COUNT = 1000
HEADER_BYTES = 64
ADDRESS = re.compile(r"0x[0-9a-fA-F]{5,}| object at |<_?[a-z]+\.")
TIFF_SIGNATURES = (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+")


def encoded(image: Image.Image, row_format: str, **options) -> bytes:
    stream = BytesIO()
    image.save(stream, row_format, **options)
    return stream.getvalue()


def sound_files() -> list[tuple[str, bytes]]:
    """Extension and content of small files that are as they should be."""
    plain = Image.fromarray(blocks(40, 30, block=8))
    noise = Image.fromarray(np.random.default_rng(1).integers(0, 256, (30, 40, 3), dtype=np.uint8))
    clear = plain.convert("RGBA")
    clear.putalpha(noise.getchannel("R"))
    turned = Image.Exif()
    turned[0x0112] = 6
    return [
        ("png", encoded(plain, "PNG")),
        ("png", encoded(plain.quantize(8), "PNG", transparency=2)),
        ("png", encoded(clear, "PNG")),
        ("jpg", encoded(noise, "JPEG", exif=turned)),
        ("jpg", encoded(plain, "JPEG", progressive=True, subsampling=0)),
        ("gif", encoded(plain.quantize(16), "GIF")),
        ("gif", encoded(noise.convert("L"), "GIF", interlace=1)),
        ("webp", encoded(noise, "WEBP", quality=60)),
        ("webp", encoded(clear, "WEBP", lossless=True)),
        ("tif", encoded(plain, "TIFF")),
        ("tif", encoded(noise, "TIFF", compression="tiff_lzw")),
        ("tif", encoded(plain, "TIFF", compression="tiff_adobe_deflate")),
        ("bmp", encoded(plain, "BMP")),
        ("bmp", encoded(plain.quantize(16), "BMP")),
    ]


def somewhere(chance: random.Random, content: bytearray) -> int:
    """A position in a file, as often as not in its header."""
    size = len(content)
    return chance.randrange(min(size, HEADER_BYTES) if chance.random() < 0.5 else size)


def truncate(chance: random.Random, content: bytearray, _: bytes) -> None:
    del content[somewhere(chance, content) :]


def flip_bits(chance: random.Random, content: bytearray, _: bytes) -> None:
    for _ in range(chance.choice((1, 1, 2, 8))):
        content[somewhere(chance, content)] ^= 1 << chance.randrange(8)


def splice_header(chance: random.Random, content: bytearray, other: bytes) -> None:
    size = chance.choice((4, 8, 16, 26, HEADER_BYTES))
    content[:size] = other[:size]


def blank_range(chance: random.Random, content: bytearray, _: bytes) -> None:
    start, size = somewhere(chance, content), chance.choice((1, 4, 16, 100))
    fill = chance.choice((b"\x00", b"\xff"))
    content[start : start + size] = fill * len(content[start : start + size])


def duplicate_range(chance: random.Random, content: bytearray, _: bytes) -> None:
    start, size = somewhere(chance, content), chance.choice((1, 4, 16, 100))
    content[start:start] = content[start : start + size]


def drop_range(chance: random.Random, content: bytearray, _: bytes) -> None:
    start, size = somewhere(chance, content), chance.choice((1, 4, 16, 100))
    del content[start : start + size]


Mutation = Callable[[random.Random, bytearray, bytes], None]
MUTATIONS: tuple[Mutation, ...] = (
    truncate,
    flip_bits,
    splice_header,
    blank_range,
    duplicate_range,
    drop_range,
)


@pytest.fixture(scope="module")
def mutants(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mutants")
    chance = random.Random(2604_00886)
    sound = sound_files()
    for number, (extension, content) in enumerate(islice(cycle(sound), COUNT)):
        mutant = bytearray(content)
        chance.choice(MUTATIONS)(chance, mutant, chance.choice(sound)[1])
        (folder / f"m{number:04}.{extension}").write_bytes(mutant)
    return folder


def analyzed(folder: Path, workers: int) -> list[dict]:
    """The rows of a folder, without what differs between two runs."""
    args = ["--timeout", "20", "--fit", "pad", "--max-image-pixels", "30000000"]
    done = pixelprune("analyze", folder, "-o", "-", "--workers", str(workers), *args)
    assert done.returncode == ExitCode.INPUTS_FAILED, done.stderr
    assert b"Traceback" not in done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    for row in rows:
        del row["decode_ms"], row["code_ms"]
    return rows


@pytest.fixture(scope="module")
def rows(mutants: Path) -> list[dict]:
    return analyzed(mutants, workers=2)


def test_every_mutant_gets_its_row(mutants: Path, rows: list[dict]) -> None:
    ids: dict[str, list[str]] = {path.name: [] for path in sorted(mutants.iterdir())}
    assert len(ids) == COUNT
    for row in rows:
        ids[Path(row["path"]).name].append(row["image_id"])
    assert [row["image_id"] for row in rows] == [one for group in ids.values() for one in group]
    for name, group in ids.items():
        if (mutants / name).read_bytes().startswith(TIFF_SIGNATURES) and len(group) > 1:
            assert group == [f"{name}#{page}" for page in range(1, len(group) + 1)]
        else:
            assert group == [name]


def test_the_mutations_do_damage(rows: list[dict]) -> None:
    failed = [row["error_code"] for row in rows if row["status"] == "error"]
    assert COUNT // 4 < len(failed) < COUNT
    assert {"truncated", "corrupt", "too_large", "not_an_image"} <= set(failed) <= set(ErrorCode)


def test_no_mutant_costs_a_worker(rows: list[dict]) -> None:
    assert not {"timeout", "worker_died"} & {row["error_code"] for row in rows}


def test_messages_read_well(rows: list[dict]) -> None:
    for row in rows:
        message = row["error_message"]
        assert (message is None) == (row["status"] == "ok")
        if message is not None:
            said = message.removeprefix(f"{row['image_id']}: ")
            assert said != message, "the message names the file"
            assert said.strip()
            assert said.isprintable()
            assert not ADDRESS.search(said), said


def test_another_number_of_workers_gives_the_same_rows(mutants: Path, rows: list[dict]) -> None:
    assert analyzed(mutants, workers=1) == rows
