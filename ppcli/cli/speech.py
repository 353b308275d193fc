"""Answers as plain text, where standard output is a terminal."""

import re
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import BinaryIO

from ppcli.cli.target import Target
from ppcli.cli.terminal import data_on_stdout
from ppcli.store.row_sinks import RowSink, StreamSink
from ppcli.store.rows import OK, AnswerRow, MainRow

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")  # what could command a terminal


class Speaker:
    """Writes an answer as it comes."""

    stream: BinaryIO

    def __call__(self, text: str) -> None:
        """Write a part of it."""
        self.stream.write(_CONTROL.sub("\ufffd", text).encode())
        self.stream.flush()

    def add(self, row: MainRow) -> None:
        """End the line of an answer."""
        if row.status == OK:
            self("\n")


class _LineSpeaker(Speaker):
    """Writes a line for each answer that there is; of failures the log tells."""

    def add(self, row: MainRow) -> None:
        assert isinstance(row, AnswerRow)
        if row.status != OK:
            return
        asked = row.image_id if row.custom_id is None else f"{row.custom_id}: {row.prompt}"
        self(" ".join(f"{asked} → {row.answer}".splitlines()) + "\n")


@contextmanager
def spoken(speaker: Speaker, _: Target) -> Iterator[RowSink]:
    """A sink for answers that a speaker writes."""
    with data_on_stdout() as speaker.stream:
        yield StreamSink(speaker, {})


def spoken_by_line(target: Target) -> AbstractContextManager[RowSink]:
    """A sink that writes a line for each answer."""
    return spoken(_LineSpeaker(), target)
