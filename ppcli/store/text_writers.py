"""Writers of rows as JSON lines, CSV, and the output of an OpenAI batch."""

import csv
import io
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, BinaryIO

from ppcli.store.formats import Kept
from ppcli.store.rows import ANSWER, OK, AnswerRow, MainRow

if TYPE_CHECKING:
    import pyarrow as pa

_CRLF = "\r\n"
# Characters that JSON allows unescaped, and that some readers treat as the end of a line.
_LINE_ENDS = {ord(one): f"\\u{ord(one):04x}" for one in "\x85\u2028\u2029"}


def json_line(content: dict[str, Any]) -> bytes:
    """Serialize an object as one line of JSON in UTF-8."""
    text = json.dumps(content, ensure_ascii=False)
    return text.translate(_LINE_ENDS).encode() + b"\n"


def _named(name: str, answer_column: str | None) -> str:
    return answer_column if name == ANSWER and answer_column is not None else name


class JsonLinesWriter:
    """One JSON object in each line, UTF-8; each row is flushed, so that pipes get it at once.

    Args of the constructor:
        file: open for writing.
        columns: names of the fields of a row to write.
        answer_column: another name for the column `answer`.
        kept: columns that travel with the rows.
    """

    def __init__(
        self,
        file: BinaryIO,
        columns: Sequence[str],
        answer_column: str | None = None,
        kept: "pa.Schema | None" = None,
    ) -> None:
        self._file, self._answer_column, self._kept = file, answer_column, kept
        self._columns = columns

    def add(self, row: MainRow, kept: Kept | None = None) -> None:
        """Write one row."""
        content = {_named(name, self._answer_column): getattr(row, name) for name in self._columns}
        if self._kept is not None:
            from ppcli.store.kept_columns import json_values

            content |= json_values(self._kept, kept)
        self._file.write(json_line(content))
        self._file.flush()

    def __enter__(self) -> "JsonLinesWriter":
        return self

    def __exit__(self, *_: object) -> None:
        pass


class CsvWriter:
    """CSV with a header, UTF-8; null is an empty field.

    Args of the constructor:
        file: open for writing.
        columns: names of the fields of a row.
        answer_column: another name for the column `answer`.
        kept: columns that travel with the rows.
    """

    def __init__(
        self,
        file: BinaryIO,
        columns: Sequence[str],
        answer_column: str | None = None,
        kept: "pa.Schema | None" = None,
    ) -> None:
        self._file, self._kept, self._columns = file, kept, columns
        own = [_named(name, answer_column) for name in columns]
        self._write([*own, *(kept.names if kept is not None else [])])

    def add(self, row: MainRow, kept: Kept | None = None) -> None:
        """Write one row."""
        values = [getattr(row, name) for name in self._columns]
        if self._kept is not None:
            from ppcli.store.kept_columns import csv_values

            values += csv_values(self._kept, kept)
        self._write(values)

    def _write(self, values: list[object]) -> None:
        record = io.StringIO()
        csv.writer(record, lineterminator=_CRLF).writerow(values)  # makes it quote \r and \n
        self._file.write(record.getvalue().removesuffix(_CRLF).encode() + b"\n")
        self._file.flush()

    def __enter__(self) -> "CsvWriter":
        return self

    def __exit__(self, *_: object) -> None:
        pass


class OpenAiBatchWriter:
    """The output format of an OpenAI batch."""

    def __init__(self, file: BinaryIO, model: str) -> None:
        self._file = file
        self._model = model
        self._lines = 0

    def add(self, row: MainRow, kept: Kept | None = None) -> None:
        """Write one answer. The format has no place for other columns."""
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
            "created": 0,  # constant, so that equal runs write equal lines
            "model": self._model,
            "choices": [choice],
            "usage": _usage(row),
        }
        return {"status_code": 200, "request_id": f"req_{self._lines}", "body": body}

    def __enter__(self) -> "OpenAiBatchWriter":
        return self

    def __exit__(self, *_: object) -> None:
        pass


def _usage(row: AnswerRow) -> dict[str, int] | None:
    """Return the numbers of tokens; None if a server did not tell them."""
    prompt, answer = row.prompt_tokens, row.answer_tokens
    if prompt is None or answer is None:
        return None
    return {
        "prompt_tokens": prompt,
        "completion_tokens": answer,
        "total_tokens": prompt + answer,
    }
