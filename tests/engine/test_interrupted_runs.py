"""Runs that are stopped, killed and resumed, compared with a serial model."""

import random
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from ppcli.engine.row_flow import FailurePolicy, RowFlow, RunObserver
from ppcli.engine.run import Run
from ppcli.engine.stopping import StopRequest
from ppcli.errors import ExitCode, StoppedError
from ppcli.files import LocalFile
from ppcli.imaging.decode import pillow_limits
from ppcli.inputs.refs import ImageRef
from ppcli.jobs import pages as analysis
from ppcli.jobs.analyze import AnalyzeSummary, AnalyzeWork
from ppcli.store.dataset import dataset_output
from ppcli.store.reader import read_rows
from ppcli.store.verify import verify
from tests.engine import batches
from tests.engine.hostile_decoder import DiedError, hostile, registered, size_of_page
from tests.engine.test_ordered_pages import WhimsicalExecutor, WhimsicalTask

verbs = st.one_of(
    st.integers(1, 70).map(lambda pages: ["ok"] * pages),
    st.lists(st.sampled_from(["ok", "ok", "ok", "ok", "die"]), min_size=1, max_size=40),
)
Outcome = tuple[str, int, str, int | None]  # identity, page, code, width


class MoodyExecutor(WhimsicalExecutor):
    """Changes its capacity at random, and loses workers at random."""

    def __init__(self, seed: int, most: int, deaths: float) -> None:
        self._moods = random.Random(seed)
        self._most, self._deaths = most, deaths
        super().__init__(most, seed)

    @property
    def capacity(self) -> int:
        if self._moods.random() < 0.2:
            self._now = self._moods.randint(1, self._most)
        return self._now

    @capacity.setter
    def capacity(self, number: int) -> None:
        self._now = number

    def prestart(self, tasks: int) -> None:
        """A run may start few workers early."""

    def submit(self, work, *args) -> WhimsicalTask:
        lost = work is analysis.analyze_pages and self._moods.random() < self._deaths
        return super().submit(_die if lost else work, *args)


def _die(*_: object) -> None:
    raise DiedError


class KilledError(Exception):
    """Ends a run at any point."""


class Inputs:
    """The inputs of a run."""

    skipped = 0
    repeated = ""

    def __init__(self, refs: list[ImageRef]) -> None:
        self._refs = refs

    def __iter__(self) -> Iterator[ImageRef]:
        return iter(self._refs)


def twin(image_id: str, pages: list[str]) -> list[Outcome]:
    """Return the rows of a file of the test decoder, computed page by page."""
    several = len(pages) > 1
    return [
        (
            f"{image_id}#{number}" if several else image_id,
            number,
            "worker_died" if verb == "die" else "ok",
            size_of_page(number)[0] if verb == "ok" else None,
        )
        for number, verb in enumerate(pages, 1)
    ]


class RunMachine(RuleBasedStateMachine):
    """One dataset, and runs that resume it."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.out = self.folder / "out"
        self.refs: list[ImageRef] = []
        self.right: list[list[Outcome]] = []

    @initialize(
        files=st.lists(st.tuples(verbs, st.booleans()), min_size=1, max_size=8),
        rows_per_shard=st.sampled_from([1, 7, 40, 10_000]),
    )
    def make(self, files, rows_per_shard) -> None:
        self.rows_per_shard = rows_per_shard
        for number, (pages, known) in enumerate(files):
            path = self.folder / f"{number}.bin"
            path.write_bytes(hostile(*pages, known=known))
            self.refs.append(ImageRef(LocalFile(str(path)), str(number)))
            self.right.append(twin(str(number), pages))

    @rule(
        seed=st.integers(0, 1 << 16),
        most=st.integers(1, 9),
        deaths=st.sampled_from([0.0, 0.0, 0.2]),
        bytes_at_a_time=st.sampled_from([1, 3_000, 1 << 26]),
        ends_after=st.one_of(st.none(), st.integers(1, 120)),
        killed=st.booleans(),
        retry=st.booleans(),
    )
    def run(self, seed, most, deaths, bytes_at_a_time, ends_after, killed, retry) -> None:
        """Run to the end, or until a signal arrives or the run is killed."""
        executor = MoodyExecutor(seed, most, deaths)
        stop = StopRequest()
        rows = 0

        def on_row(_: object) -> None:
            nonlocal rows
            rows += 1
            if rows == ends_after:
                if killed:
                    raise KilledError
                stop.exit_code = ExitCode.TERMINATED

        ended = self._run(executor, stop, RunObserver(on_row), bytes_at_a_time, retry)
        assert ended or ends_after is not None
        if ended:
            assert executor.held == 0, "every result was taken"
            assert len(self.rows()) == sum(map(len, self.right))

    def _run(self, executor, stop, observer, bytes_at_a_time=1 << 26, retry=False) -> bool:
        """Return whether the run finished."""
        work = AnalyzeWork(batches.ALL, executor)
        policy = FailurePolicy(retry_failed=retry)
        run = Run(RowFlow(work, AnalyzeSummary(), observer, stop, policy))
        with pytest.MonkeyPatch.context() as patched, registered(), pillow_limits(1 << 28):
            patched.setattr(analysis, "_MAX_PATCH_BYTES", bytes_at_a_time)
            try:
                run.execute(Inputs(self.refs), self._sink)
            except (StoppedError, KilledError):
                return False
        return True

    def _sink(self):
        config = batches.ALL.as_config()
        return dataset_output(str(self.out), config, rows_per_shard=self.rows_per_shard)

    def rows(self) -> list[Outcome]:
        """Return the rows of the dataset."""
        found = []
        for path in sorted((self.out / "stats").glob("*.parquet")):
            for row in read_rows(str(path), "stats"):
                found.append((row.image_id, row.page, row.error_code or row.status, row.width))
        return found

    @invariant()
    def what_is_there_is_whole(self) -> None:
        """Every file is complete and every row right, except pages of lost workers."""
        if not self.out.exists():
            return
        assert verify(str(self.out), data=False).damage == []
        found = iter(self.rows())
        for right, row in zip((row for file in self.right for row in file), found, strict=False):
            died = row[2] == "worker_died"
            assert row == right or (died and row[1] == right[1])
        lengths = {0}
        for file in self.right:
            lengths.add(max(lengths) + len(file))
        assert len(self.rows()) in lengths

    def teardown(self) -> None:
        """A last run makes the dataset equal to the serial model."""
        if self.refs:
            quiet = MoodyExecutor(0, 4, deaths=0.0)
            assert self._run(quiet, StopRequest(), RunObserver(), retry=True)
            assert self.rows() == [row for file in self.right for row in file]
        shutil.rmtree(self.folder)


TestRuns = pytest.mark.slow(RunMachine.TestCase)
TestRuns.settings = settings(max_examples=25, stateful_step_count=6, deadline=None)
