"""What workers log reaches the log of the run."""

import logging
import os
import time
from contextlib import closing
from functools import partial
from pathlib import Path

from tests.engine import batches
from tests.processes import eventually


def say(level: int, text: str) -> None:
    logging.getLogger("pixelprune").log(level, text)


def say_and_mark(mark: str) -> None:
    say(logging.INFO, "ready")
    Path(mark).touch()


def test_what_workers_log_is_in_the_log_of_the_run(caplog) -> None:
    """Each message once, long ones truncated."""
    caplog.set_level(logging.INFO, "pixelprune")
    long = [one * 100_000 for one in ("x", "\U0001f600", "\0", "\udc80")]
    with closing(batches.workers(2, load=partial(say, logging.INFO, "ready"))) as executor:
        for text in ("odd: \u00e9\n", *long):
            executor.submit(say, logging.WARNING, text).result()
        assert eventually(lambda: len(caplog.messages) == 6)
    assert caplog.messages == ["ready", "odd: \u00e9\n", *(text[:600] for text in long)]


def test_what_workers_log_before_there_is_a_log_is_told(tmp_path: Path, caplog) -> None:
    """Workers may start before the command has set up its log."""
    mark = tmp_path / "mark"
    with closing(batches.workers(1, load=partial(say_and_mark, str(mark)))) as executor:
        executor.prestart(1)
        assert eventually(mark.exists)
        time.sleep(0.5)
        caplog.set_level(logging.INFO, "pixelprune")
        executor.submit(os.getpid).result()
    assert caplog.messages == ["ready"]
