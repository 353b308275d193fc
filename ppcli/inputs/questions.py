"""Reads questions about images, with correct answers, from JSON lines or Parquet."""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any, ClassVar

import pyarrow as pa
import pyarrow.parquet as pq
import xxhash

from ppcli.errors import UsageError, bounded
from ppcli.files import FileState, InputFile, LocalFile, MemoryFile, PathKind, kind_of, open_stream
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

_COLUMNS = ("question", "answers")
_ROWS_AT_A_TIME = 32


@dataclass(frozen=True, slots=True)
class Question:
    """A question about an image.

    Attributes:
        custom_id: its name; `line-N` or `row-N` if it has none.
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
    columns: ClassVar = None  # none travel into scores

    @property
    def image_id(self) -> str:
        """Its name, which identifies inputs when a run is resumed."""
        return self.custom_id

    @property
    def far_files(self) -> tuple[InputFile, ...]:
        """Its image file if that is on another machine."""
        return self.image.far_files

    @property
    def name(self) -> str:
        """Its name."""
        return self.custom_id

    @property
    def images(self) -> tuple[ImageRef, ...]:
        """Its image."""
        return (self.image,)

    def fingerprint(self, failed: bool, with_path: bool = False) -> bytes:
        """Return all its content as JSON; only its name if it failed."""
        if failed:
            return json.dumps([self.custom_id]).encode()
        said = [self.custom_id, self.question, self.answers, self.kind, self.fault]
        image = self.image.fingerprint(failed, with_path)
        return json.dumps([*said, image.decode()]).encode()

    def with_state(self, state: FileState | None) -> "Question":
        """Return the same question with the state of its image file when that was opened."""
        return replace(self, image=self.image.with_state(state))

    def difference(self, row: Any, failed: bool) -> str | None:  # noqa: ANN401
        """Return how it differs from the question of a row; None if no difference shows."""
        if row.custom_id != self.custom_id:
            return f"expected {row.custom_id}, found {self.custom_id}"
        if row.question != self.question and not failed:
            return f"the question {self.custom_id} has changed"
        return None


@dataclass(slots=True)
class QuestionFile:
    """The questions of a file. Iterating reads it lazily and yields a `Question` for each.

    A repeated `custom_id` gets the suffix `~2`, `~3` and so on.

    Attributes:
        path: a file of JSON lines or Parquet. Paths of images are relative to its folder.
        limit: stop after this many questions.
        root: a folder that must contain all images; None for no limit.
        image_column: the field or column with the images.
        skipped: always 0.
        repeated: the first `custom_id` with a suffix; empty if none needed one.
        incomplete: always empty.
    """

    path: str
    limit: int | None = None
    root: str | None = None
    image_column: str = "image"
    skipped: int = 0
    repeated: str = field(default="", init=False)
    incomplete: ClassVar = ""

    @property
    def repeatable(self) -> bool:
        """Whether the questions may be iterated again, to count them."""
        return not self._is_parquet

    @property
    def _is_parquet(self) -> bool:
        return self.path.lower().endswith(".parquet")

    def check(self) -> None:
        """Refuse an unusable file before anything runs.

        Raises:
            UsageError: the file or the root does not exist, or a column is missing.
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
            missing = [name for name in (self.image_column, *_COLUMNS) if name not in names]
            if missing:
                raise UsageError(f"{self.path} lacks columns: {', '.join(missing)}")

    def __iter__(self) -> Iterator[Question]:
        """Yield the questions.

        Raises:
            UsageError: the file cannot be read.
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
        """Parse a line or row; an invalid one becomes a question with a fault."""
        image: ImageRef | None = None
        try:
            given = _either(fields, "custom_id", "questionId")
            if given is not None:
                custom_id = read("custom_id", given, name)
            image = self._image(fields.get(self.image_column))
            question, answers = _text(fields, "question"), fields.get("answers")
            return Question(custom_id, image, question, _answers(answers), _kind(fields))
        except ValueError as error:
            blank = ImageRef(LocalFile(""), bounded(custom_id))
            return Question(custom_id, image or blank, fault=f"{where}: {error}")

    def _image(self, given: Any) -> ImageRef:  # noqa: ANN401
        """Resolve an image: a path, a data: URL, bytes, or the struct of Hugging Face datasets.

        Raises:
            ValueError: it is none of these.
        """
        path, content = given, given
        if isinstance(given, dict):
            path, content = given.get("path"), given.get("bytes")
        if not isinstance(content, bytes):
            if is_absent(path) or path == "":
                raise ValueError("image is missing")
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
    """Return the kind of a question; DocVQA may have several."""
    given = _either(fields, "kind", "question_types")
    several = given if isinstance(given, list) else [] if given is None else [given]
    return ", ".join(read("kind", one, words) for one in several) or None


def _answers(given: Any) -> tuple[str, ...]:  # noqa: ANN401
    """Return the answers, given as one string or number, or as a list of them.

    Raises:
        ValueError: there is none, or one has another type.
    """
    several = given if isinstance(given, list) else [] if given is None else [given]
    if not several:
        raise ValueError("answers is missing or empty")
    if any(map(is_absent, several)):
        raise ValueError("an answer is null")
    return tuple(read("answer", answer, words) for answer in several)


def _text(fields: Object, what: str) -> str:
    """Return the text of a required field.

    Raises:
        ValueError: it is missing, or neither a string nor a number.
    """
    if what not in fields:
        raise ValueError(f"{what} is missing")
    found: str = read(what, fields[what], words)
    return found
