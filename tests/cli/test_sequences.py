"""Sequences from the command to the files: against a chain of `prune`, and run in every way."""

import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from ppcli import api, prune, read_patch_sets
from ppcli.errors import DamagedError
from ppcli.store.frame_rows import read_frame_rows
from ppcli.store.rows import STATS
from tests.command import command_line, pixelprune

TILE = 32
GRID = ("--fit", "pad")
TIMES = ("decode_ms", "code_ms")


def frames(count: int, seed: int = 0, rows: int = 3, columns: int = 4) -> list[np.ndarray]:
    """Frames of which one tile changes from each to the next."""
    chance = np.random.default_rng(seed)
    tiles = chance.integers(0, 256, (rows, TILE, columns, TILE, 3), dtype=np.uint8)
    made = []
    for _ in range(count):
        made.append(tiles.reshape(rows * TILE, columns * TILE, 3).copy())
        r, c = chance.integers(rows), chance.integers(columns)
        tiles[r, :, c] = chance.integers(0, 256, (TILE, TILE, 3), dtype=np.uint8)
    return made


def write(folder: Path, images: list[np.ndarray], first: int = 0) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number, image in enumerate(images, first):
        Image.fromarray(image).save(folder / f"{number:03}.png")


def analyze(*line: object, code: int = 0) -> None:
    done = pixelprune("analyze", *map(str, line), *GRID)
    assert done.returncode == code, done.stderr


def rows_of(out: Path, kind: str = STATS) -> list[dict[str, Any]]:
    tables = [pq.ParquetFile(path).read().to_pylist() for path in sorted((out / kind).glob("p*"))]
    return [
        {name: value for name, value in row.items() if name not in (*TIMES, "path", "fingerprint")}
        for table in tables
        for row in table
    ]


def equal(one: Path, other: Path) -> bool:
    return all(rows_of(one, kind) == rows_of(other, kind) for kind in (STATS, "patches"))


@pytest.fixture
def screens(tmp_path: Path) -> Path:
    """40 frames in one folder, more than a sequence has, and 3 in another."""
    write(tmp_path / "screens" / "a", frames(40))
    write(tmp_path / "screens" / "b", frames(3, seed=1))
    return tmp_path / "screens"


@pytest.mark.parametrize("direction", ["forward", "reverse"])
@pytest.mark.parametrize("method", ["pred_2d", "left_or_above_flat"])
def test_rows_and_patch_sets_are_those_of_a_chain(
    screens: Path, tmp_path: Path, direction: str, method: str
) -> None:
    out = tmp_path / "out"
    line = ["--sequence", direction, "--method", method, "--threshold", "3/255", "-o", out]
    analyze(screens, *line)
    stored = {one.image_id: one for one in read_patch_sets(out)}
    sequences = [("a", range(32)), ("a", range(32, 40)), ("b", range(3))]
    for folder, numbers in sequences:
        before = None
        for number in numbers if direction == "forward" else reversed(numbers):
            name = f"{folder}/{number:03}.png"
            image = np.asarray(Image.open(screens / name))
            expected = prune(image, TILE, method, threshold=3 / 255, before=before)
            found = stored[name].patch_set
            assert np.array_equal(found.keep, expected.keep)
            assert (found.unchanged is None) == (before is None)
            if before is not None:
                assert found.kept < found.kept_intra
            before = expected.reconstruct(before)
            assert np.array_equal(stored[name].raster(), before)
    for row in rows_of(out):
        patch_set = stored[row["image_id"]].patch_set
        assert (row["kept"], row["kept_intra"]) == (patch_set.kept, patch_set.kept_intra)
    verified = pixelprune("verify", "--data", out)
    assert b"43 rasters rebuilt: 0 faults" in verified.stdout + verified.stderr


def test_other_readers_see_the_columns(screens: Path, tmp_path: Path) -> None:
    plain, out = tmp_path / "plain", tmp_path / "out"
    analyze(screens / "b", "-o", plain)
    analyze(screens / "b", "--sequence", "forward", "-o", out)
    assert {"reference", "unchanged"} & set(
        pq.read_schema(next(plain.glob("patches/*"))).names
    ) == set()
    assert "kept_intra" not in pq.read_schema(next(plain.glob("stats/*"))).names
    patches = rows_of(out, "patches")
    assert [one["reference"] for one in patches] == [None, "000.png", "001.png"]
    for patch, row in zip(patches, rows_of(out), strict=True):
        ones = sum(byte.bit_count() for byte in patch["unchanged"] or b"")
        assert row["kept_intra"] == row["kept"] + ones
    assert [one["kept"] for one in rows_of(out)] < [one["kept"] for one in rows_of(plain)]


def test_workers_do_not_change_a_row(screens: Path, tmp_path: Path) -> None:
    for workers in (0, 2):
        analyze(
            screens, "--sequence", "reverse", "--workers", workers, "-o", tmp_path / str(workers)
        )
    assert equal(tmp_path / "0", tmp_path / "2")


@pytest.mark.parametrize("direction", ["forward", "reverse"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_run_that_ends_early_goes_on_as_if_it_had_not(
    screens: Path, tmp_path: Path, direction: str, number: signal.Signals
) -> None:
    """Shards have whole sequences, wherever a signal comes."""
    line = [screens, "--sequence", direction, "--rows-per-shard", 1, *GRID, "--workers", 1]
    undisturbed, out = tmp_path / "undisturbed", tmp_path / "out"
    analyze(*line[:-2], "-o", undisturbed)
    command = command_line(["analyze", *map(str, line), "-o", out])
    with subprocess.Popen(command, stderr=subprocess.PIPE) as run:
        while not list(out.glob("stats/p*")) and run.poll() is None:
            time.sleep(0.01)
        run.send_signal(number)
        run.communicate(timeout=60)
    assert rows_of(out) == rows_of(undisturbed)[: len(rows_of(out))]
    analyze(*line[:-2], "-o", out)
    assert equal(out, undisturbed)
    assert [pq.read_metadata(one).num_rows for one in sorted(out.glob("stats/*"))] == [32, 8, 3]


def test_frames_that_fail_or_differ(tmp_path: Path) -> None:
    """A broken frame is skipped over; one of another size, and a file with pages, begin anew."""
    images = frames(6)
    root = tmp_path / "screens"
    write(root, images)
    (root / "001.png").write_bytes((root / "001.png").read_bytes()[:300])
    Image.fromarray(images[3][:TILE]).save(root / "003.png")
    pages = [Image.fromarray(one) for one in frames(5, seed=3)]
    pages[0].save(root / "004x.tif", save_all=True, append_images=pages[1:])
    out = tmp_path / "out"
    analyze(root, "--sequence", "forward", "-o", out, code=3)
    found = {one["image_id"]: one["reference"] for one in rows_of(out, "patches")}
    assert found == {
        "000.png": None,
        "002.png": "000.png",
        "003.png": None,
        "004.png": None,
        "004x.tif#1": None,
        **{f"004x.tif#{n}": f"004x.tif#{n - 1}" for n in range(2, 6)},
        "005.png": None,
    }
    assert pixelprune("verify", "--data", out).returncode == 0
    write(root, images[1:2], first=1)
    analyze(root, "--sequence", "forward", "-o", out, "--retry-failed")
    fresh = tmp_path / "fresh"
    analyze(root, "--sequence", "forward", "-o", fresh)
    assert equal(out, fresh)  # the frames after it depend on the mended one


def test_all_images_can_be_one_sequence(screens: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    analyze(screens, "--sequence", "forward", "--sequence-by", "all", "-o", out)
    whole = [one["image_id"] for one in rows_of(out, "patches") if one["reference"] is None]
    assert whole == ["a/000.png", "a/032.png"]
    assert [one["reference"] for one in rows_of(out, "patches")][40] == "a/039.png"


def test_from_python(screens: Path) -> None:
    rows = api.analyze(screens / "b", sequence=api.SequenceOptions("reverse")).rows
    assert [row.kept == row.kept_intra for row in rows] == [False, False, True]


def test_pages_of_a_long_file_are_sequences(tmp_path: Path) -> None:
    pages = [Image.fromarray(one) for one in frames(40)]
    file = tmp_path / "long.tif"
    pages[0].save(file, save_all=True, append_images=pages[1:])
    for direction, whole in (("forward", [1, 33]), ("reverse", [32, 40])):
        out = tmp_path / direction
        analyze(file, "--sequence", direction, "-o", out)
        found = [n for n, one in enumerate(rows_of(out, "patches"), 1) if one["reference"] is None]
        assert found == whole
        assert pixelprune("verify", "--data", out).returncode == 0


def test_pictures_of_frames(screens: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    analyze(screens / "b", "--sequence", "reverse", "-o", out)
    done = pixelprune("reconstruct", out, "--to", tmp_path / "png", "--image-id", "001.png")
    assert done.returncode == 0, done.stderr
    rebuilt = np.asarray(Image.open(tmp_path / "png" / "001.png"))
    assert np.array_equal(rebuilt, np.asarray(Image.open(screens / "b" / "001.png")))
    assert pixelprune("view", out, "-o", tmp_path / "view").returncode == 0
    assert len(list((tmp_path / "view").glob("*.png"))) == 3
    assert pixelprune("report", out, "-o", tmp_path / "report.html").returncode == 0
    said = (tmp_path / "report.html").read_text(encoding="utf-8")
    alone = sum(one["kept_intra"] for one in rows_of(out))
    assert "sequence reverse" in said and f'<span id="kept-intra">{alone}</span>' in said


def test_a_reader_holds_no_more_pixels_than_a_sequence_has(screens: Path, tmp_path: Path) -> None:
    """Whatever a file says: its first two frames together claim to have 2^26 pixels, and more."""
    for direction in ("forward", "reverse"):
        out = tmp_path / direction
        analyze(screens / "b", "--sequence", direction, "-o", out)
        [path] = out.glob("patches/*")
        assert [one.before is None for one in read_frame_rows(str(path))].count(True) == 1
        table = pq.read_table(path)
        side = pa.array([255] * 3, table.schema.field("grid_h").type)
        for name in ("grid_h", "grid_w"):
            place = table.schema.get_field_index(name)
            table = table.set_column(place, table.schema.field(name), side)
        pq.write_table(table, path)
        assert [one.before is None for one in read_frame_rows(str(path))] == [True, False, True]


@pytest.mark.parametrize("direction", ["forward", "reverse"])
def test_only_the_sequence_of_a_frame_is_read(
    screens: Path, tmp_path: Path, direction: str
) -> None:
    """Another sequence of the file is damaged here, which reading it would notice."""
    out = tmp_path / "out"
    analyze(screens, "--sequence", direction, "-o", out)
    [path] = out.glob("patches/*")
    options = {"row_group_size": 1, "use_dictionary": False, "write_page_checksum": True}
    pq.write_table(pq.read_table(path), path, **options)
    file = pq.ParquetFile(path)
    column = file.metadata.row_group(35).column(file.schema_arrow.get_field_index("keep"))
    content = bytearray(path.read_bytes())
    content[column.data_page_offset + column.total_compressed_size - 1] ^= 1
    path.write_bytes(content)
    for name in ("a/000.png", "a/017.png", "a/031.png", "b/001.png"):
        [stored] = read_patch_sets(out, [name])
        assert np.array_equal(stored.image(), np.asarray(Image.open(screens / name)))
    with pytest.raises(DamagedError, match="checksum"):
        list(read_patch_sets(out, ["a/034.png", "a/036.png"]))


def test_a_missing_frame_is_damage(screens: Path, tmp_path: Path) -> None:
    """Of a file whose first row is gone, the frames cannot be rebuilt."""
    out = tmp_path / "out"
    analyze(screens / "b", "--sequence", "forward", "-o", out)
    [path] = out.glob("patches/*")
    cut = tmp_path / "cut.parquet"
    pq.write_table(pq.read_table(path).slice(1), cut)
    done = pixelprune("verify", "--data", cut)
    assert done.returncode == 6
    assert b"the frame 000.png that it depends on is missing" in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (["--sequence-by", "all"], "--sequence-by needs --sequence"),
        (["--sequence", "forward", "--method", "conncomp", "--no-patches"], "cannot be decoded"),
        (["--sequence", "forward", "--update"], "--update cannot be combined with --sequence"),
        (["--sequence", "backward"], "backward"),
    ],
)
def test_what_cannot_be_is_refused(
    screens: Path, tmp_path: Path, line: list[str], said: str
) -> None:
    done = pixelprune("analyze", screens, *line, "-o", tmp_path / "out")
    assert done.returncode == 2
    assert said in done.stderr.decode()


def test_answers_about_such_a_dataset_are_refused(screens: Path, tmp_path: Path) -> None:
    """A frame by itself lacks what the frame before shows."""
    out = tmp_path / "out"
    pixelprune("analyze", screens / "b", "--sequence", "forward", "-o", out)
    done = pixelprune("infer", out, "--prompt", "?", "-o", tmp_path / "answers")
    assert done.returncode == 2
    assert b"--sequence" in done.stderr
