import io
import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ppcli.errors import ErrorCode, ImageError
from ppcli.files import LocalFile
from ppcli.imaging.decode import ImageSource, UnreachableFrameError, pillow_limits
from ppcli.imaging.image_choices import WHITE, Frames
from ppcli.imaging.reading_options import ReadingOptions
from tests.conftest import blocks

LIMIT = 1 << 28


@pytest.fixture(autouse=True)
def limits():
    with pillow_limits(LIMIT):
        yield


def save(path: Path, name: str = "PNG", **options) -> Path:
    Image.fromarray(blocks()).save(path, name, **options)
    return path


def decode(path: Path | str, limit: int = LIMIT) -> list[np.ndarray]:
    with ImageSource(LocalFile(str(path)).open(), limit) as source:
        return [np.asarray(source.page(n, WHITE)) for n in range(1, source.frames + 1)]


def code_of(path: Path | str, limit: int = LIMIT) -> ErrorCode:
    with pytest.raises(ImageError) as caught:
        decode(path, limit)
    return caught.value.code


@pytest.mark.parametrize("name", ["PNG", "BMP", "WEBP", "GIF", "PPM"])
def test_format_comes_from_content_not_from_the_name(tmp_path, name: str) -> None:
    options = {"lossless": True} if name == "WEBP" else {}
    path = save(tmp_path / "wrong.jpg", name, **options)
    with ImageSource(LocalFile(str(path)).open(), LIMIT) as source:
        assert source.format == name
        assert source.frames == 1
    assert np.array_equal(decode(path)[0], blocks())


@pytest.mark.parametrize("name", ["GIF", "WEBP", "PNG"])
def test_frames_of_an_animation(tmp_path, name: str) -> None:
    frames = [Image.fromarray(blocks(seed=seed)) for seed in range(4)]
    options = {"lossless": True} if name == "WEBP" else {}
    frames[0].save(tmp_path / "a", name, save_all=True, append_images=frames[1:], **options)
    decoded = decode(tmp_path / "a")
    assert all(np.array_equal(*pair) for pair in zip(decoded, frames, strict=True))
    with ImageSource(LocalFile(str(tmp_path / "a")).open(), LIMIT) as source:
        assert ReadingOptions().numbers(source.format, source.frames) == range(1, 2)
        assert ReadingOptions(Frames.ALL).numbers(source.format, source.frames) == range(1, 5)


def test_both_pictures_of_an_mpo(tmp_path) -> None:
    pictures = [Image.fromarray(blocks(seed=seed)) for seed in range(2)]
    pictures[0].save(tmp_path / "a.mpo", "MPO", save_all=True, append_images=pictures[1:])
    assert len(decode(tmp_path / "a.mpo")) == 2


def test_layers_of_a_psd_are_one_picture(corpus) -> None:
    with ImageSource(
        LocalFile(str(corpus / "hostile" / "pillow__images_hopper.psd")).open(), LIMIT
    ) as source:
        assert source.frames == 1


def test_an_animation_that_declares_too_many_frames_ends(tmp_path) -> None:
    frames = [Image.fromarray(blocks(seed=seed)) for seed in range(3)]
    data = io.BytesIO()
    frames[0].save(data, "PNG", save_all=True, append_images=frames[1:])
    raw = bytearray(data.getvalue())
    at = raw.index(b"acTL")
    raw[at + 4 : at + 8] = (1 << 30).to_bytes(4, "big")
    raw[at + 12 : at + 16] = zlib.crc32(raw[at : at + 12]).to_bytes(4, "big")
    (tmp_path / "a.png").write_bytes(raw)
    with ImageSource(LocalFile(str(tmp_path / "a.png")).open(), LIMIT) as source:
        assert source.frames == 1 << 30
        for number in (1, 2, 3):
            source.page(number, WHITE)
        with pytest.raises(UnreachableFrameError, match="frames 4 to 1,073,741,824") as caught:
            source.page(4, WHITE)
        assert caught.value.code is ErrorCode.TRUNCATED


def test_what_is_not_there_or_not_a_file(tmp_path) -> None:
    assert code_of(tmp_path / "missing.png") is ErrorCode.NOT_FOUND
    assert code_of(save(tmp_path / "a.png") / "below") is ErrorCode.NOT_FOUND
    assert code_of("nul\0byte") is ErrorCode.NOT_FOUND
    assert code_of(tmp_path) is ErrorCode.UNREADABLE
    os.mkfifo(tmp_path / "pipe.png")
    assert code_of(tmp_path / "pipe.png") is ErrorCode.UNREADABLE
    (tmp_path / "empty.png").touch()
    assert code_of(tmp_path / "empty.png") is ErrorCode.EMPTY


def test_what_is_not_an_image(tmp_path) -> None:
    path = tmp_path / "text.png"
    path.write_bytes(b"a letter to nobody in particular" * 10)
    assert code_of(path) is ErrorCode.NOT_AN_IMAGE
    path.write_bytes(b"%PDF-1.7\n" * 10)
    assert code_of(path) is ErrorCode.UNSUPPORTED_FORMAT
    path.write_bytes(b"\0\0\0\x18ftypheic" + b"\0" * 50)
    assert code_of(path) is ErrorCode.UNSUPPORTED_FORMAT
    path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")
    assert code_of(path) is ErrorCode.UNSUPPORTED_FORMAT


def test_kinds_without_a_reader_are_named(tmp_path) -> None:
    floats = np.linspace(0, 1, 64, dtype="<f4").tobytes()
    path = tmp_path / "a"
    path.write_bytes(b"PF\n4 5\n-1.0\n" + floats)
    assert code_of(path) is ErrorCode.UNSUPPORTED_MODE
    path.write_bytes(b"Pf\n8 8\n-1.0\n" + floats)
    assert code_of(path) is ErrorCode.UNSUPPORTED_MODE
    path.write_bytes(b"P7\nWIDTH 4\nHEIGHT 4\nDEPTH 4\nMAXVAL 255\nENDHDR\n" + floats)
    assert code_of(path) is ErrorCode.UNSUPPORTED_FORMAT
    texture = struct.pack("<4s7I44x", b"DDS ", 124, 0x1007, 4, 4, 0, 0, 0)
    half_floats = struct.pack("<4I20x4I4x", 32, 4, 113, 0, 0x1000, 0, 0, 0)
    path.write_bytes(texture + half_floats + floats)
    assert code_of(path) is ErrorCode.UNSUPPORTED_MODE


@pytest.mark.parametrize("name", ["PNG", "JPEG", "GIF", "BMP", "PPM"])
def test_half_a_file_is_truncated(tmp_path, name: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (90, 90, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "a", name)
    whole = (tmp_path / "a").read_bytes()
    (tmp_path / "a").write_bytes(whole[: len(whole) // 2])
    assert code_of(tmp_path / "a") is ErrorCode.TRUNCATED


def test_a_flipped_byte_is_corrupt_not_truncated(tmp_path) -> None:
    path = save(tmp_path / "a.png")
    raw = bytearray(path.read_bytes())
    raw[raw.index(b"IDAT") + 8] ^= 0xFF
    path.write_bytes(raw)
    assert code_of(path) is ErrorCode.CORRUPT


def test_too_many_pixels_are_refused_and_just_enough_are_not(tmp_path) -> None:
    path = save(tmp_path / "a.png")
    size = 96 * 64
    with pillow_limits(size - 1):
        assert code_of(path, size - 1) is ErrorCode.TOO_LARGE
    with pillow_limits(size):
        assert len(decode(path, size)) == 1


@pytest.mark.skipif(sys.platform != "linux", reason="needs a limit of the address space")
def test_a_bomb_is_refused_without_memory(tmp_path) -> None:
    header = b"IHDR" + (60_000).to_bytes(4, "big") * 2 + b"\x08\x02\0\0\0"
    chunk = b"\0\0\0\x0d" + header + zlib.crc32(header).to_bytes(4, "big")
    body = zlib.compress(b"\0" * 1000)
    data = b"IDAT" + body
    idat = len(body).to_bytes(4, "big") + data + zlib.crc32(data).to_bytes(4, "big")
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + chunk + idat)
    script = (
        "import resource, sys\n"
        "from ppcli.files import LocalFile\n"
        "from ppcli.imaging.decode import *\n"
        "resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))\n"
        "for limit in (1 << 28, 1 << 33):\n"
        "    with pillow_limits(limit):\n"
        "        try:\n"
        "            file = LocalFile(sys.argv[1]).open()\n"
        "            with ImageSource(file, limit) as source: source.page(1, (0, 0, 0))\n"
        "        except ImageError as error: print(error.code)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, tmp_path / "a.png"],
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.stdout.split() == ["too_large", "out_of_memory"], done.stderr


HOSTILE = {
    "pillow__images_decompression_bomb.gif": ErrorCode.TOO_LARGE,
    "pillow__b_badwidth.bmp": ErrorCode.CORRUPT,
    "pillow__images_truncated_image.png": ErrorCode.TRUNCATED,
    "pillow__images_truncated_jpeg.jpg": ErrorCode.TRUNCATED,
    "pillow__images_dummy.container": ErrorCode.NOT_AN_IMAGE,
    "pillow__images_test-ole-file.doc": ErrorCode.NOT_AN_IMAGE,
    "pillow__images_unknown_compression_method.png": ErrorCode.CORRUPT,
    "pillow__images_png_decompression_dos.png": ErrorCode.CORRUPT,
    "sharp__fixtures_65536-uint32-limit.png": ErrorCode.TOO_LARGE,
    "sharp__fixtures_giant-image.jpg": ErrorCode.TOO_LARGE,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_get_their_code(corpus, name: str) -> None:
    assert code_of(corpus / "hostile" / name) is HOSTILE[name]
