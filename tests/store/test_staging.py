"""Shards that tasks make under names of their own, and a dataset takes over in any order."""

import logging
from itertools import permutations
from pathlib import Path

import pytest

from ppcli.engine.arrivals import Arrivals
from ppcli.errors import ExitCode, OutputError, StoppedError
from ppcli.store import dataset as dataset_module
from ppcli.store.manifest import Manifest
from ppcli.store.reader import read_rows
from ppcli.store.verify import verify
from tests.store import small_run
from tests.store.staged_run import accept_all, flow, killed, listed, opened, stage, stage_all

FOLDERS = ("stats", "patches")


def files_of(out: Path) -> set[str]:
    return {path.relative_to(out).as_posix() for path in out.rglob("*.*") if path.is_file()} - {
        ".lock"
    }


def assert_same(out: Path, made: Path) -> None:
    """Rows, files and manifest are those of the local run."""
    report = verify(str(out), data=True)
    assert (report.damage, report.leftovers, report.finished) == ([], 0, True)
    assert small_run.rows_of(out) == small_run.rows_of(made)
    assert files_of(out) == files_of(made)
    manifest, expected = Manifest.read(str(out)), Manifest.read(str(made))
    assert [one.inputs_digest for one in manifest.shards] == [
        one.inputs_digest for one in expected.shards
    ]
    assert b"staged" not in (out / "manifest.json").read_bytes()


@pytest.mark.parametrize("order", list(permutations(range(4))))
def test_in_any_order_they_make_the_dataset_of_a_local_run(made, tmp_path, order) -> None:
    with opened(tmp_path / "out") as dataset:
        staged = stage_all(dataset.area(), listed(made / "in"))
        assert len(staged) == 4
        before = 0
        for number in order:
            dataset.accept(staged[number])
            assert dataset.inputs_placed >= before
            before = dataset.inputs_placed
            assert sum(one.inputs for one in dataset.records) == before
            assert [one.first for one in dataset.staged] == sorted(
                one.first for one in dataset.staged
            )
        assert dataset.inputs_placed == 7
        dataset.clean()
    assert_same(tmp_path / "out", made / "out")


def test_no_input_gets_two_shards(made, tmp_path) -> None:
    inputs = listed(made / "in")
    with opened(tmp_path / "out") as dataset:
        staged = stage_all(dataset.area(), inputs)
        accept_all(dataset, [staged[0], staged[2]])
        again = stage_all(dataset.area(), inputs)
        overlapping = stage(dataset.area(), inputs, 3, 5)
        for one in (again[0], again[2], *overlapping):
            with pytest.raises(ValueError, match="have a shard already"):
                dataset.accept(one)
        accept_all(dataset, [staged[1], staged[3]])
        dataset.clean()
    assert_same(tmp_path / "out", made / "out")


def test_a_piece_ends_its_shards_where_a_local_run_does(made, tmp_path) -> None:
    inputs = listed(made / "in")
    with opened(tmp_path / "out") as dataset:
        staged = stage(dataset.area(), inputs, 0, 7)
        assert [(one.first, one.shard.inputs) for one in staged] == [(0, 2), (2, 2), (4, 1), (5, 2)]
        assert len({one.token for one in staged}) == 4
        accept_all(dataset, staged[::-1])
    assert_same(tmp_path / "out", made / "out")


def test_what_waits_outlives_a_kill(made, tmp_path) -> None:
    out = tmp_path / "out"
    inputs = listed(made / "in")
    with killed(out) as dataset:
        staged = stage_all(dataset.area(), inputs)
        accept_all(dataset, [staged[0], staged[3], staged[2]])
        stage(dataset.area(), inputs, 2, 4)  # nobody hears of it
    assert Manifest.read(str(out)).staged == staged[2:]
    report = verify(str(out), data=True)
    assert (report.damage, report.leftovers, report.files, report.rows) == ([], 4, 6, 6)
    whole = (out / "stats" / f"{staged[3].token}.staged").read_bytes()
    (out / "stats" / f"{staged[3].token}.staged").write_bytes(b"x")
    [words] = verify(str(out)).damage
    assert f"{staged[3].token}.staged was changed after it was written" in words
    (out / "stats" / f"{staged[3].token}.staged").write_bytes(whole)
    with opened(out) as dataset:
        assert (dataset.inputs_placed, dataset.staged) == (2, staged[2:])
        [gap] = stage(dataset.area(), inputs, 2, 4)
        dataset.accept(gap)
        assert dataset.inputs_placed == 7
        assert not list(out.rglob("*.staged"))
    assert_same(out, made / "out")


@pytest.mark.parametrize(
    ("error", "within", "kept"),
    [
        (RuntimeError("x"), False, []),
        (StoppedError(ExitCode.INTERRUPTED, "x"), False, [2, 1]),
        (StoppedError(ExitCode.INTERRUPTED, "x"), True, []),
    ],
)
def test_an_error_leaves_nothing_and_a_stop_keeps_what_is_whole(
    made, tmp_path, error, within, kept
) -> None:
    inputs, out = listed(made / "in"), tmp_path / "out"
    with killed(out) as dataset:
        writer = dataset.area().writer(0)
        with pytest.raises(type(error)), writer:
            with flow() as rows, Arrivals(iter(inputs[:3])) as arrivals:
                rows.work_on(arrivals, writer)
            if within:
                [row, *_] = read_rows(str(made / "out" / "stats" / "part-00000.parquet"), "stats")
                writer.add(row, None)
            raise error
    assert [one.shard.inputs for one in writer.staged] == kept
    expected = {f"{folder}/{one.token}.staged" for one in writer.staged for folder in FOLDERS}
    assert {name for name in files_of(out) if "/" in name} == expected


def test_a_replacement_takes_the_place_of_a_shard(made, tmp_path) -> None:
    out = tmp_path / "out"
    with opened(out) as dataset:
        staged = stage_all(dataset.area(), listed(made / "in"))
        accept_all(dataset, staged)
    with opened(out) as dataset:
        [again] = stage(dataset.area(), listed(made / "in"), 2, 4)
        dataset.replace(1, again)
        assert dataset.records[1] == again.shard
    assert_same(out, made / "out")


def test_starting_anew_deletes_what_waits(made, tmp_path) -> None:
    out = tmp_path / "out"
    with killed(out) as dataset:
        accept_all(dataset, stage_all(dataset.area(), listed(made / "in"))[1:])
    small_run.run(made / "in", out, "overwrite")
    assert_same(out, made / "out")


def test_files_that_have_vanished_are_a_sentence(made, tmp_path) -> None:
    out = tmp_path / "out"
    with pytest.raises(OutputError, match="cannot be written"), opened(out) as dataset:
        staged = stage_all(dataset.area(), listed(made / "in"))
        (out / "stats" / f"{staged[0].token}.staged").unlink()
        dataset.accept(staged[0])


def test_little_space_is_told_once(made, tmp_path, caplog, monkeypatch) -> None:
    monkeypatch.setattr(dataset_module, "_LOW_DISK_BYTES", 1 << 62)
    with opened(tmp_path / "out") as dataset, caplog.at_level(logging.WARNING):
        accept_all(dataset, stage_all(dataset.area(), listed(made / "in")))
    assert len([one for one in caplog.messages if "of disk space left for" in one]) == 1
