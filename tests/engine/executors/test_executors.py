import multiprocessing
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import NoReturn

import pytest
from PIL import Image

from ppcli.engine.executors.executor import Executor, Task
from ppcli.errors import ErrorCode, ImageError, PixelpruneError
from tests.command import command_line
from tests.engine import batches, hostile_decoder
from tests.engine.hostile_decoder import hostile, sabotaged
from tests.processes import alive, descendants, end, eventually

linux = pytest.mark.skipif(sys.platform != "linux", reason="needs memory limits of Linux")
posix = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX processes")
DIED = re.compile(r"process (was ended by SIG[A-Z]+|ended with exit code \d+), in two attempts$")


@pytest.fixture(scope="module", autouse=True)
def compiled() -> None:
    """Fill the cache of compiled kernels, so that compiling exceeds no small timeout."""
    from ppcli import keep_mask

    keep_mask(batches.blocks())


def finished(task: Task) -> Task:
    assert eventually(lambda: task.wait(0.1)), "the task came to no end"
    return task


@pytest.mark.slow
def test_hostile_images_cost_an_error_row_each(tmp_path: Path) -> None:
    """The first and the last image, and several in a row."""
    files = {
        "a.png": hostile("crash"),
        "b.png": batches.encoded("PNG", 0),
        "c.tif": batches.encoded("TIFF", 1, 2, 3),
        "d.png": hostile("exit"),
        "e.png": hostile("open-crash"),
        "f.png": hostile("hang"),
        "g.png": hostile("crash"),
        "h.jpg": batches.encoded("JPEG", 4),
        "i.png": hostile("hang"),
        "j.png": batches.encoded("PNG", 5),
        "k.png": hostile("exit"),
    }
    refs = batches.batch(tmp_path, files)
    results = batches.run(batches.workers(3, timeout=3), refs, batches.FIRST)
    assert batches.outcome(results) == [
        ("a.png", "worker_died"),
        ("b.png", "ok"),
        ("c.tif#1", "ok"),
        ("c.tif#2", "ok"),
        ("c.tif#3", "ok"),
        ("d.png", "worker_died"),
        ("e.png", "worker_died"),
        ("f.png", "timeout"),
        ("g.png", "worker_died"),
        ("h.jpg", "ok"),
        ("i.png", "timeout"),
        ("j.png", "ok"),
        ("k.png", "worker_died"),
    ]
    for one in (result.row for result in results if result.row.status != "ok"):
        assert one.error_message.startswith(f"{one.image_id}: ")
        if one.error_code == ErrorCode.TIMEOUT:
            assert one.error_message.endswith(
                ": not finished within 3 seconds, in two attempts (--timeout)"
            )
        else:
            assert DIED.search(one.error_message)
        assert one.file_bytes == len(files[one.path.rpartition(os.sep)[2]])
    sound = [ref for ref in refs if not files[ref.image_id].startswith(hostile()[:6])]
    expected = batches.run(batches.serial(), sound, batches.FIRST)
    done = [result for result in results if result.row.status == "ok"]
    assert batches.comparable(done) == batches.comparable(expected)


@pytest.mark.slow
def test_pages_that_kill_their_worker_cost_themselves_only(tmp_path: Path) -> None:
    files = {
        "a.png": hostile("ok", "crash", "ok"),
        "b.png": hostile("ok", "exit", "crash", "hang", *["ok"] * 18, "crash"),
        "c.png": hostile("ok"),
        "d.png": hostile("crash", "ok", "ok"),
        "e.png": hostile("crash", "ok", "exit", known=True),
        "f.png": hostile("open-crash", "ok", known=True),
        "g.tif": sabotaged(batches.encoded("TIFF", 0, 1, 2), "crash", "ok", "ok"),
        "h.png": hostile("ok"),
    }
    results = batches.run(batches.workers(timeout=3), batches.batch(tmp_path, files))
    codes = ["ok", "worker_died", "worker_died", "timeout", *["ok"] * 18, "worker_died"]
    assert batches.outcome(results) == [
        ("a.png#1", "ok"),
        ("a.png#2", "worker_died"),
        ("a.png#3", "ok"),
        *[(f"b.png#{page}", code) for page, code in enumerate(codes, 1)],
        ("c.png", "ok"),
        ("d.png#1", "worker_died"),
        ("d.png#2", "ok"),
        ("d.png#3", "ok"),
        ("e.png#1", "worker_died"),
        ("e.png#2", "ok"),
        ("e.png#3", "worker_died"),
        ("f.png", "worker_died"),
        ("g.tif#1", "worker_died"),
        ("g.tif#2", "ok"),
        ("g.tif#3", "ok"),
        ("h.png", "ok"),
    ]
    for one in (result.row for result in results):
        if one.image_id.startswith("b") and one.status == "ok":
            assert (one.width, one.height) == hostile_decoder.size_of_page(one.page)
        assert one.page == int(one.image_id.partition("#")[2] or 1)


@pytest.mark.slow
@posix
def test_a_decoder_that_lets_no_signal_through_is_ended_too(tmp_path: Path) -> None:
    files = {"a.png": hostile("ok"), "b.png": hostile("hang-in-c"), "c.png": hostile("ok")}
    results = batches.run(batches.workers(1, timeout=3), batches.batch(tmp_path, files))
    assert batches.outcome(results) == [("a.png", "ok"), ("b.png", "timeout"), ("c.png", "ok")]


@pytest.mark.slow
def test_a_worker_that_ends_without_an_error_is_noticed_by_the_timeout(tmp_path: Path) -> None:
    files = {"a.png": hostile("ok"), "b.png": hostile("exit-0"), "c.png": hostile("ok")}
    results = batches.run(batches.workers(1, timeout=5), batches.batch(tmp_path, files))
    assert batches.outcome(results) == [("a.png", "ok"), ("b.png", "timeout"), ("c.png", "ok")]


@pytest.mark.parametrize(
    "verb",
    [
        "fault",
        "leave",
        "late",
    ],
)
@pytest.mark.parametrize("make", [batches.serial, lambda: batches.workers(1)], ids=["0", "1"])
def test_a_faulty_decoder_does_not_end_the_run(tmp_path: Path, make, verb: str) -> None:
    """It raises, exits, or raises only when the pixels are read."""
    files = {"a.png": hostile("ok"), "b.png": hostile(verb), "c.png": hostile("ok")}
    with hostile_decoder.registered():
        results = batches.run(make(), batches.batch(tmp_path, files))
    assert [code == "ok" for _, code in batches.outcome(results)] == [True, False, True]


@linux
def test_memory_that_runs_out_costs_an_error_row(tmp_path: Path) -> None:
    pages = batches.encoded("TIFF", 0, 1, 2)
    files = {
        "a.png": hostile("memory"),
        "b.png": batches.encoded("PNG", 0),
        "c.tif": sabotaged(pages, "ok", "memory", "ok"),
        "d.png": hostile("memory"),
        "e.png": hostile("open-memory"),
        "f.png": batches.encoded("PNG", 1),
    }
    refs = batches.batch(tmp_path, files)
    results = batches.run(batches.workers(memory_limit=600 << 20), refs)
    assert batches.outcome(results) == [
        ("a.png", "out_of_memory"),
        ("b.png", "ok"),
        ("c.tif#1", "ok"),
        ("c.tif#2", "out_of_memory"),
        ("c.tif#3", "ok"),
        ("d.png", "out_of_memory"),
        ("e.png", "out_of_memory"),
        ("f.png", "ok"),
    ]


@linux
def test_a_large_image_is_too_much_for_a_small_limit(tmp_path: Path) -> None:
    refs = batches.batch(
        tmp_path,
        {"a.png": batches.encoded("PNG", 0), "b.png": b"", "c.jpg": batches.encoded("JPEG", 1)},
    )
    Image.new("1", (12_000, 12_000)).save(refs[1].file.path)
    results = batches.run(batches.workers(memory_limit=500 << 20), refs)
    codes = dict(batches.outcome(results))
    assert codes.pop("b.png") in {ErrorCode.OUT_OF_MEMORY, ErrorCode.WORKER_DIED}
    assert codes == {"a.png": "ok", "c.jpg": "ok"}
    [lost] = [one.row for one in results if one.row.status != "ok"]
    assert lost.error_message.startswith("b.png: ")


def test_the_timeout_counts_from_the_start_of_a_task() -> None:
    executor = batches.workers(timeout=2)
    try:
        tasks = [executor.submit(time.sleep, 0.4) for _ in range(14)]
        assert [finished(task).result() for task in tasks] == [None] * 14
    finally:
        executor.close()


@pytest.mark.parametrize(
    "options",
    [
        {"load": hostile_decoder.refuse},
        pytest.param({"memory_limit": 20 << 20}, marks=linux),
    ],
)
def test_workers_that_cannot_start_end_the_run_in_a_sentence(tmp_path: Path, options) -> None:
    refs = batches.batch(tmp_path, {f"{n}.png": batches.encoded("PNG", n) for n in range(5)})
    with pytest.raises(PixelpruneError, match="cannot start the worker processes") as caught:
        batches.run(batches.workers(**options), refs)
    assert not isinstance(caught.value, ImageError)
    assert "\n" not in str(caught.value)
    assert multiprocessing.active_children() == []


@pytest.mark.parametrize("options", [batches.FIRST, batches.ALL], ids=["first", "all"])
def test_every_executor_gives_the_same_rows_in_the_same_order(tmp_path: Path, options) -> None:
    refs = batches.batch(tmp_path, batches.odd_files())
    expected = batches.run(batches.serial(), refs, options)
    assert len(expected) > len(refs) + 19
    assert {code for _, code in batches.outcome(expected)} >= {"ok", "truncated", "empty"}
    for number in (1, 2, 4):
        results = batches.run(batches.workers(number), refs, options)
        assert batches.comparable(results) == batches.comparable(expected), number


def test_a_worker_that_fails_to_start_once_costs_nothing(tmp_path: Path) -> None:
    refs = batches.batch(tmp_path, {f"{n}.png": batches.encoded("PNG", n) for n in range(5)})
    load = partial(hostile_decoder.refuse_once, str(tmp_path / "mark"))
    results = batches.run(batches.workers(1, load=load), refs)
    assert (tmp_path / "mark").exists()
    assert batches.outcome(results) == [(ref.image_id, "ok") for ref in refs]


@posix
def test_a_worker_that_is_killed_while_idle_is_replaced() -> None:
    executor = batches.workers(1)
    try:
        pid = finished(executor.submit(os.getpid)).result()
        os.kill(pid, signal.SIGKILL)
        assert eventually(lambda: not alive(pid))
        assert finished(executor.submit(os.getpid)).result() != pid
    finally:
        executor.close()


def _refuse_in_words() -> NoReturn:
    raise ImageError(ErrorCode.TOO_LARGE, "above the limit of a µ")


@pytest.mark.parametrize("make", [batches.serial, batches.workers])
def test_an_image_error_comes_back_as_it_was(make) -> None:
    executor: Executor = make()
    try:
        task = finished(executor.submit(_refuse_in_words))
        with pytest.raises(ImageError, match="above the limit of a µ") as caught:
            task.result()
        assert caught.value.code is ErrorCode.TOO_LARGE
    finally:
        executor.close()


def test_no_more_workers_start_than_there_are_tasks() -> None:
    executor = batches.workers(4)
    executor.prestart(1)
    try:
        finished(executor.submit(os.getpid))
        assert len(multiprocessing.active_children()) == 1
    finally:
        executor.close()


@pytest.mark.parametrize("work", [os.getpid, hostile_decoder.hang], ids=["idle", "hanging"])
def test_no_worker_is_left_after_closing(work) -> None:
    executor = batches.workers(2)
    task = executor.submit(work)
    executor.submit(work)
    assert eventually(lambda: len(multiprocessing.active_children()) == 2)
    task.wait(1.0)
    pids = [child.pid for child in multiprocessing.active_children()]
    assert all(map(alive, pids))
    executor.close()
    assert multiprocessing.active_children() == []
    assert not any(map(alive, pids))
    executor.close()


def test_an_executor_can_work_again_after_closing() -> None:
    executor = batches.workers(1)
    try:
        first = finished(executor.submit(os.getpid)).result()
        executor.close()
        assert finished(executor.submit(os.getpid)).result() != first
    finally:
        executor.close()


@pytest.mark.skipif(sys.platform != "linux", reason="finds processes in /proc")
@pytest.mark.parametrize(
    "verb",
    [
        "hang",
        "hang-in-c",
    ],
)
def test_workers_end_when_their_parent_is_killed(tmp_path: Path, verb: str) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "in").mkdir()
    surroundings = hostile_decoder.environment(tmp_path / "site")
    batches.batch(tmp_path / "in", {f"{n}.png": hostile(verb) for n in range(4)})
    with subprocess.Popen(
        command_line(["analyze", tmp_path / "in", "-o", "-", "--workers", "2"]),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=os.environ | surroundings,
    ) as process:
        try:
            assert eventually(lambda: len(hostile_decoder.marked(surroundings)) == 2)
            family = descendants(process.pid)
            assert hostile_decoder.marked(surroundings) <= family
        finally:
            process.kill()
    try:
        assert process.returncode == -signal.SIGKILL
        assert eventually(lambda: not any(map(alive, family)), seconds=5)
    finally:
        end(filter(alive, family))


def test_fewer_tasks_are_worth_having_where_results_are_large() -> None:
    executor = batches.workers(2)
    with closing(executor):
        at_first = executor.capacity
        for _ in range(30):
            finished(executor.submit(os.getpid)).result()
        small = executor.capacity
        finished(executor.submit(hostile_decoder.LargeResult, 100 << 20)).result()
        assert executor.capacity == 4 < at_first == 8 < small == 128


def test_workers_start_at_once_where_their_number_is_known() -> None:
    with closing(batches.workers(2)) as executor:
        assert multiprocessing.active_children() == []
        executor.prestart(1)
        [worker] = multiprocessing.active_children()
        executor.prestart(5)
        assert executor.submit(os.getpid).result() == worker.pid
        assert multiprocessing.active_children() == [worker]
    assert multiprocessing.active_children() == []
