"""Data sets on the Hugging Face hub as inputs, read from a server that speaks like it."""

import io
import json
import tarfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from ppcli.errors import ExitCode
from tests.command import pixelprune, pixelprune_process
from tests.conftest import blocks
from tests.hub_server import hub_server

URL = "hf://datasets/me/pages"
PLACES = ("path", "fingerprint", "decode_ms", "code_ms")


def _fill(folder: Path) -> None:
    (folder / "data").mkdir(parents=True)
    pictures = []
    for number in range(6):
        file = io.BytesIO()
        Image.fromarray(blocks(300, 200, seed=number)).save(file, "PNG")
        pictures.append(file.getvalue())
    (folder / "one.png").write_bytes(pictures[0])
    (folder / "README.md").write_text("a data set")
    pq.write_table(pa.table({"image": pictures, "n": range(6)}), folder / "data" / "d.parquet")
    with tarfile.open(folder / "data" / "d.tar", "w") as archive:
        for number, content in enumerate(pictures):
            info = tarfile.TarInfo(f"{number}.png")
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))


def _rows(out: bytes) -> list[dict[str, object]]:
    rows = [json.loads(line) for line in out.splitlines()]
    return [{name: row[name] for name in row if name not in PLACES} for row in rows]


def test_a_data_set_gives_the_rows_of_its_files(tmp_path) -> None:
    _fill(tmp_path / "pages")
    options = ("--keep-columns", "n", "--no-patches", "-o", "-")
    local = _rows(pixelprune("analyze", tmp_path / "pages", *options).stdout)
    assert len(local) == 13
    with hub_server(tmp_path / "pages") as server:
        ran = pixelprune_process("analyze", URL, *options, "--workers", "1", **server.environment)
        assert ran.returncode == ExitCode.OK, ran.stderr
        assert _rows(ran.stdout) == local


def test_members_are_read_without_what_follows_them(tmp_path) -> None:
    _fill(tmp_path / "pages")
    archive = tmp_path / "pages" / "data" / "d.tar"
    with hub_server(tmp_path / "pages") as server:
        args = ("analyze", f"{URL}/data/d.tar", "-o", "-", "--workers", "0")
        ran = pixelprune_process(*args, **server.environment)
        assert ran.returncode == ExitCode.OK, ran.stderr
        size = archive.stat().st_size
        assert (
            size < server.sent < 3 * size
        )  # its headers, in a block that is larger, and its members


def test_what_is_not_there_is_said(tmp_path) -> None:
    _fill(tmp_path / "pages")
    with hub_server(tmp_path / "pages") as server:
        for url, said in (
            ("hf://datasets/me/none", b"there is no such repository"),
            (f"{URL}/none", b"no such file or folder"),
        ):
            ran = pixelprune_process("analyze", url, "-o", "-", **server.environment)
            assert (ran.returncode, said in ran.stderr) == (ExitCode.USAGE, True), ran.stderr
