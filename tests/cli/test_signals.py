import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from ppcli.errors import ExitCode
from ppcli.store.verify import verify
from tests.command import command_line, pixelprune, pixelprune_process
from tests.engine import hostile_decoder
from tests.engine.hostile_decoder import hostile
from tests.processes import alive, descendants, end, eventually

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        sys.platform != "linux", reason="needs POSIX signals, and finds processes in /proc"
    ),
]
CODES = {
    signal.SIGINT: ExitCode.INTERRUPTED,
    signal.SIGTERM: ExitCode.TERMINATED,
    signal.SIGHUP: ExitCode.TERMINATED,
}
SLOW_TO_START = """

if "--multiprocessing-fork" in sys.orig_argv:
    _leave_mark()
    time.sleep(1)
"""


class Job:
    """A run of `analyze` in the background, in a process group of its own.

    Attributes:
        process: its first process.
        family: all processes it has been seen to have.
    """

    def __init__(self, args: list[str | Path], surroundings: dict[str, str], **options) -> None:
        self._surroundings = surroundings
        self._log = Path(surroundings[hostile_decoder.MARKS]).parent / "stderr"
        with open(self._log, "wb") as log:
            self.process = subprocess.Popen(
                command_line(["analyze", *args]),
                stderr=log,
                stdout=subprocess.DEVNULL,
                env=os.environ | surroundings,
                start_new_session=True,
                **options,
            )
        self.family = {self.process.pid}

    @property
    def log(self) -> str:
        return self._log.read_text()

    @property
    def marks(self) -> set[int]:
        """The processes that hang or were told to leave a mark."""
        return hostile_decoder.marked(self._surroundings)

    def waits_until(self, condition) -> bool:
        return eventually(lambda: condition() or self.process.poll() is not None)

    def signal(self, number: signal.Signals, group: bool = False) -> None:
        """As `kill` sends it, or as a terminal does to the whole group."""
        assert self.process.poll() is None, f"it has ended by itself: {self.log}"
        self.family |= descendants(self.process.pid)
        if group:
            os.killpg(self.process.pid, number)
        else:
            self.process.send_signal(number)

    def ends_with(self, code: ExitCode) -> None:
        """It ends soon, without complaint, and nothing of it stays."""
        assert eventually(lambda: self.process.poll() is not None, seconds=20), self.log
        assert self.process.returncode == code, self.log
        assert "Traceback" not in self.log
        assert eventually(lambda: not any(map(alive, self.family)), seconds=20)


@contextmanager
def running(args: list[str | Path], surroundings: dict[str, str], **options) -> Iterator[Job]:
    job = Job(args, surroundings, **options)
    try:
        yield job
    finally:
        family = job.family | descendants(job.process.pid)
        end(filter(alive, family))
        job.process.wait()


def rows(root: Path) -> list[dict]:
    """Return rows without times, and without the fingerprints, which files of each run have."""
    own = ["decode_ms", "code_ms", "fingerprint"]
    return pq.read_table(root / "stats").drop_columns(own).to_pylist()


def patch_rows(root: Path) -> list[dict]:
    return pq.read_table(root / "patches").to_pylist()


@pytest.fixture
def surroundings(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "site").mkdir()
    return hostile_decoder.environment(tmp_path / "site")


def folder_of(root: Path, *files: list[str]) -> Path:
    root.mkdir()
    for number, verbs in enumerate(files):
        (root / f"{number:02}.png").write_bytes(hostile(*verbs))
    return root


SLOW = [["slow"], ["slow", "ok"], ["slow"]] * 4


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The dataset of the slow files, made without a pause."""
    root = tmp_path_factory.mktemp("undisturbed")
    (root / "site").mkdir()
    tame = hostile_decoder.environment(root / "site") | {hostile_decoder.TAME: "1"}
    folder_of(root / "in", *SLOW)
    done = pixelprune_process("analyze", "in", "--frames", "all", "-o", "out", cwd=root, **tame)
    assert done.returncode == ExitCode.OK, done.stderr
    assert len(rows(root / "out")) == 16
    return root / "out"


@pytest.mark.parametrize("group", [False, True], ids=["process", "group"])
@pytest.mark.parametrize("number", CODES)
def test_a_run_that_is_stopped_can_go_on(
    tmp_path: Path, surroundings, undisturbed: Path, number: signal.Signals, group: bool
) -> None:
    folder_of(tmp_path / "in", *SLOW)
    args = ["in", "--frames", "all", "-o", "out", "--workers", "2", "--rows-per-shard", "3"]
    first = tmp_path / "out" / "stats" / "part-00000.parquet"
    with running(args, surroundings, cwd=tmp_path) as job:
        assert job.waits_until(first.exists)
        job.signal(number, group)
        job.ends_with(CODES[number])
        assert "run the same command to resume" in job.log
    assert verify(str(tmp_path / "out"), data=True).damage == []
    done = rows(tmp_path / "out")
    assert 3 <= len(done) < 16
    assert done == rows(undisturbed)[: len(done)]

    tame = surroundings | {hostile_decoder.TAME: "1"}
    again = pixelprune_process("analyze", *args, cwd=tmp_path, **tame)
    assert again.returncode == ExitCode.OK, again.stderr
    assert rows(tmp_path / "out") == rows(undisturbed)
    assert patch_rows(tmp_path / "out") == patch_rows(undisturbed)
    assert verify(str(tmp_path / "out"), data=True).damage == []


def test_the_end_of_the_terminal_does_not_matter_to_nohup(tmp_path: Path, surroundings) -> None:
    folder_of(tmp_path / "in", *SLOW)
    args = ["in", "-o", "out", "--workers", "2"]
    ignoring = {"preexec_fn": lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN)}
    with running(args, surroundings, cwd=tmp_path, **ignoring) as job:
        assert job.waits_until((tmp_path / "out").exists)
        job.signal(signal.SIGHUP, group=True)
        assert eventually(lambda: job.process.poll() is not None)
    assert job.process.returncode == ExitCode.OK, job.log
    assert len(rows(tmp_path / "out")) == len(SLOW)


def test_a_first_image_that_hangs_does_not_hold_up_a_stop(tmp_path: Path, surroundings) -> None:
    folder_of(tmp_path / "in", ["hang"], ["ok"], ["ok"])
    args = ["in", "-o", "out", "--workers", "2", "--timeout", "600"]
    with running(args, surroundings, cwd=tmp_path) as job:
        assert job.waits_until(lambda: job.marks)
        job.signal(signal.SIGINT)
        job.ends_with(ExitCode.INTERRUPTED)
        assert "run the same command to resume" in job.log
    assert pixelprune("verify", tmp_path / "out").returncode == ExitCode.OK
    tame = surroundings | {hostile_decoder.TAME: "1"}
    assert pixelprune_process("analyze", *args, cwd=tmp_path, **tame).returncode == ExitCode.OK
    assert [row["image_id"] for row in rows(tmp_path / "out")] == ["00.png", "01.png", "02.png"]


@pytest.mark.parametrize("workers", ["0", "2"])
def test_a_second_interrupt_stops_at_once(tmp_path: Path, surroundings, workers: str) -> None:
    """The file in hand has a page that hangs, so that the first interrupt cannot end the run."""
    folder_of(tmp_path / "in", ["ok"], ["ok"], ["ok", "ok"], ["ok", "hang", "ok"], ["ok"])
    args = ["in", "--frames", "all", "-o", "out", "--workers", workers, "--rows-per-shard", "2"]
    with running([*args, "--timeout", "600"], surroundings, cwd=tmp_path) as job:
        assert job.waits_until(lambda: job.marks)
        job.signal(signal.SIGINT)
        assert job.waits_until(lambda: "interrupt again to stop at once" in job.log)
        job.signal(signal.SIGINT)
        job.ends_with(ExitCode.INTERRUPTED)
        assert "interrupted" in job.log.splitlines()[-1]
    assert verify(str(tmp_path / "out"), data=True).damage == []
    assert len(rows(tmp_path / "out")) == 4
    tame = surroundings | {hostile_decoder.TAME: "1"}
    again = pixelprune_process("analyze", *args, cwd=tmp_path, **tame)
    assert again.returncode == ExitCode.OK, again.stderr
    assert [row["image_id"] for row in rows(tmp_path / "out")] == [
        "00.png",
        "01.png",
        "02.png#1",
        "02.png#2",
        "03.png#1",
        "03.png#2",
        "03.png#3",
        "04.png",
    ]


def test_an_interrupt_while_modules_are_loaded_is_quiet() -> None:
    """It comes as the first of them is looked for."""
    early = """if True:
        import os, signal, sys
        from ppcli.__main__ import main

        class Interrupting:
            def find_spec(self, name, *_):
                if name == "ppcli.cli.main":
                    os.kill(os.getpid(), signal.SIGINT)

        sys.meta_path.insert(0, Interrupting())
        sys.argv = ["pixelprune", "-V"]
        main()
    """
    done = subprocess.run([sys.executable, "-c", early], check=False, capture_output=True)
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, b"", b"")


def test_an_interrupt_while_workers_start_is_quiet(tmp_path: Path, surroundings) -> None:
    """A terminal interrupts the whole group, workers that have just been replaced included."""
    with open(tmp_path / "site" / "sitecustomize.py", "a") as site:
        site.write(SLOW_TO_START)
    folder_of(tmp_path / "in", ["ok"], ["ok"], ["ok"])
    with running(["in", "-o", "out", "--workers", "2"], surroundings, cwd=tmp_path) as job:
        assert job.waits_until(lambda: len(job.marks) == 2)
        job.signal(signal.SIGINT, group=True)
        job.ends_with(ExitCode.INTERRUPTED)
        assert "Interrupt" not in job.log


@pytest.mark.parametrize("number", CODES)
def test_a_list_that_does_not_come_does_not_hold_up_a_stop(
    tmp_path: Path, surroundings, number: signal.Signals
) -> None:
    """Whoever writes the list has more to say, and does not say it."""
    folder_of(tmp_path / "in", ["mark"])
    args = ["-", "-o", "out.jsonl", "--workers", "1"]
    with running(args, surroundings, cwd=tmp_path, stdin=subprocess.PIPE) as job:
        assert job.process.stdin is not None
        with job.process.stdin as names:
            names.write(b"in/00.png\n" * 5)
            names.flush()
            assert job.waits_until(lambda: job.marks)
            assert not eventually(lambda: job.process.poll() is not None, seconds=1.5)
            job.signal(number)
            assert eventually(lambda: job.process.poll() is not None, seconds=3)
        job.ends_with(CODES[number])
