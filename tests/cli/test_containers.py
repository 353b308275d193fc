"""The same images in a folder, in archives and in Parquet files give the same rows."""

import json
import shutil
import subprocess
import tarfile
import zipfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from PIL import Image

from ppcli.errors import ExitCode
from tests.command import command_line, pixelprune, pixelprune_process
from tests.conftest import blocks
from tests.processes import eventually

CONTAINERS = ["c.zip", "c.tar", "c.tar.gz", "c.tar.zst", "c.parquet"]


@pytest.fixture
def images(tmp_path, monkeypatch) -> list[Path]:
    """Images, a broken one, and a PDF of two pages."""
    monkeypatch.chdir(tmp_path)
    folder = Path("in/sub")
    folder.mkdir(parents=True)
    for number in range(6):
        Image.fromarray(blocks(300, 200, seed=number)).save(f"in/{number}.png")
    Image.fromarray(blocks(300, 200, seed=9)).save("in/sub/9.jpg", quality=90)
    Path("in/broken.png").write_bytes(Path("in/1.png").read_bytes()[:200])
    Path("in/text.png").write_text("no image")
    pages = [Image.fromarray(blocks(300, 200, seed=seed)) for seed in (7, 8)]
    pages[0].save("in/pages.tif", save_all=True, append_images=pages[1:])
    return sorted(path for path in Path("in").rglob("*") if path.is_file())


def pack(container: str, files: list[Path]) -> None:
    names = [path.relative_to("in").as_posix() for path in files]
    if container.endswith(".zip"):
        with zipfile.ZipFile(container, "w", zipfile.ZIP_DEFLATED) as archive:
            for path, name in zip(files, names, strict=True):
                archive.write(path, name)
    elif container.endswith(".parquet"):
        struct = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
        content = [{"bytes": path.read_bytes(), "path": path.name} for path in files]
        table = pa.table({"image": pa.array(content, struct), "name": names})
        pq.write_table(table, container, row_group_size=4)
    else:
        mode = "w:gz" if container.endswith(".gz") else "w"
        with tarfile.open(container, mode) as archive:
            for path, name in zip(files, names, strict=True):
                archive.add(path, name)
        if container.endswith(".zst"):
            Path(container).write_bytes(zstandard.compress(Path(container).read_bytes()))


def rows_of(*args: str) -> list[dict[str, object]]:
    found = [
        json.loads(line) for line in pixelprune("analyze", *args, "-o", "-").stdout.splitlines()
    ]
    for row in found:
        for name in ("path", "decode_ms", "code_ms", "fingerprint"):
            row.pop(name)
        if row["error_message"] is not None:
            row["error_message"] = row["error_message"].partition(": ")[2]
    return found


@pytest.mark.parametrize(
    ("container", "workers"),
    [*((one, "0") for one in CONTAINERS), *zip(CONTAINERS[::2], ("1", "2", "2"), strict=True)],
)
def test_rows_are_those_of_the_folder(images, container, workers) -> None:
    pack(container, images)
    names = [path.relative_to("in").as_posix() for path in images]
    if container.endswith(".parquet"):
        names = list(map(str, range(len(images))))
    renamed = {str(path): f"{container}::{name}" for path, name in zip(images, names, strict=True)}
    expected = rows_of(*renamed)
    for row in expected:
        name, mark, page = str(row["image_id"]).partition("#")
        row["image_id"] = renamed[name] + mark + page
    assert rows_of(container, "--workers", workers) == expected


def test_one_command_takes_them_all_and_names_the_rest(images) -> None:
    for container in CONTAINERS:
        pack(container, images)
    ran = pixelprune("analyze", *CONTAINERS, "-o", "out", "--workers", "2")
    assert ran.returncode == ExitCode.INPUTS_FAILED
    assert len(pq.read_table("out/stats")) == 5 * (len(images) + 1)
    assert pixelprune("verify", "out", "--data").returncode == ExitCode.OK
    assert pixelprune("reconstruct", "out", "--to", "png").returncode == ExitCode.OK
    assert Path("png/c.zip::sub/9.jpg.png").is_file()


def test_view_and_its_single_picture(images) -> None:
    pack("c.tar.gz", images)
    ran = pixelprune("view", "c.tar.gz::sub/9.jpg", "-o", "x.png")
    assert ran.returncode == ExitCode.OK, ran.stderr
    with Image.open("x.png") as picture:
        assert picture.width > 300
    ran = pixelprune("view", "c.tar.gz", "-o", "x.png")
    assert b"several input files" in ran.stderr
    ran = pixelprune("view", "c.tar.gz::pages.tif", "-o", "x.png")
    assert b"has 2 pages" in ran.stderr


@pytest.mark.parametrize("container", CONTAINERS)
def test_a_finished_run_is_resumed_and_a_changed_container_refused(images, container) -> None:
    pack(container, images)
    run = ("analyze", container, "-o", "out")
    first = pixelprune(*run)
    assert first.returncode == ExitCode.INPUTS_FAILED
    again = pixelprune(*run, "--retry-failed")
    assert again.returncode == ExitCode.INPUTS_FAILED
    before = pq.read_table("out/stats")
    assert len(before) == len(images) + 1
    shutil.copy("in/2.png", "in/1.png")
    pack(container, images)
    changed = pixelprune(*run)
    assert changed.returncode == ExitCode.OUTPUT, changed.stderr


@pytest.mark.slow
@pytest.mark.parametrize("container", ["c.tar.gz", "c.parquet"])
def test_a_killed_run_goes_on_in_the_middle(images, container) -> None:
    for number in range(10, 60):
        shutil.copy(f"in/{number % 6}.png", f"in/{number}.png")
    files = sorted(Path("in").glob("*.png"))
    pack(container, files)
    run = ("analyze", container, "-o", "out", "--workers", "1", "--rows-per-shard", "5")
    with subprocess.Popen(command_line(run), stderr=subprocess.DEVNULL) as process:
        assert eventually(lambda: len(list(Path("out/stats").glob("*.parquet"))) >= 3)
        process.kill()
    done = len(list(Path("out/stats").glob("*.parquet")))
    assert done < 11
    ended = pixelprune_process(*run)
    assert ended.returncode == ExitCode.INPUTS_FAILED
    whole = pixelprune("analyze", container, "-o", "whole", "--rows-per-shard", "5")
    assert whole.returncode == ExitCode.INPUTS_FAILED
    columns = [
        name
        for name in pq.read_schema("out/stats/part-00000.parquet").names
        if not name.endswith("_ms")
    ]
    assert pq.read_table("out/stats", columns=columns) == pq.read_table(
        "whole/stats", columns=columns
    )


def test_a_size_that_no_column_holds_is_unknown(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    info = tarfile.TarInfo("huge.png")
    info.size = 8 << 60
    Path("a.tar").write_bytes(info.tobuf(tarfile.GNU_FORMAT) + b"\x89PNG\r\n\x1a\n" + bytes(2000))
    ran = pixelprune("analyze", "a.tar", "-o", "out")
    assert ran.returncode == ExitCode.INPUTS_FAILED, ran.stderr
    assert pq.read_table("out/stats")["file_bytes"].to_pylist() == [None, None]


def test_a_model_is_asked_about_members(images) -> None:
    pack("c.tar.gz", images)
    names = ["0.png", "sub/9.jpg"]
    lines = [
        {"image": f"c.tar.gz::{name}", "prompt": "Text?", "max_new_tokens": 4} for name in names
    ]
    Path("requests.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    asked = pixelprune("infer", "--requests", "requests.jsonl", "-o", "-")
    assert asked.returncode == ExitCode.OK, asked.stderr
    prompt = ("--prompt", "Text?", "--max-new-tokens", "4", "-o", "-")
    prompted = pixelprune("infer", "c.tar.gz", "--include", "0.png", "--include", "9.jpg", *prompt)
    local = pixelprune("infer", *(f"in/{name}" for name in names), *prompt)
    rows = [list(map(json.loads, one.stdout.splitlines())) for one in (asked, prompted, local)]
    answers = [[row["answer"] for row in found] for found in rows]
    assert answers[0] == answers[1] == answers[2]
    assert [row["image_id"] for row in rows[0]] == [f"c.tar.gz::{name}" for name in names]
    assert [row["image_id"] for row in rows[1]] == [f"c.tar.gz::{name}" for name in names]


def test_a_column_that_no_input_has_is_warned_about(images) -> None:
    pack("c.parquet", images)
    warning = b"--image-column has no effect"
    run = ("analyze", "--no-patches", "--overwrite", "-o", "out", "--image-column", "image")
    assert warning in pixelprune(*run, "in/1.png").stderr
    kept = ["in/1.png", "c.parquet", "--keep-columns", "name"]
    for used in (["c.parquet"], ["c.parquet::1"], kept):
        ran = pixelprune(*run, *used)
        assert ran.returncode in (ExitCode.OK, ExitCode.INPUTS_FAILED)
        assert warning not in ran.stderr
