"""Questions about images with the answers that are right: lines of JSON, or Parquet."""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import xxhash

from ppcli.errors import UsageError
from ppcli.inputs.names import path_of
from ppcli.inputs.refs import ImageRef, identity

_COLUMNS = ("image", "question", "answers")
_ROWS_AT_A_TIME = 32


@dataclass(frozen=True, slots=True)
class Question:
    """One question.

    Attributes:
        custom_id: its name; `line-N` or `row-N` where it has none.
        image: that it is about.
        question: None in a broken line.
        answers: that are right.
        kind: of question, if that is told.
        fault: what is wrong with the line; None when nothing is.
    """

    custom_id: str
    image: ImageRef
    question: str | None = None
    answers: tuple[str, ...] = ()
    kind: str | None = None
    fault: str | None = None

    @property
    def image_id(self) -> str:
        """What it is called where inputs are compared."""
        return self.custom_id

    def fingerprint(self, failed: bool) -> bytes:
        """All that is known of it; of one that failed the name alone."""
        if failed:
            return json.dumps([self.custom_id]).encode()
        said = [self.custom_id, self.question, self.answers, self.kind, self.fault]
        return json.dumps([*said, self.image.fingerprint(failed).decode()]).encode()

    def as_seen(self) -> "Question":
        """The same, with the size and time that its image has now."""
        return replace(self, image=self.image.as_seen())

    def difference(self, row: Any, failed: bool) -> str | None:  # noqa: ANN401
        """How it differs from the question that gave a row, as far as that shows."""
        if row.custom_id != self.custom_id:
            return f"{self.custom_id} where {row.custom_id} was"
        if row.question != self.question and not failed:
            return f"{self.custom_id} is another question"
        return None


@dataclass(slots=True)
class QuestionFile:
    """The questions of a file; iterating gives a `Question` for each, lazily.

    Attributes:
        path: a file of JSON lines or Parquet. Images are named relative to its folder.
        spare_folder: where images go that lie within the Parquet file itself.
        limit: stop after so many.
        skipped: nothing is.
    """

    path: str
    spare_folder: str
    limit: int | None = None
    skipped: int = 0

    @property
    def repeatable(self) -> bool:
        """Whether iterating again gives the questions again."""
        return not self._is_parquet

    @property
    def _is_parquet(self) -> bool:
        return self.path.lower().endswith(".parquet")

    def check(self) -> None:
        """Refuse what cannot be meant, before anything runs.

        Raises:
            UsageError: for a file that is not there, or lacks a column.
        """
        if not os.path.isfile(self.path):
            raise UsageError(f"{self.path}: no such file of questions")
        if self._is_parquet:
            try:
                names = pq.read_schema(self.path).names
            except (OSError, pa.ArrowException) as error:
                raise UsageError(f"{self.path} cannot be read: {error}") from error
            missing = [name for name in _COLUMNS if name not in names]
            if missing:
                raise UsageError(f"{self.path} has no column {', '.join(missing)}")

    def __iter__(self) -> Iterator[Question]:
        """The questions.

        Raises:
            UsageError: when the file cannot be read.
        """
        return islice(self._rows() if self._is_parquet else self._lines(), self.limit)

    def _lines(self) -> Iterator[Question]:
        try:
            with open(self.path, "rb") as file:
                for number, line in enumerate(file, 1):
                    if line.strip():
                        yield self._line(line, number)
        except OSError as error:
            raise UsageError(f"{self.path} cannot be read: {error.strerror}") from error

    def _line(self, line: bytes, number: int) -> Question:
        name, where = f"line-{number}", f"line {number}"
        try:
            text = json.loads(line)
        except (ValueError, RecursionError):
            text = None
        if not isinstance(text, dict):
            return Question(name, ImageRef("", name), fault=f"{where}: it is not a JSON object")
        return self._question(text, name, where)

    def _rows(self) -> Iterator[Question]:
        number = 0
        try:
            with pq.ParquetFile(self.path) as file:
                for batch in file.iter_batches(batch_size=_ROWS_AT_A_TIME):
                    for row in batch.to_pylist():
                        number += 1
                        yield self._question(row, f"row-{number}", f"row {number}")
        except (OSError, pa.ArrowException) as error:
            raise UsageError(f"{self.path} cannot be read: {error}") from error

    def _question(self, text: dict[str, Any], name: str, where: str) -> Question:
        """A line or row, whatever is wrong with it."""
        image: ImageRef | None = None
        try:
            given = _either(text, "custom_id", "questionId")
            if given is not None:
                name = _text(given, "custom_id")
            image = self._image(text.get("image"))
            question, answers = _text(text.get("question"), "question"), text.get("answers")
            return Question(name, image, question, _answers(answers), _kind(text))
        except ValueError as error:
            return Question(name, image or ImageRef("", name), fault=f"{where}: {error}")

    def _image(self, given: Any) -> ImageRef:  # noqa: ANN401
        """A path, bytes, or both as data sets of Hugging Face have them.

        Raises:
            ValueError: when it is none of these.
        """
        path, content = given, given
        if isinstance(given, dict):
            path, content = given.get("path"), given.get("bytes")
        if isinstance(content, bytes):
            digest = xxhash.xxh3_128_hexdigest(content)
            file = os.path.join(self.spare_folder, digest)
            if not os.path.exists(file):
                with open(file, "wb") as spare:
                    spare.write(content)
            named = isinstance(path, str) and path
            return ImageRef(file, _text(path, "image") if named else digest)
        if path is None or path == "":
            raise ValueError("it has no image")
        name = path_of(_text(path, "image"))
        return ImageRef(os.path.join(os.path.dirname(self.path), name), identity(name))


def _either(text: dict[str, Any], ours: str, of_docvqa: str) -> Any:  # noqa: ANN401
    given = text.get(ours)
    return text.get(of_docvqa) if given is None else given


def _kind(text: dict[str, Any]) -> str | None:
    """Of a question; DocVQA tells several."""
    given = _either(text, "kind", "question_types")
    several = given if isinstance(given, list) else [] if given is None else [given]
    return ", ".join(_text(one, "kind") for one in several) or None


def _answers(given: Any) -> tuple[str, ...]:  # noqa: ANN401
    """One answer or several, texts or numbers.

    Raises:
        ValueError: when there is none, or one is something else.
    """
    several = given if isinstance(given, list) else [] if given is None else [given]
    if not several:
        raise ValueError("it has no answers")
    return tuple(_text(answer, "answer") for answer in several)


def _text(given: Any, what: str) -> str:  # noqa: ANN401
    """A text or a number as text that can be written again.

    Raises:
        ValueError: when it is missing, something else, or holds half a character.
    """
    if given is None:
        raise ValueError(f"it has no {what}")
    if isinstance(given, bool) or not isinstance(given, str | int | float):
        raise ValueError(f"its {what} is neither text nor a number")
    text = str(given)
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError(f"its {what} holds half a character") from None
    return text
