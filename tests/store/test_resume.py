"""Which inputs and files a dataset goes on with, and which it does not."""

import json
import logging
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import xxhash
from PIL import Image

from ppcli.errors import OutputError
from ppcli.files import LocalFile
from ppcli.inputs.refs import ImageRef
from ppcli.inputs.requests import RequestFile
from ppcli.store.dataset import dataset_output
from ppcli.store.manifest import MANIFEST, Manifest
from ppcli.store.reader import read_rows
from ppcli.store.rows import ANSWERS, AnswerRow
from ppcli.store.verify import verify
from tests.conftest import blocks
from tests.store import small_run


@pytest.fixture
def here(made: Path, tmp_path: Path) -> Path:
    """Inputs `in` and their dataset `out`, times as they were."""
    shutil.copytree(made / "in", tmp_path / "in")
    shutil.copytree(made / "out", tmp_path / "out")
    return tmp_path


def files(out: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(out.rglob("*.*")) if path.is_file()}


def moved(here: Path) -> Path:
    (here / "in").rename(here / "elsewhere")
    return here / "elsewhere"


def linked(here: Path) -> Path:
    (here / "link").symlink_to(here / "in")
    return here / "link"


def slashed(here: Path) -> str:
    return f"{here}/in/"


def dotted(here: Path) -> str:
    return f"{here}/./in/../in"


@pytest.mark.parametrize("name", [moved, linked, slashed, dotted])
def test_a_folder_named_otherwise_is_the_same(here: Path, name, caplog) -> None:
    before = files(here / "out")
    with caplog.at_level(logging.WARNING, "pixelprune"):
        small_run.run(name(here), here / "out")
    assert files(here / "out") == before
    told = [line for line in caplog.messages if "under other paths" in line]
    assert len(told) == 1


@pytest.mark.parametrize("place", ["in", "./in", "../{}/in", "in/"])
def test_a_relative_folder_is_the_absolute_one(here: Path, place: str, monkeypatch) -> None:
    before = files(here / "out")
    monkeypatch.chdir(here)
    small_run.run(place.format(here.name), Path("out"))  # type: ignore[arg-type]
    assert files(here / "out") == before


def test_rows_keep_their_paths_and_new_tries_have_the_new_ones(here: Path) -> None:
    paths = {row["image_id"]: row["path"] for row in small_run.rows_of(here / "out")[0]}
    small_run.mend(here / "in")
    folder = moved(here)
    small_run.run(folder, here / "out", "retry")
    stats = small_run.rows_of(here / "out")[0]
    mended = str(folder / "1-broken.png")
    assert {row["image_id"]: row["path"] for row in stats} == paths | {"1-broken.png": mended}
    assert {row["status"] for row in stats} == {"ok"}


def test_other_files_of_the_same_names_are_others(here: Path) -> None:
    before = files(here / "out")
    other = shutil.copytree(here / "in", here / "other")
    first = other / "0.png"
    os.utime(first, ns=(1, 1))
    with pytest.raises(OutputError, match="a file was modified"):
        small_run.run(other, here / "out")
    first.write_bytes(first.read_bytes() + b"x")
    with pytest.raises(OutputError, match=r"the size of 0\.png has changed"):
        small_run.run(other, here / "out")
    first.unlink()
    with pytest.raises(OutputError, match=r"expected 0\.png, found 1-broken\.png"):
        small_run.run(other, here / "out")
    assert files(here / "out") == before


def as_before(here: Path) -> None:
    """Give the shards the digests that pixelprune 0.1.0 gave them, by its own formula."""
    manifest = Manifest.read(str(here / "out"))
    for number, shard in enumerate(manifest.shards):
        state = xxhash.xxh3_128()
        rows = list(read_rows(str(here / "out" / "stats" / f"part-{number:05d}.parquet"), "stats"))
        failed = {row.path: row.status == "error" for row in rows}
        for path, is_error in failed.items():
            name = os.path.basename(path)
            status = os.stat(here / "in" / name)
            seen = (-1, -1) if is_error else (status.st_size, status.st_mtime_ns)
            state.update(json.dumps([name, path, *seen]).encode() + b"\n")
        shard.inputs_digest = state.hexdigest()
    manifest.write(str(here / "out"))


@pytest.mark.parametrize("name", [lambda here: here / "in", moved])
def test_a_dataset_of_the_release_before_goes_on(here: Path, name) -> None:
    as_before(here)
    before = files(here / "out")
    small_run.run(name(here), here / "out")
    assert files(here / "out") == before


def test_a_dataset_of_the_release_before_is_refused_where_files_changed(here: Path) -> None:
    as_before(here)
    os.utime(here / "in" / "0.png", ns=(1, 1))
    with pytest.raises(OutputError, match="a file was modified"):
        small_run.run(here / "in", here / "out")


def test_a_finished_run_goes_on_with_files_that_come_after(here: Path) -> None:
    before = files(here / "out")
    Image.fromarray(blocks(90, 50, seed=9)).save(here / "in" / "9.png")
    small_run.run(here / "in", here / "out")
    stats, patches = small_run.rows_of(here / "out")
    assert [row["image_id"] for row in stats][-1] == "9.png"
    assert (len(stats), len(patches)) == (9, 8)
    after = files(here / "out")
    assert {name: after[name] for name in before if "part" in name} == {
        name: raw for name, raw in before.items() if "part" in name
    }
    report = verify(str(here / "out"), data=True)
    assert (report.damage, report.finished) == ([], True)


def test_while_it_goes_on_it_is_unfinished(here: Path) -> None:
    config = small_run.OPTIONS.as_config()
    refs = [
        ImageRef(LocalFile(str(path)), path.name)
        for path in sorted((here / "in").iterdir())
        if path.is_file()
    ]
    row = next(read_rows(str(here / "out/stats/part-00000.parquet"), "stats"))
    with pytest.raises(RuntimeError), dataset_output(str(here / "out"), config) as sink:
        assert len(list(sink.previous_shards(iter(refs)))) == 4
        assert Manifest.read(str(here / "out")).finished
        sink.add(row, None)
        raise RuntimeError
    assert not Manifest.read(str(here / "out")).finished


@pytest.mark.parametrize("number", range(7))
def test_files_that_are_gone_or_came_between_are_refused(here: Path, number: int) -> None:
    before = files(here / "out")
    names = sorted(path.name for path in (here / "in").iterdir())
    (here / "in" / names[number]).rename(here / "kept")
    with pytest.raises(OutputError, match="was made from other inputs"):
        small_run.run(here / "in", here / "out")
    (here / "kept").rename(here / "in" / names[number])
    shutil.copy(here / "in" / "0.png", here / "in" / f"{names[number]}-before.png")
    if number < 6:
        with pytest.raises(OutputError, match=r"found .*-before\.png"):
            small_run.run(here / "in", here / "out")
        assert files(here / "out") == before


LINES = [json.dumps({"custom_id": f"r{n}", "prompt": f"Which is {n}?"}) for n in range(6)]


def answer(out: Path, lines: list[str]) -> int:
    """Answer the requests of some lines; how many of them an earlier run had answered."""
    file = out.parent / "requests.jsonl"
    file.write_text("\n".join(lines))
    config = {"rows": ANSWERS, "patches": False}
    with dataset_output(str(out), config, rows_per_shard=2) as sink:
        waiting = iter(RequestFile(str(file)))
        earlier = sum(len(shard.inputs) for shard in sink.previous_shards(waiting))
        for one in waiting:
            sink.add(AnswerRow(custom_id=one.custom_id, prompt=one.prompt, answer="yes"), None)
            sink.end_of_input(one)
    return earlier


def test_lines_appended_to_a_file_of_requests(tmp_path: Path) -> None:
    assert answer(tmp_path / "out", LINES[:3]) == 0
    assert answer(tmp_path / "out", LINES[:3]) == 3
    assert answer(tmp_path / "out", LINES) == 3
    assert answer(tmp_path / "out", LINES) == 6
    kept = [
        row.custom_id
        for number in range(4)
        for row in read_rows(str(tmp_path / f"out/answers/part-{number:05d}.parquet"), ANSWERS)
    ]
    assert kept[:6] == [f"r{n}" for n in range(6)]
    for other in (LINES[:5], [LINES[1], *LINES], [*LINES[:2], LINES[2].replace("2?", "3?")]):
        with pytest.raises(OutputError, match="was made from other inputs"):
            answer(tmp_path / "out", other)


def _of_another_run(here: Path, kind: str) -> Path:
    """A valid shard of the same configuration, of other images."""
    folder = here / "others"
    folder.mkdir()
    for seed in range(7):
        Image.fromarray(blocks(70 + seed, 50, seed=20 + seed)).save(folder / f"x{seed}.png")
    small_run.run(folder, here / "out2")
    return here / "out2" / kind / "part-00000.parquet"


def _of_another_place(here: Path, kind: str) -> Path:
    return here / "out" / kind / "part-00002.parquet"


def _of_the_same_images(here: Path, kind: str) -> Path:
    """The same rows, written at another time: of the statistics the times are others."""
    small_run.run(here / "in", here / "out2")
    return here / "out2" / kind / "part-00000.parquet"


@pytest.mark.parametrize(
    ("kind", "other"),
    [
        ("stats", _of_another_run),
        ("stats", _of_another_place),
        ("stats", _of_the_same_images),
        ("patches", _of_another_run),
        ("patches", _of_another_place),
        ("stats", None),
        ("patches", None),
    ],
)
def test_a_file_that_took_the_place_of_another(
    here: Path, kind: str, other: Callable[[Path, str], Path] | None
) -> None:
    target = here / "out" / kind / "part-00000.parquet"
    if other is None:
        target.unlink()
    else:
        shutil.copy(other(here, kind), target)
    before = files(here / "out")
    assert verify(str(here / "out")).damage
    for how in ("resume", "retry"):
        with pytest.raises(
            OutputError, match=rf"{kind}.part-00000\.parquet .*run pixelprune verify for details"
        ):
            small_run.run(here / "in", here / "out", how)
    assert files(here / "out") == before
    assert MANIFEST in {path.name for path in (here / "out").iterdir()}


def test_patch_sets_of_other_names_are_found_also_in_as_many_bytes(here: Path) -> None:
    first, second = (here / "out" / "patches" / f"part-0000{n}.parquet" for n in (0, 3))
    manifest = Manifest.read(str(here / "out"))
    shutil.copy(second, first)
    record = manifest.shards[3].files["patches"]
    manifest.shards[0].files["patches"] = record  # as if the sizes were equal
    manifest.write(str(here / "out"))
    with pytest.raises(
        OutputError, match=r"patches.part-00000\.parquet was changed after it was written"
    ):
        small_run.run(here / "in", here / "out")
