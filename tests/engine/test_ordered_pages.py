import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ppcli.engine.arrivals import READ_AHEAD, Arrivals
from ppcli.engine.executors.serial import SerialExecutor
from ppcli.engine.stopping import StopRequest
from ppcli.errors import ErrorCode, ExitCode, ImageError
from ppcli.files import LocalFile
from ppcli.inputs.refs import ImageRef
from ppcli.jobs.analyze import AnalyzeWork
from ppcli.jobs.page_analysis import PageResult
from ppcli.jobs.pages import analyze_pages
from tests.engine import batches
from tests.engine.hostile_decoder import DiedError, hostile, registered, size_of_page

ODD = batches.odd_files()
DIED = "it died here"


class StopWhen(StopRequest):
    """Stops when a condition holds, as if a signal arrived at that moment."""

    def __init__(self, condition: Callable[[], bool]) -> None:
        super().__init__()
        self._condition = condition

    def __call__(self) -> bool:
        return self._condition()


class WhimsicalExecutor:
    """Finishes tasks in random order, some long after later ones.

    Attributes:
        capacity: as an executor has it.
        held: tasks whose result has not been taken.
        most_held: the most there were at a time.
        finished: tasks in the order in which they ended.
    """

    def __init__(self, capacity: int, seed: int) -> None:
        self.capacity = capacity
        self.held = self.most_held = 0
        self.submitted: list[WhimsicalTask] = []
        self.finished: list[WhimsicalTask] = []
        self.closed = False
        self._chance = random.Random(seed)
        self._running: list[WhimsicalTask] = []

    def prestart(self, tasks: int) -> None:
        raise AssertionError("a pipeline does not know how many tasks there will be")

    def submit(self, work: Callable[..., object], *args: object) -> "WhimsicalTask":
        task = WhimsicalTask(self, work, args)
        self.submitted.append(task)
        self._running.append(task)
        self.held += 1
        self.most_held = max(self.most_held, self.held)
        return task

    def go_on(self) -> None:
        """Let some time pass."""
        for _ in range(self._chance.choice((0, 1, 1, 3))):
            if self._running:
                self._chance.shuffle(self._running)
                task = self._running.pop()
                task.work_on()
                self.finished.append(task)

    def close(self) -> None:
        self.closed = True


class WhimsicalTask:
    def __init__(self, executor: WhimsicalExecutor, work: Callable[..., object], args) -> None:
        self._executor = executor
        self._work = work
        self._args = args
        self._ended = False
        self._died = False
        self._value: object = None

    def work_on(self) -> None:
        try:
            self._value = self._work(*self._args)
        except DiedError:
            self._died = True
        self._ended = True

    def wait(self, seconds: float) -> bool:
        assert 0 < seconds < 1, "a stop has to be noticed soon"
        self._executor.go_on()
        return self._ended

    def result(self) -> object:
        assert self._ended, "a result was taken before the task was done"
        self._executor.held -= 1
        if self._died:
            raise ImageError(ErrorCode.WORKER_DIED, DIED)
        return self._value


class CountedRefs:
    """Iterates over refs, and checks how far ahead of the results they are taken."""

    def __init__(self, refs: list[ImageRef], ahead: int) -> None:
        self._refs = refs
        self._ahead = ahead + READ_AHEAD + 2  # with one in the hand of the thread
        self.taken = self.done = 0

    def __iter__(self) -> Iterator[ImageRef]:
        for ref in self._refs:
            self.taken += 1
            assert self.taken - self.done <= self._ahead, "inputs are taken ahead of their turn"
            yield ref


class FileStore:
    """Writes each content of an example to one file."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._paths: dict[bytes, Path] = {}

    def ref(self, content: bytes, image_id: str) -> ImageRef:
        path = self._paths.setdefault(content, self._folder / str(len(self._paths)))
        if not path.exists():
            path.write_bytes(content)
        return ImageRef(LocalFile(str(path)), image_id)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FileStore]:
    with registered():
        yield FileStore(tmp_path_factory.mktemp("files"))


@pytest.fixture(scope="module")
def odd_rows(files: FileStore) -> dict[str, list[PageResult]]:
    """The rows of each odd file, made in one call."""
    rows = {}
    with batches.pillow_limits(batches.ALL.reading.max_image_pixels):
        for name, content in ODD.items():
            whole = analyze_pages(files.ref(content, name), batches.ALL, first=1, most=1000)
            rows[name] = whole.pages
    return rows


def taken(
    executor: WhimsicalExecutor, refs: list[ImageRef]
) -> list[tuple[ImageRef, list[PageResult]]]:
    """Return the rows of each ref, and check that refs are taken only as needed."""
    counted = CountedRefs(refs, executor.capacity)
    given = []
    with batches.pillow_limits(batches.ALL.reading.max_image_pixels):
        for ref, rows in AnalyzeWork(batches.ALL, executor).results(
            Arrivals(iter(counted)), StopRequest()
        ):
            given.append((ref, list(rows)))
            counted.done += 1
    assert not executor.closed, "who opened an executor closes it"
    return given


def seen(results: list[PageResult]) -> list[tuple[str, str, int | None]]:
    return [
        (name, code, result.row.width)
        for (name, code), result in zip(batches.outcome(results), results, strict=True)
    ]


def expected_of(image_id: str, verbs: list[str]) -> list[tuple[str, str, int | None]]:
    """Return identity, outcome and width of each row of a file of the test decoder."""
    return [
        (
            f"{image_id}#{page}" if len(verbs) > 1 else image_id,
            "worker_died" if verb == "die" else "ok",
            None if verb == "die" else size_of_page(page)[0],
        )
        for page, verb in enumerate(verbs, 1)
    ]


verbs = st.one_of(
    st.just(["ok"]),
    st.just(["die"]),
    st.integers(2, 40).map(lambda pages: ["ok"] * pages),
    st.lists(st.sampled_from(["ok", "ok", "ok", "die"]), min_size=2, max_size=24),
)
test_files = st.lists(
    st.one_of(st.tuples(verbs, st.booleans()), st.sampled_from(sorted(ODD))), max_size=9
)
capacities = st.integers(1, 9)
seeds = st.integers(0, 1 << 16)


@settings(max_examples=150)
@given(inputs=test_files, capacity=capacities, seed=seeds)
def test_rows_come_in_the_order_of_the_inputs(files, odd_rows, inputs, capacity, seed) -> None:
    """Whatever dies, and in whichever order tasks finish."""
    refs, expected = [], []
    for number, one in enumerate(inputs):
        if isinstance(one, str):
            refs.append(files.ref(ODD[one], one))
            expected.append(odd_rows[one])
        else:
            refs.append(files.ref(hostile(*one[0], known=one[1]), str(number)))
            expected.append(expected_of(str(number), one[0]))
    given_rows = taken(WhimsicalExecutor(capacity, seed), refs)
    assert [ref for ref, _ in given_rows] == refs
    for (_, rows), wanted in zip(given_rows, expected, strict=True):
        if wanted and isinstance(wanted[0], PageResult):
            assert batches.comparable(rows) == batches.comparable(wanted)
        else:
            assert seen(rows) == wanted
            for row in (row.row for row in rows if row.row.status != "ok"):
                assert row.error_message == f"{row.image_id}: {DIED}"


@settings(max_examples=60)
@given(pages=st.lists(st.integers(1, 70), max_size=9), capacity=capacities, seed=seeds)
def test_no_more_than_the_capacity_is_under_way(files, pages, capacity, seed) -> None:
    """Including files with many pages; inputs are taken only when there is room."""
    executor = WhimsicalExecutor(capacity, seed)
    refs = [files.ref(hostile(*["ok"] * n), str(number)) for number, n in enumerate(pages)]
    given_rows = taken(executor, refs)
    assert [len(rows) for _, rows in given_rows] == pages
    assert executor.most_held <= capacity
    assert executor.held == 0


def test_the_capacity_is_made_use_of(files) -> None:
    executor = WhimsicalExecutor(6, 0)
    taken(executor, [files.ref(hostile("ok"), str(number)) for number in range(30)])
    assert executor.most_held == 6
    assert executor.finished != executor.submitted, "this executor changes the order"
    executor = WhimsicalExecutor(6, 0)
    taken(executor, [files.ref(hostile(*["ok"] * 200), "long")])
    assert executor.most_held == 6, "pages of one file are worked on at the same time"


def test_pages_that_are_tried_one_by_one_keep_to_the_capacity(files) -> None:
    executor = WhimsicalExecutor(4, 0)
    taken(executor, [files.ref(hostile(*["ok"] * 9, "die", *["ok"] * 30), "a")])
    assert executor.most_held <= 4


def test_large_patch_sets_come_back_a_few_at_a_time(files, monkeypatch) -> None:
    monkeypatch.setattr("ppcli.jobs.pages._MAX_PATCH_BYTES", 1)
    executor = WhimsicalExecutor(5, 3)
    ref = files.ref(hostile(*["ok"] * 50), "a")
    [(_, rows)] = taken(executor, [ref])
    assert seen(rows) == expected_of("a", ["ok"] * 50)
    assert all(len(task._value.pages) == 1 for task in executor.finished)


@settings(max_examples=40)
@given(capacity=capacities, seed=seeds, files_before=st.integers(0, 12))
def test_a_stop_takes_effect_between_two_files(files, capacity, seed, files_before) -> None:
    pages = [1, 3, 1, 20, 1, 1, 40, 2, 1, 1, 1, 5]
    refs = [files.ref(hostile(*["ok"] * n), str(number)) for number, n in enumerate(pages)]
    executor = WhimsicalExecutor(capacity, seed)
    whole: list[int] = []
    given_refs, submitted = [], 0
    stop = StopRequest()
    stop.exit_code = None if files_before else ExitCode.INTERRUPTED
    for ref, rows in AnalyzeWork(batches.ALL, executor).results(Arrivals(iter(refs)), stop):
        given_refs.append(ref)
        whole.append(len(list(rows)))
        submitted = len(executor.submitted)
        stop.exit_code = ExitCode.INTERRUPTED if len(whole) == files_before else None
    assert given_refs == refs[:files_before]
    assert whole == pages[:files_before]
    assert len(executor.submitted) == submitted, "nothing is submitted after the stop"


def test_a_stop_in_the_middle_of_a_file_lets_it_come_to_its_end(files) -> None:
    stop = StopRequest()
    executor = WhimsicalExecutor(3, 1)
    refs = [files.ref(hostile(*["ok"] * 40), "a"), files.ref(hostile("ok"), "b")]
    numbers = []
    for _, rows in AnalyzeWork(batches.ALL, executor).results(Arrivals(iter(refs)), stop):
        for row in rows:
            numbers.append(row.row.page)
            stop.exit_code = ExitCode.TERMINATED
    assert numbers == list(range(1, 41))


def test_nothing_is_begun_ahead_in_process(files) -> None:
    """With a capacity of one, a file starts after the previous one has finished."""
    started = []

    class Watched(SerialExecutor):
        def submit(self, work, *args):
            started.append(args)
            return super().submit(work, *args)

    refs = iter([files.ref(hostile("ok"), str(number)) for number in range(5)])
    files_with_rows = AnalyzeWork(batches.ALL, Watched()).results(Arrivals(refs), StopRequest())
    for done, (_, rows) in enumerate(files_with_rows, 1):
        list(rows)
        assert len(started) == done


def test_a_file_that_vanishes_after_its_first_page_keeps_its_identity(files, tmp_path) -> None:
    path = tmp_path / "a.tif"
    path.write_bytes(batches.encoded("TIFF", 0, 1, 2))
    found = []
    refs = Arrivals(iter([ImageRef(LocalFile(str(path)), "a")]))
    for _, rows in AnalyzeWork(batches.ALL, SerialExecutor()).results(refs, StopRequest()):
        for row in rows:
            found.append((row.row.image_id, row.row.page, row.row.error_code))
            path.unlink(missing_ok=True)
    assert found == [("a#1", 1, None), ("a#2", 2, "not_found"), ("a#3", 3, "not_found")]
