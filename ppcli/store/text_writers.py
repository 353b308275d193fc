"""Rows as lines of JSON or CSV."""

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, BinaryIO

from ppcli.store.rows import OK, AnswerRow, MainRow

_CRLF = "\r\n"
# What JSON lets stand and other readers of lines take for the end of one.
_LINE_ENDS = {ord(one): f"\\u{ord(one):04x}" for one in "\x85\u2028\u2029"}


def json_line(content: dict[str, Any]) -> bytes:
    """An object as one line of JSON, UTF-8, whatever splits lines."""
    text = json.dumps(content, ensure_ascii=False)
    return text.translate(_LINE_ENDS).encode() + b"\n"


class JsonLinesWriter:
    """One JSON object a line, UTF-8, written through at once so that a pipe sees each row."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def add(self, row: MainRow) -> None:
        """Write one row."""
        self._file.write(json_line(asdict(row)))
        self._file.flush()

    def __enter__(self) -> "JsonLinesWriter":
        return self

    def __exit__(self, *_: object) -> None:
        pass


class CsvWriter:
    """A header and one record a row, UTF-8; null is an empty field."""

    def __init__(self, file: BinaryIO, columns: Sequence[str]) -> None:
        self._file = file
        self._write(list(columns))

    def add(self, row: MainRow) -> None:
        """Write one row."""
        self._write(list(asdict(row).values()))

    def _write(self, values: list[object]) -> None:
        record = io.StringIO()
        csv.writer(record, lineterminator=_CRLF).writerow(values)  # so that it quotes both
        self._file.write(record.getvalue().removesuffix(_CRLF).encode() + b"\n")
        self._file.flush()

    def __enter__(self) -> "CsvWriter":
        return self

    def __exit__(self, *_: object) -> None:
        pass


class OpenAiBatchWriter:
    """Lines as the output file of an OpenAI batch has them."""

    def __init__(self, file: BinaryIO, model: str) -> None:
        self._file = file
        self._model = model
        self._lines = 0

    def add(self, row: MainRow) -> None:
        """Write one answer."""
        assert isinstance(row, AnswerRow)
        self._lines += 1
        line = {
            "id": f"batch_req_{self._lines}",
            "custom_id": row.custom_id if row.custom_id is not None else row.image_id,
            "response": self._response(row) if row.status == OK else None,
            "error": None,
        }
        if row.status != OK:
            line["error"] = {"code": row.error_code, "message": row.error_message}
        self._file.write(json_line(line))
        self._file.flush()

    def _response(self, row: AnswerRow) -> dict[str, Any]:
        prompt, answer = row.prompt_tokens or 0, row.answer_tokens or 0
        message = {"role": "assistant", "content": row.answer, "refusal": None}
        if row.thinking is not None:
            message["reasoning_content"] = row.thinking
        choice = {
            "index": 0,
            "message": message,
            "logprobs": None,
            "finish_reason": row.finish_reason,
        }
        body = {
            "id": f"chatcmpl-{self._lines}",
            "object": "chat.completion",
            "created": 0,  # not the time: equal runs write equal lines
            "model": self._model,
            "choices": [choice],
            "usage": {
                "prompt_tokens": prompt,
                "completion_tokens": answer,
                "total_tokens": prompt + answer,
            },
        }
        return {"status_code": 200, "request_id": f"req_{self._lines}", "body": body}

    def __enter__(self) -> "OpenAiBatchWriter":
        return self

    def __exit__(self, *_: object) -> None:
        pass
