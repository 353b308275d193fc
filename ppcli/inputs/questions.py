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
        return json.dumps([*said, self.image.image_id]).encode()

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
        try:
            text = json.loads(line)
        except (ValueError, RecursionError):
            text = None
        if not isinstance(text, dict):
            text = {}
        return self._question(text, f"line-{number}", f"line {number}")

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
        name = str(text.get("custom_id") or text.get("question_id") or name)
        image = self._image(text.get("image"))
        question, answers = text.get("question"), text.get("answers")
        answers = [answers] if isinstance(answers, str) else answers
        nowhere = ImageRef("", name)
        if image is None:
            return Question(name, nowhere, fault=f"{where}: it has no image")
        if not isinstance(question, str):
            return Question(name, image, fault=f"{where}: it has no question")
        if not isinstance(answers, list) or not answers:
            return Question(name, image, question, fault=f"{where}: it has no answers")
        kind = text.get("kind")
        right = tuple(str(answer) for answer in answers)
        return Question(name, image, question, right, None if kind is None else str(kind))

    def _image(self, given: Any) -> ImageRef | None:  # noqa: ANN401
        """A path, bytes, or both as data sets of Hugging Face have them."""
        path, content = given, given
        if isinstance(given, dict):
            path, content = given.get("path"), given.get("bytes")
        if isinstance(content, bytes):
            digest = xxhash.xxh3_128_hexdigest(content)
            file = os.path.join(self.spare_folder, digest)
            if not os.path.exists(file):
                with open(file, "wb") as spare:
                    spare.write(content)
            return ImageRef(file, str(path) if isinstance(path, str) and path else digest)
        if isinstance(path, str) and path:
            return ImageRef(os.path.join(os.path.dirname(self.path), path), identity(path))
        return None
