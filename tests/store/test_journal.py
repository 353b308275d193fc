"""The journal of a dataset: cut, damaged, folded in, or left behind, at any byte."""

import json
import os
import shutil
import signal
import sys
from contextlib import closing
from dataclasses import asdict
from pathlib import Path

import pytest

from ppcli.errors import DamagedError, OutputError
from ppcli.files import FileState, LocalFile
from ppcli.inputs.refs import ImageRef
from ppcli.store import manifest as manifest_module
from ppcli.store.dataset import dataset_output
from ppcli.store.journal import Journal, canonical_json
from ppcli.store.manifest import JOURNAL, MANIFEST, Manifest
from ppcli.store.rows import StatsRow
from ppcli.store.verify import verify
from tests.store import small_run
from tests.store.test_recovery import assert_whole, kill_at

needs_kill = pytest.mark.skipif(sys.platform == "win32", reason="needs fork and SIGKILL")
ROWS = {"tile": 32, "fit": "pad", "method": "pred_2d", "metric": "max", "mode": "anchored"}
COUNTS = {"tokens": 4, "kept": 1, "unique": 1, "grid_h": 2, "grid_w": 2}


def write_shards(out: Path, count: int, ends: bool = True) -> list[ImageRef]:
    """A dataset without patch sets that has one row a shard; not ended, it looks killed."""
    config = small_run.OPTIONS.as_config() | {"patches": False}
    refs = [ImageRef(LocalFile(f"in/{n}.png"), f"{n}.png", FileState(100, n)) for n in range(count)]
    try:
        with dataset_output(str(out), config, rows_per_shard=1) as sink:
            for ref in refs:
                row = StatsRow(image_id=ref.image_id, path=ref.file.path, threshold=0.0, **ROWS)
                for name, value in (COUNTS | {"keep_ratio": 0.25, "unique_ratio": 0.25}).items():
                    setattr(row, name, value)
                sink.add(row, None)
                sink.end_of_input(ref)
            if not ends:
                raise RuntimeError
    except RuntimeError:
        pass
    return refs


@pytest.fixture(scope="module")
def killed(inputs: Path, tmp_path_factory) -> Path:
    """A run of three shards, killed before the fourth."""
    out = tmp_path_factory.mktemp("killed") / "out"
    steps = range(30, 130, 10)
    assert set(kill_at(steps, inputs, out)) == {-signal.SIGKILL}
    runs = [Path(f"{out}{step}") for step in steps]
    return next(made for made in runs if len(Manifest.read(str(made)).shards) == 3)


def test_what_is_written_grows_with_the_number_of_shards_and_not_its_square(tmp_path) -> None:
    sizes = {}
    for count in (10, 20, 40):
        out = tmp_path / str(count)
        write_shards(out, count, ends=False)
        assert Manifest(Manifest.read(str(out)).config).content == _content_of(out / MANIFEST)
        sizes[count] = (out / JOURNAL).stat().st_size
    assert sizes[40] - sizes[20] == pytest.approx(2 * (sizes[20] - sizes[10]), rel=0.02)


def _content_of(path: Path) -> dict:
    content = json.loads(path.read_bytes())
    del content["digest"]
    return content


def test_the_manifest_of_a_run_that_ended_is_one_file(tmp_path) -> None:
    write_shards(tmp_path / "out", 5)
    assert not (tmp_path / "out" / JOURNAL).exists()
    assert len(_content_of(tmp_path / "out" / MANIFEST)["shards"]) == 5
    write_shards(tmp_path / "killed", 5, ends=False)
    assert Manifest.read(str(tmp_path / "killed")).shards == (
        Manifest.read(str(tmp_path / "out")).shards
    )


def test_a_long_journal_is_merged_into_the_manifest(tmp_path, monkeypatch) -> None:
    write_shards(tmp_path / "expected", 40, ends=False)
    monkeypatch.setattr(manifest_module, "_LINES", 4)
    merged = []
    for count in (4, 5, 8, 9, 16, 17, 33, 40):
        out = tmp_path / str(count)
        write_shards(out, count, ends=False)
        merged.append(len(_content_of(out / MANIFEST)["shards"]))
        assert len((out / JOURNAL).read_bytes().splitlines()) == count - merged[-1]
        assert len(Manifest.read(str(out)).shards) == count
    assert merged == [0, 4, 4, 8, 8, 16, 32, 32]
    expected = Manifest.read(str(tmp_path / "expected"))
    assert Manifest.read(str(tmp_path / "40")) == expected
    refs = write_shards(tmp_path / "whole", 40)
    with dataset_output(str(tmp_path / "40"), expected.config) as sink:
        assert len(list(sink.previous_shards(iter(refs)))) == 40
    assert (tmp_path / "40" / MANIFEST).read_bytes() == (tmp_path / "whole" / MANIFEST).read_bytes()


def test_cut_at_any_byte_it_gives_the_shards_before(tmp_path) -> None:
    out = tmp_path / "out"
    write_shards(out, 4, ends=False)
    shards = Manifest.read(str(out)).shards
    raw = (out / JOURNAL).read_bytes()
    ends = [place for place, byte in enumerate(raw) if byte == ord("\n")]
    for cut in range(len(raw)):
        for tail in (b"", b"\0" * 9):
            (out / JOURNAL).write_bytes(raw[:cut] + tail)
            found = Manifest.read(str(out)).shards
            assert found == shards[: len(found)]
            there = sum(end < cut for end in ends) + (cut in ends and not tail)
            assert len(found) == there, f"cut at {cut}"
    report = verify(str(out))  # of the last cut, which leaves out the last shard
    assert (report.damage, report.leftovers) == ([], 2)


@pytest.mark.slow
@needs_kill
def test_cut_anywhere_and_resumed(inputs, undisturbed, killed, tmp_path) -> None:
    raw = (killed / JOURNAL).read_bytes()
    ends = [place for place, byte in enumerate(raw) if byte == ord("\n")]
    assert len(ends) == 3
    near = {end + away for end in ends for away in (-300, -1, 0, 1)}
    for cut in sorted({0, 1, *near}):
        out = tmp_path / str(cut)
        shutil.copytree(killed, out)
        os.truncate(out / JOURNAL, cut)
        small_run.run(inputs, out)
        assert small_run.rows_of(out) == undisturbed, f"cut at {cut}"
        assert_whole(out)
        assert not (out / JOURNAL).exists()


@needs_kill
def test_the_last_line_alone_may_be_torn(inputs, killed, tmp_path) -> None:
    out = tmp_path / "out"
    shutil.copytree(killed, out)
    raw = (out / JOURNAL).read_bytes()
    assert verify(str(out)).damage == []
    (out / JOURNAL).write_bytes(raw[:-20])
    torn = verify(str(out))
    assert torn.damage == []
    assert torn.leftovers >= 3  # the line, and the files of its shard
    (out / JOURNAL).write_bytes(raw[:40] + raw[60:])
    assert any(
        f"{JOURNAL} was changed after it was written" in one for one in verify(str(out)).damage
    )
    with pytest.raises(
        OutputError, match=f"{JOURNAL} was changed after it was written, from line 1"
    ):
        small_run.run(inputs, out)


def test_a_changed_byte_is_found(tmp_path) -> None:
    out = tmp_path / "out"
    write_shards(out, 3, ends=False)
    raw = (out / JOURNAL).read_bytes()
    for place in range(0, len(raw), 7):
        changed = bytearray(raw)
        changed[place] ^= 1 << (place % 8)
        (out / JOURNAL).write_bytes(changed)
        report = verify(str(out))
        assert report.damage or report.leftovers, f"changed at {place}"
    (out / JOURNAL).write_bytes(raw)
    assert verify(str(out)).damage == []


def test_lines_do_not_change_places(tmp_path) -> None:
    out = tmp_path / "out"
    write_shards(out, 4, ends=False)
    lines = (out / JOURNAL).read_bytes().splitlines(keepends=True)
    for order in ([1, 0, 2, 3], [0, 2, 3], [0, 1, 1, 2], [1, 2, 3]):
        (out / JOURNAL).write_bytes(b"".join(lines[number] for number in order))
        with pytest.raises(DamagedError):
            Manifest.read(str(out))


def test_a_journal_that_was_folded_in_and_came_back_says_nothing_new(tmp_path) -> None:
    out = tmp_path / "out"
    refs = write_shards(out, 4, ends=False)
    raw = (out / JOURNAL).read_bytes()
    manifest = Manifest.read(str(out))
    manifest.write(str(out))
    (out / JOURNAL).write_bytes(raw)
    assert Manifest.read(str(out)) == manifest
    config = manifest.config
    with dataset_output(str(out), config) as sink:
        assert len(list(sink.previous_shards(iter(refs)))) == 4
    assert not (out / JOURNAL).exists()


def test_a_journal_of_another_dataset_is_refused(tmp_path) -> None:
    write_shards(tmp_path / "out", 2)
    write_shards(tmp_path / "other", 3, ends=False)
    shutil.copy(tmp_path / "other" / JOURNAL, tmp_path / "out")
    with pytest.raises(DamagedError, match="does not belong to the manifest"):
        Manifest.read(str(tmp_path / "out"))
    assert verify(str(tmp_path / "out")).damage


def test_a_line_that_says_something_else_is_refused(tmp_path) -> None:
    out = tmp_path / "out"
    write_shards(out, 1)
    manifest = Manifest.read(str(out))
    base = json.loads((out / MANIFEST).read_bytes())["digest"]
    shard = asdict(manifest.shards[0])
    later = {"first": 1, "token": "0" * 16, "shard": shard}
    for content in (
        {"number": 5, "shard": shard},
        {"number": -1, "shard": shard},
        {"number": 0},
        {"number": 0, "shard": shard, "token": "../x"},
        later | {"first": 0},
        later | {"first": -1},
        later | {"token": "0"},
        later | {"number": 1},
    ):
        (out / JOURNAL).unlink(missing_ok=True)
        with closing(Journal(str(out / JOURNAL), base)) as journal:
            journal.append(content)
        with pytest.raises(DamagedError, match="does not belong to"):
            Manifest.read(str(out))
    (out / JOURNAL).write_bytes(canonical_json({"number": 0, "shard": shard}))  # it follows nothing
    with pytest.raises(DamagedError, match="was changed after it was written"):
        Manifest.read(str(out))
