"""Workers that die in the middle: their tasks are done again, or given up after some attempts."""

import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from ppcli.engine.worker_options import FailureOptions, WorkerOptions
from ppcli.errors import ErrorCode, ExitCode, StoppedError
from ppcli.jobs.run_control import Progress, RunControl
from tests.engine import hostile_decoder
from tests.engine.cluster.compared import (
    LOCAL,
    analyze,
    assert_same,
    assert_whole,
    mixed,
    rows_of,
    totals,
)
from tests.engine.cluster.process_cluster import ProcessConnection
from tests.engine.hostile_decoder import hostile, registered
from tests.processes import end

HEALED = {"retry_failed": True}


def folder_of(root: Path, *files: str) -> Path:
    """Make files of the test decoder, each with the verbs of its pages."""
    root.mkdir()
    for number, verbs in enumerate(files):
        (root / f"{number:02}.bin").write_bytes(hostile(*verbs.split(), known=True))
    return root


@pytest.fixture
def tame(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Let the files of the test decoder do no harm from now on, in new workers and here."""
    return lambda: monkeypatch.setenv(hostile_decoder.TAME, "1")


def killing(machines: ProcessConnection, told: list[int], *moments: int) -> RunControl:
    """Note the progress, and kill a busy worker when it comes to each of some numbers."""
    left = list(moments)

    def on_progress(progress: Progress) -> None:
        told.append(progress.done)
        if left and progress.done >= left[0]:
            left.pop(0)
            machines.clusters[0].kill_busy()

    return RunControl(on_progress=on_progress)


def outcomes(out: Path) -> list[str]:
    """Return the status or the error code of each row."""
    return [row["error_code"] or row["status"] for row in rows_of(out)[0]]


def test_a_worker_that_dies_changes_nothing(tmp_path, machines, caplog) -> None:
    """Chunks of slow images; the first one of each is broken, and is logged once."""
    folder = folder_of(tmp_path / "in", *["fault", "slow", "ok"] * 4)
    told: list[int] = []
    with registered():
        analyze(folder, tmp_path / "local", LOCAL)
        caplog.clear()
        control = killing(machines, told, 1, 7)  # a third death could be that of one chunk
        result = analyze(folder, tmp_path / "out", control=control)
    assert_same(tmp_path / "out", tmp_path / "local")
    assert machines.lost == 2
    assert result.summary.failed == 4
    logged = [one.getMessage() for one in caplog.records if one.levelno >= logging.WARNING]
    assert sum("a fault of the test decoder" in text for text in logged) == 4
    assert sum("the worker ended; inputs" in text for text in logged) == 2
    assert told[-1] == 12
    assert max(told) == 12
    assert told != sorted(told), "lost work is taken back"


def test_a_worker_that_dies_between_tasks_is_replaced(tmp_path, machines) -> None:
    """Its death shows only when it is given the next task, or before."""
    folder = mixed(tmp_path / "in")
    analyze(folder, tmp_path / "local", LOCAL)
    seen: list[int] = []

    def on_progress(progress: Progress) -> None:
        if progress.done and not seen:
            seen.extend(machines.clusters[0].pids)
            end(seen)

    control = RunControl(on_progress=on_progress)
    analyze(folder, tmp_path / "out", control=control, rows_per_shard=1)
    assert seen
    assert_same(tmp_path / "out", tmp_path / "local")


def test_a_chunk_that_no_worker_survives(tmp_path, machines, tame) -> None:
    """Its inputs get error rows; a resumed run keeps them, and a later one heals them."""
    folder = folder_of(tmp_path / "in", "ok", "ok ok", "fault", "exit", "ok", "ok", "ok")
    out = tmp_path / "out"
    told: list[int] = []
    result = analyze(folder, out, rows_per_shard=2, control=killing(machines, told))
    assert_whole(out)
    died = ErrorCode.WORKER_DIED.value
    assert outcomes(out) == ["ok", "ok", "ok", died, died, "ok", "ok", "ok"]
    assert result.failures == {died: 2}
    assert (result.summary.inputs, result.summary.failed_now) == (7, 2)
    assert machines.lost == 3
    assert machines.given.count("inputs 3 to 4") == 3
    assert told[-1] == max(told) == 7
    row = rows_of(out)[0][3]
    assert row["image_id"] == "02.bin"
    assert "the worker ended" in row["error_message"]
    assert "in 3 attempts" in row["error_message"]

    again = analyze(folder, out, rows_per_shard=2)
    assert again.summary.earlier_inputs == 7
    assert machines.lost == 3, "the poisonous image was not touched"
    before = rows_of(out)
    retried = analyze(folder, out, rows_per_shard=2, output=HEALED)
    assert machines.lost == 6
    assert rows_of(out) == before
    assert_whole(out)
    assert retried.summary.inputs == 7

    tame()
    analyze(folder, out, rows_per_shard=2, output=HEALED)
    with registered():
        analyze(folder, tmp_path / "local", LOCAL)
    assert_same(out, tmp_path / "local")


def test_a_poisonous_image_of_worker_processes_costs_one_row(
    tmp_path, machines, monkeypatch
) -> None:
    """Where a worker of the cluster has processes of its own, they die in its place."""
    site = tmp_path / "site"
    site.mkdir()
    for name, value in hostile_decoder.environment(site).items():
        monkeypatch.setenv(name, value)
    folder = folder_of(tmp_path / "in", "ok", "exit", "ok")
    analyze(folder, tmp_path / "out", workers=WorkerOptions(1))
    assert outcomes(tmp_path / "out") == ["ok", ErrorCode.WORKER_DIED.value, "ok"]
    assert machines.lost == 0


def test_an_error_that_ends_the_thread_of_the_work(tmp_path, machines) -> None:
    """A process that is alive, and does nothing any more, is not waited for."""
    folder = folder_of(tmp_path / "in", "ok", "die", "ok")
    analyze(folder, tmp_path / "out", rows_per_shard=1)
    assert outcomes(tmp_path / "out") == ["ok", ErrorCode.WORKER_DIED.value, "ok"]


@pytest.mark.parametrize("limit", [FailureOptions(fail_fast=True), FailureOptions(2)])
def test_failures_that_end_the_run(tmp_path, machines, limit: FailureOptions) -> None:
    """What is finished is kept; the next run goes on."""
    folder = folder_of(tmp_path / "in", *["ok", "fault"] * 8)
    out = tmp_path / "out"
    with pytest.raises(StoppedError, match="stopped after") as raised:
        analyze(folder, out, failures=limit, rows_per_shard=2)
    assert raised.value.exit_code is ExitCode.INPUTS_FAILED
    assert limit.limit <= raised.value.result.summary.failed_now < 8
    assert 0 < len(machines.given) < 8
    result = analyze(folder, out, rows_per_shard=2)
    assert 0 < result.summary.earlier_inputs < 16
    with registered():
        analyze(folder, tmp_path / "local", LOCAL, rows_per_shard=2)
    assert_same(out, tmp_path / "local")
    assert totals(result.summary)["failures"] == {ErrorCode.CORRUPT: 8}
