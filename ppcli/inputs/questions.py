"""Reads questions about images, with correct answers, from JSON lines or Parquet."""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import xxhash

from ppcli.errors import UsageError, bounded
from ppcli.files import FileState, LocalFile, MemoryFile, PathKind, kind_of, open_stream
from ppcli.inputs.fields import (
    Object,
    is_absent,
    name,
    parse_object,
    read,
    with_values,
    words,
)
from ppcli.inputs.image_fields import ImageFolder, check_root
from ppcli.inputs.lines import TOO_LONG, numbered_lines
from ppcli.inputs.refs import ImageRef
from ppcli.inputs.unique import UniqueNames

_COLUMNS = ("image", "question", "answers")
_ROWS_AT_A_TIME = 32


@dataclass(frozen=True, slots=True)
class Question:
    """A question about an image.

    Attributes:
        custom_id: its name; `line-N` or `row-N` where it has none.
        image: the image in question.
        question: the text; None in an invalid line.
        answers: the correct answers.
        kind: the kind of question; None if unknown.
        fault: the error in the line; None if it is valid.
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

    def fingerprint(self, failed: bool, with_path: bool = False) -> bytes:
        """All that is known of it; of one that failed the name alone."""
        if failed:
            return json.dumps([self.custom_id]).encode()
        said = [self.custom_id, self.question, self.answers, self.kind, self.fault]
        image = self.image.fingerprint(failed, with_path)
        return json.dumps([*said, image.decode()]).encode()

    def with_state(self, state: FileState | None) -> "Question":
        """The same question, with the state that its image file had when it was opened."""
        return replace(self, image=self.image.with_state(state))

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
        limit: stop after so many.
        root: a folder that all images must lie in; None where any may be read.
        skipped: nothing is.
        repeated: the first name that came before, as it was changed; empty when there is none.

    A `custom_id` that came before, given or made, gets `~2` and so on behind it.
    """

    path: str
    limit: int | None = None
    root: str | None = None
    skipped: int = 0
    repeated: str = field(default="", init=False)

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
        if kind_of(self.path) is not PathKind.FILE:
            raise UsageError(f"{self.path}: no such file of questions")
        if self.root is not None:
            check_root(self.root)
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
        return islice(self._named(self._rows() if self._is_parquet else self._lines()), self.limit)

    def _named(self, questions: Iterator[Question]) -> Iterator[Question]:
        unique, self.repeated = UniqueNames(), ""
        for one in questions:
            custom_id = unique(one.custom_id)
            self.repeated = unique.first
            yield replace(one, custom_id=custom_id)

    def _lines(self) -> Iterator[Question]:
        try:
            with open_stream(self.path) as file:
                for number, line in numbered_lines(file):
                    yield self._line(line, number)
        except OSError as error:
            raise UsageError(f"{self.path} cannot be read: {error.strerror}") from error

    def _line(self, line: bytes | None, number: int) -> Question:
        name, where = f"line-{number}", f"line {number}"
        try:
            if line is None:
                raise ValueError(TOO_LONG)
            fields = parse_object(line)
        except ValueError as error:
            return Question(name, ImageRef(LocalFile(""), name), fault=f"{where}: {error}")
        return self._question(fields, name, where)

    def _rows(self) -> Iterator[Question]:
        number = 0
        try:
            with pq.ParquetFile(self.path) as file:
                for batch in file.iter_batches(batch_size=_ROWS_AT_A_TIME):
                    for row in batch.to_pylist():
                        number += 1
                        fields = with_values(row)
                        yield self._question(fields, f"row-{number}", f"row {number}")
        except (OSError, pa.ArrowException) as error:
            raise UsageError(f"{self.path} cannot be read: {error}") from error

    def _question(self, fields: Object, custom_id: str, where: str) -> Question:
        """A line or row, whatever is wrong with it."""
        image: ImageRef | None = None
        try:
            given = _either(fields, "custom_id", "questionId")
            if given is not None:
                custom_id = read("custom_id", given, name)
            image = self._image(fields.get("image"))
            question, answers = _text(fields, "question"), fields.get("answers")
            return Question(custom_id, image, question, _answers(answers), _kind(fields))
        except ValueError as error:
            blank = ImageRef(LocalFile(""), bounded(custom_id))
            return Question(custom_id, image or blank, fault=f"{where}: {error}")

    def _image(self, given: Any) -> ImageRef:  # noqa: ANN401
        """A path, a data: URL, bytes, or both as data sets of Hugging Face have them.

        Raises:
            ValueError: when it is none of these.
        """
        path, content = given, given
        if isinstance(given, dict):
            path, content = given.get("path"), given.get("bytes")
        if not isinstance(content, bytes):
            if is_absent(path) or path == "":
                raise ValueError("it has no image")
            folder = ImageFolder(os.path.dirname(self.path), self.root)
            ref = folder.named(read("image", path, name))
            if not isinstance(ref.file, MemoryFile):
                return ref
            path, content = ref.image_id, ref.file.content
        named = isinstance(path, str) and path
        image_id = read("image", path, name) if named else xxhash.xxh3_128_hexdigest(content)
        version = xxhash.xxh3_64_intdigest(content)
        return ImageRef(MemoryFile(image_id, content, version), image_id)


def _either(fields: Object, ours: str, of_docvqa: str) -> Any:  # noqa: ANN401
    return fields.get(ours, fields.get(of_docvqa))


def _kind(fields: Object) -> str | None:
    """Of a question; DocVQA tells several."""
    given = _either(fields, "kind", "question_types")
    several = given if isinstance(given, list) else [] if given is None else [given]
    return ", ".join(read("kind", one, words) for one in several) or None


def _answers(given: Any) -> tuple[str, ...]:  # noqa: ANN401
    """One answer or several, texts or numbers.

    Raises:
        ValueError: when there is none, or one is something else.
    """
    several = given if isinstance(given, list) else [] if given is None else [given]
    if not several:
        raise ValueError("it has no answers")
    if any(map(is_absent, several)):
        raise ValueError("it has no answer")
    return tuple(read("answer", answer, words) for answer in several)


def _text(fields: Object, what: str) -> str:
    """A field that must be there.

    Raises:
        ValueError: when it is missing or no text.
    """
    if what not in fields:
        raise ValueError(f"it has no {what}")
    found: str = read(what, fields[what], words)
    return found
