"""Answers as plain text, for a terminal."""

import re
from dataclasses import replace
from typing import BinaryIO

from ppcli.jobs.run_control import RunControl
from ppcli.store.rows import OK, AnswerRow, MainRow

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")  # characters that could command a terminal


def streaming(control: RunControl) -> RunControl:
    """Return a control that writes each answer while the model generates it."""
    writer = _Writer(control.stdout)
    return replace(control, on_text=writer.write, on_row=writer.end_answer)


def line_by_line(control: RunControl) -> RunControl:
    """Return a control that writes one line for each answer, with the input it is about."""
    return replace(control, on_row=_Writer(control.stdout).write_line)


class _Writer:
    def __init__(self, stream: BinaryIO | None) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        if self._stream is not None:
            self._stream.write(_CONTROL.sub("\ufffd", text).encode())
            self._stream.flush()

    def end_answer(self, row: MainRow) -> None:
        if row.status == OK:
            self.write("\n")

    def write_line(self, row: MainRow) -> None:
        """Write an answer; failures are logged."""
        assert isinstance(row, AnswerRow)
        if row.status != OK:
            return
        subject = row.image_id if row.custom_id is None else f"{row.custom_id}: {row.prompt}"
        self.write(" ".join(f"{subject} → {row.answer}".splitlines()) + "\n")
