"""What an update of a dataset takes for new, changed, unchanged and vanished."""

import logging
import os
import shutil
import signal
import tarfile
import tempfile
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from ppcli.errors import NothingToDoError, OutputError
from ppcli.store import set_aside
from ppcli.store.input_index import InputIndex, KnownInput, known_inputs
from ppcli.store.manifest import Manifest
from ppcli.store.places.place import place_of
from ppcli.store.previous_run import by_input
from ppcli.store.reader import read_rows
from ppcli.store.schema import SCHEMAS
from ppcli.store.shards import shard_path
from ppcli.store.verify import verify
from tests.conftest import blocks
from tests.store import small_run
from tests.store.test_recovery import assert_whole, kill_at
from tests.store.test_resume import files


@pytest.fixture
def here(made: Path, tmp_path: Path) -> Path:
    """Inputs `in` and their dataset `out`, times as they were."""
    shutil.copytree(made / "in", tmp_path / "in")
    shutil.copytree(made / "out", tmp_path / "out")
    return tmp_path


@pytest.fixture
def counted(caplog):
    """Update, and return the words about the changes."""

    def update(folder: Path, out: Path, how: str = "update") -> str:
        caplog.clear()
        with caplog.at_level(logging.INFO, "pixelprune"):
            small_run.run(folder, out, how)
        (line,) = (one for one in caplog.messages if " new, " in one)
        return line.partition(": ")[2]

    return update


def ids(out: Path) -> list[str]:
    return [row["image_id"] for row in small_run.rows_of(out)[0]]


def picture(path: Path, seed: int) -> None:
    Image.fromarray(blocks(80, 50, seed=seed)).save(path)


def test_nothing_to_do_changes_nothing(here: Path, counted) -> None:
    before = files(here / "out")
    words = "0 new, 0 changed, 7 unchanged, 0 vanished (rows kept)"
    assert counted(here / "in", here / "out") == words
    assert files(here / "out") == before


def test_each_kind_of_change(here: Path, counted) -> None:
    before = small_run.rows_of(here / "out")[0]
    picture(here / "in" / "1a.png", 30)
    picture(here / "in" / "0.png", 31)
    small_run.mend(here / "in")
    (here / "in" / "4.png").unlink()
    words = "1 new, 2 changed, 4 unchanged, 1 vanished (rows kept)"
    assert counted(here / "in", here / "out") == words
    after = small_run.rows_of(here / "out")[0]
    assert ids(here / "out") == [*(row["image_id"] for row in before), "1a.png"]
    same = [new["image_id"] for new, old in zip(after, before, strict=False) if new == old]
    assert same == [row["image_id"] for row in before if row["image_id"][:2] not in ("0.", "1-")]
    assert {row["status"] for row in after} == {"ok"}
    with pytest.raises(OutputError, match="was made from other inputs"):
        small_run.run(here / "in", here / "out")
    words = "0 new, 0 changed, 7 unchanged, 1 vanished (dropped)"
    assert counted(here / "in", here / "out", "drop") == words
    assert "4.png" not in ids(here / "out")
    assert_whole(here / "out")


def test_what_comes_back_is_unchanged(here: Path, counted) -> None:
    before = files(here / "out")
    (here / "in" / "2.png").rename(here / "kept")
    counted(here / "in", here / "out")
    (here / "kept").rename(here / "in" / "2.png")
    assert counted(here / "in", here / "out").startswith("0 new, 0 changed, 7 unchanged, 0 van")
    assert files(here / "out") == before


def test_a_file_with_other_pages_is_one_input(here: Path, counted) -> None:
    pages = [Image.fromarray(blocks(64, 64, seed=seed)) for seed in range(3)]
    pages[0].save(here / "in" / "3-pages.tif", save_all=True, append_images=pages[1:])
    assert counted(here / "in", here / "out").startswith("0 new, 1 changed, 6 unchanged")
    assert [name for name in ids(here / "out") if "pages" in name] == [
        f"3-pages.tif#{number}" for number in (1, 2, 3)
    ]
    pages[0].save(here / "in" / "3-pages.tif")
    assert counted(here / "in", here / "out").startswith("0 new, 1 changed, 6 unchanged")
    assert [name for name in ids(here / "out") if "pages" in name] == ["3-pages.tif"]
    assert_whole(here / "out")


def test_empty_shards_are_read_by_all(here: Path, counted) -> None:
    for name in ("0.png", "1-broken.png", "1.png", "2.png"):
        (here / "in" / name).unlink()
    picture(here / "in" / "9.png", 9)
    assert counted(here / "in", here / "out", "drop").endswith("4 vanished (dropped)")
    shards = Manifest.read(place_of(str(here / "out"))).shards
    assert [shard.rows for shard in shards] == [0, 0, 2, 2, 1]
    assert_whole(here / "out")
    for kind, rows in (("stats", 5), ("patches", 5)):
        query = f"select count(*) from '{here}/out/{kind}/*.parquet'"
        assert duckdb.sql(query).fetchall() == [(rows,)]
    assert counted(here / "in", here / "out").startswith("0 new, 0 changed, 4 unchanged, 0 van")


def test_a_temporary_file_that_cannot_be_written(here: Path, monkeypatch) -> None:
    before = files(here / "out")
    picture(here / "in" / "9.png", 9)
    monkeypatch.setattr(set_aside, "_BYTES_IN_MEMORY", 1)
    monkeypatch.setattr(tempfile, "tempdir", str(here / "absent"))
    with pytest.raises(OutputError, match=r"No such file or directory; set TMPDIR"):
        small_run.run(here / "in", here / "out", "update")
    assert files(here / "out") == before
    monkeypatch.setattr(tempfile, "tempdir", str(here))
    small_run.run(here / "in", here / "out", "update")
    assert ids(here / "out")[-1] == "9.png"


class TestDropping:
    def test_all_rows_is_refused(self, here: Path) -> None:
        before = files(here / "out")
        shutil.rmtree(here / "in")
        (here / "in").mkdir()
        with pytest.raises(NothingToDoError):
            small_run.run(here / "in", here / "out", "drop")
        picture(here / "in" / "other.png", 1)
        with pytest.raises(OutputError, match=r"none of the inputs of .* nothing was changed"):
            small_run.run(here / "in", here / "out", "drop")
        assert files(here / "out") == before

    def test_is_refused_where_an_archive_is_damaged(self, tmp_path: Path, counted) -> None:
        folder = tmp_path / "in"
        folder.mkdir()
        for seed in range(3):
            picture(tmp_path / f"{seed}.png", seed)
        with tarfile.open(folder / "a.tar", "w") as archive:
            for seed in range(3):
                archive.add(tmp_path / f"{seed}.png", f"{seed}.png")
        small_run.run(folder, tmp_path / "out")
        assert len(ids(tmp_path / "out")) == 3
        before = files(tmp_path / "out")
        os.truncate(folder / "a.tar", 1_500)
        with pytest.raises(
            OutputError, match=r"a\.tar cannot be read to its end, so that inputs may"
        ):
            small_run.run(folder, tmp_path / "out", "drop")
        assert files(tmp_path / "out") == before
        assert counted(folder, tmp_path / "out").endswith("0 vanished (rows kept)")
        assert {f"a.tar::{seed}.png" for seed in range(3)} < set(ids(tmp_path / "out"))


def without_fingerprints(monkeypatch) -> None:
    """Write and read as before there was the column."""
    for kind in ("stats", "answers"):
        schema = SCHEMAS[kind]
        place = schema.get_field_index("fingerprint")
        monkeypatch.setitem(SCHEMAS, kind, schema.remove(place))


@pytest.fixture
def old(here: Path) -> Path:
    """The same with a dataset whose rows have no fingerprints."""
    shutil.rmtree(here / "out")
    with pytest.MonkeyPatch.context() as patch:
        without_fingerprints(patch)
        small_run.run(here / "in", here / "out")
    columns = duckdb.sql(f"describe from '{here}/out/stats/*.parquet'").fetchall()
    assert "fingerprint" not in [name for name, *_ in columns]
    return here


class TestOldDatasets:
    def test_go_on(self, old: Path, counted) -> None:
        before = files(old / "out")
        small_run.run(old / "in", old / "out")
        assert counted(old / "in", old / "out").startswith("0 new, 0 changed, 7 unchanged, 0 van")
        assert files(old / "out") == before

    def test_all_of_a_shard_counts_as_changed(self, old: Path, counted) -> None:
        picture(old / "in" / "2.png", 40)
        assert counted(old / "in", old / "out").startswith("0 new, 2 changed, 5 unchanged, 0 van")
        prints = [row["fingerprint"] is not None for row in small_run.rows_of(old / "out")[0]]
        assert prints == [False] * 2 + [True] * 2 + [False] * 4
        assert counted(old / "in", old / "out").startswith("0 new, 0 changed, 7 unchanged, 0 van")
        small_run.run(old / "in", old / "out")
        assert_whole(old / "out")

    def test_what_vanished_keeps_its_rows(self, old: Path, counted) -> None:
        (old / "in" / "2.png").unlink()
        assert counted(old / "in", old / "out").startswith("0 new, 1 changed, 5 unchanged, 1 van")
        assert "2.png" in ids(old / "out")
        assert counted(old / "in", old / "out").startswith("0 new, 0 changed, 6 unchanged, 1 van")
        counted(old / "in", old / "out", "drop")
        assert "2.png" not in ids(old / "out")
        assert_whole(old / "out")

    def test_a_mixed_shard_compares_each_input(self, old: Path, counted) -> None:
        (old / "in" / "2.png").rename(old / "kept")
        counted(old / "in", old / "out")
        (old / "kept").rename(old / "in" / "2.png")
        assert counted(old / "in", old / "out").startswith("0 new, 1 changed, 6 unchanged, 0 van")
        assert None not in [row["fingerprint"] for row in small_run.rows_of(old / "out")[0][2:4]]


names = st.text(st.characters(codec="utf-8"), min_size=1, max_size=6)


@given(st.lists(st.dictionaries(names, st.sampled_from([None, "a", "b"]), max_size=4), max_size=5))
def test_the_index_finds_what_a_dict_finds(shards: list[dict[str, str | None]]) -> None:
    index = InputIndex([KnownInput(*one, False) for one in shard.items()] for shard in shards)
    numbered = list(enumerate(one for shard in shards for one in shard.items()))
    first = {name: number for number, (name, _) in reversed(numbered)}
    assert len(index) == len(numbered)
    for name in [*first, "another name"]:
        assert index.find(name) == first.get(name)
    for number, (_, fingerprint) in numbered:
        assert index.is_same(number, fingerprint) == (fingerprint is not None)
        assert not index.is_same(number, "c")
        shard = index.shard_of(number)
        assert index.starts[shard] <= number < index.starts[shard + 1]


def test_the_index_takes_the_same_rows_for_one_input(here: Path) -> None:
    root = place_of(str(here / "out"))
    manifest = Manifest.read(root)
    for number in range(len(manifest.shards)):
        path = shard_path(root, "stats", number)
        groups = by_input(list(read_rows(path, "stats")), manifest.config)
        assert list(known_inputs(path, manifest.config)) == [
            KnownInput(
                one.rows[0].input_name,
                one.rows[0].fingerprint,
                any(row.status == "error" for row in one.rows),
            )
            for one in groups
        ]


@pytest.mark.slow
@pytest.mark.parametrize("how", ["update", "drop"])
def test_killed_at_every_step_of_an_update(here: Path, how: str) -> None:
    folder = here / "in"
    picture(folder / "1a.png", 30)
    picture(folder / "0.png", 31)
    small_run.mend(folder)
    (folder / "4.png").unlink()
    (folder / "2.png").unlink()
    expected = None
    steps = range(0, 150, 3)
    for step in steps:
        shutil.copytree(here / "out", here / f"run{step}")
    codes = kill_at(steps, folder, here / "run", how)
    assert set(codes) == {-signal.SIGKILL, 0}
    for step, code in zip(steps, codes, strict=True):
        out = here / f"run{step}"
        report = verify(str(out), data=True)
        assert (report.damage, report.finished >= (code == 0)) == ([], True)
        small_run.run(folder, out, how)
        assert_whole(out)
        found = small_run.rows_of(out)
        expected = expected or found
        assert found == expected, f"killed at step {step}"
    small_run.run(folder, here / "fresh")
    fresh = without_paths(small_run.rows_of(here / "fresh")[0])
    rows = without_paths(expected[0])
    kept = {"2.png", "4.png"} if how == "update" else set()
    assert rows.keys() == fresh.keys() | kept
    assert {name: rows[name] for name in fresh} == fresh


def without_paths(rows: small_run.Rows) -> dict[str, dict]:
    """Rows by name; those that were copied with a dataset keep the paths of other folders."""
    return {row["image_id"]: row | {"path": None} for row in rows}


def test_the_column_is_text_that_may_be_null() -> None:
    assert SCHEMAS["stats"].field("fingerprint") == pa.field("fingerprint", pa.string())
