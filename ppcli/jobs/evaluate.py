"""The work of `eval`: each question asked of each variant of its image, and scored."""

import json
from collections.abc import Generator, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, ClassVar

import numpy as np

from ppcli.engine.arrivals import Arrivals
from ppcli.engine.executors.executor import Executor, Task
from ppcli.engine.stopping import Stop, StopRequest
from ppcli.engine.summary import PHASES, InferSummary
from ppcli.errors import ErrorCode, ImageError
from ppcli.imaging.fit_options import FitOptions
from ppcli.inputs.questions import Question
from ppcli.jobs.infer import InferWork
from ppcli.jobs.prepare import Prepared, expect_tasks, tasks_in_order
from ppcli.jobs.scores import anls, exact_match, interval, relaxed_match
from ppcli.jobs.variants import PreparedVariants, Variant, prepare_variants
from ppcli.models.model_choices import Device
from ppcli.models.onnx.directory import ModelDirectory
from ppcli.models.serving.generation_request import GenerationRequest
from ppcli.models.text.chat_prompts import message_of
from ppcli.models.text.thinking import opens_thinking
from ppcli.store.formats import Config
from ppcli.store.rows import (
    FULL,
    OK,
    SCORES,
    AnswerRow,
    MainRow,
    PatchRow,
    ScoreRow,
    as_error_row,
    outcome_of,
)

MEASURES = ("exact", "anls", "relaxed")


@dataclass(frozen=True, slots=True)
class QuestionSource:
    """Each question as a request for each variant of its image; one task prepares them all.

    Attributes:
        fit: of the model.
        variants: to compare.
        executor: where images are worked on.
        ask: what is asked of all, prompt apart.
    """

    fit: FitOptions
    variants: Sequence[Variant]
    executor: Executor
    ask: GenerationRequest
    item: ClassVar = "question"

    def expect(self, inputs: Arrivals[Any]) -> None:
        """Start no more workers than there are questions."""
        expect_tasks(self.executor, inputs)

    def prepared(
        self, inputs: Arrivals[Any], stop: Stop
    ) -> Iterator[tuple[Question, Iterator[Prepared]]]:
        """Each question with its requests."""
        for question, task in tasks_in_order(self.executor, inputs, stop, self._submitted):
            yield question, self._requests(question, task)

    def _submitted(self, question: Question) -> tuple[Question, Task]:
        question = question.as_seen()
        task = self.executor.submit(prepare_variants, question.image, self.fit, self.variants)
        return question, task

    def _requests(self, question: Question, task: Task) -> Iterator[Prepared]:
        blank = AnswerRow(
            image_id=question.image.image_id,
            custom_id=question.custom_id,
            prompt=question.question,
        )
        try:
            if question.fault is not None:
                raise ImageError(ErrorCode.BAD_REQUEST, question.fault)
            made: PreparedVariants = task.result()
        except ImageError as error:
            for _ in self.variants:
                yield Prepared(as_error_row(blank, error))
            return
        ask = replace(self.ask, prompt=question.question or "")
        for image, select_ms in zip(made.images, made.select_ms, strict=True):
            yield Prepared(_row(blank, made.tokens, select_ms), ask, [image])

    def close(self) -> None:
        """Stop the workers."""
        self.executor.close()


def _row(blank: AnswerRow, tokens: int, select_ms: float) -> AnswerRow:
    return AnswerRow(
        image_id=blank.image_id,
        custom_id=blank.custom_id,
        prompt=blank.prompt,
        tokens=tokens,
        select_ms=select_ms,
    )


def eval_config(
    fit: FitOptions,
    variants: Sequence[Variant],
    ask: GenerationRequest,
    model: ModelDirectory,
    device: Device,
) -> Config:
    """All that scores depend on, questions apart."""
    config: Config = {
        "rows": SCORES,
        "patches": False,
        **asdict(fit),
        "variants": [asdict(variant) for variant in variants],
        "max_new_tokens": ask.max_new_tokens,
        "model": model.identity,
        "device": device.value,
    }
    if ask.repetition_penalty != 1:  # of the model; earlier versions did not apply it
        config["repetition_penalty"] = ask.repetition_penalty
    if opens_thinking(model.prompter.text(message_of("", 1))):  # which earlier versions scored
        config["think"] = ask.think
    return config


@dataclass(frozen=True, slots=True)
class ScoreResult:
    """A row of scores; it has no patch set."""

    row: ScoreRow
    patches: None = None


@dataclass(frozen=True, slots=True)
class EvalWork:
    """Asks, and scores what is answered.

    Attributes:
        infer: asks the model.
        variants: of each question, in the order of its requests.
    """

    infer: InferWork
    variants: Sequence[Variant]
    item: ClassVar = "question"

    def expect(self, inputs: Arrivals[Any]) -> None:
        """Prepare for as much work as there is."""
        self.infer.expect(inputs)

    def results(
        self, inputs: Arrivals[Any], stop: StopRequest
    ) -> Generator[tuple[Question, Iterator[ScoreResult]], None, None]:
        """Each question with its scores, in order."""
        for question, answers in self.infer.results(inputs, stop):
            assert isinstance(question, Question)
            pairs = zip(self.variants, answers, strict=True)
            yield (
                question,
                (ScoreResult(scored(question, variant, one.row)) for variant, one in pairs),
            )

    def close(self) -> None:
        """Stop the workers."""
        self.infer.close()


def scored(question: Question, variant: Variant, row: AnswerRow) -> ScoreRow:
    """An answer with its scores; what failed has none."""
    right = list(question.answers)
    good = row.status == OK
    answer = row.answer or ""
    return ScoreRow(
        image_id=question.image.image_id,
        custom_id=question.custom_id,
        kind=question.kind,
        question=question.question,
        answers=json.dumps(right, ensure_ascii=False),
        variant=variant.name,
        answer=row.answer,
        thinking=row.thinking,
        exact=exact_match(answer, right) if good else None,
        anls=anls(answer, right) if good else None,
        relaxed=relaxed_match(answer, right) if good else None,
        tokens=row.tokens,
        kept=row.kept,
        prompt_tokens=row.prompt_tokens,
        answer_tokens=row.answer_tokens,
        select_ms=row.select_ms,
        vision_ms=row.vision_ms,
        prefill_ms=row.prefill_ms,
        decode_ms=row.decode_ms,
        **outcome_of(row),
    )


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean, and its 95 % interval."""

    mean: float
    low: float
    high: float


@dataclass(slots=True)
class Tally:
    """The scores of one variant, question by question."""

    questions: list[int] = field(default_factory=list)
    images: list[str] = field(default_factory=list)
    kinds: list[str] = field(default_factory=list)
    scores: list[tuple[float, ...]] = field(default_factory=list)
    tokens: int = 0
    kept: int = 0
    milliseconds: float = 0.0

    @property
    def right(self) -> int:
        """Number of exact answers."""
        return sum(score[MEASURES.index("exact")] == 1 for score in self.scores)

    @property
    def right_share(self) -> float:
        """Exact answers over all answers."""
        return self.right / len(self.scores)


@dataclass(slots=True)
class EvalSummary(InferSummary):
    """What `eval` adds up beside that: all scores, by variant; and how many questions came.

    A question counts once among the failures, with what went wrong first.
    """

    tallies: dict[str, Tally] = field(default_factory=dict)
    asked: int = 0
    _failed: bool = False

    def add(self, row: MainRow, patches: PatchRow | None = None, earlier: bool = False) -> None:
        """Count one score."""
        assert isinstance(row, ScoreRow)
        if row.variant == FULL:  # which comes first; names need not differ
            self.asked += 1
            self._failed = False
        if row.status != OK:
            self.failures[row.error_code or ""] += not self._failed
            self._failed = True
            return
        self.good += 1
        self.earlier_good += earlier
        tally = self.tallies.setdefault(row.variant, Tally())
        tally.questions.append(self.asked)
        tally.images.append(row.image_id)
        tally.kinds.append(row.kind or "")
        tally.scores.append(tuple(getattr(row, name) or 0.0 for name in MEASURES))
        tally.tokens += row.tokens or 0
        tally.kept += row.kept or 0
        tally.milliseconds += sum(getattr(row, name) or 0.0 for name in PHASES)

    @property
    def kinds(self) -> list[str]:
        """The kinds of questions, in order of their names; none where none is told."""
        return sorted({kind for tally in self.tallies.values() for kind in tally.kinds} - {""})

    def estimate(self, variant: str, measure: str, kind: str | None = None) -> Estimate | None:
        """The mean score of a variant, over all questions or those of a kind; None without any."""
        tally = self.tallies[variant]
        chosen = [n for n, one in enumerate(tally.kinds) if kind is None or one == kind]
        if not chosen:
            return None
        place = MEASURES.index(measure)
        scores = np.array([tally.scores[n][place] for n in chosen])
        _, groups = np.unique([tally.images[n] for n in chosen], return_inverse=True)
        return Estimate(float(scores.mean()), *interval(scores, groups))

    def difference(self, variant: str, measure: str) -> Estimate | None:
        """How much better a variant is than the whole image, over the questions that both have."""
        place = MEASURES.index(measure)
        full, other = self.tallies.get(FULL, Tally()), self.tallies[variant]
        of_full = dict(zip(full.questions, full.scores, strict=True))
        both = [n for n, name in enumerate(other.questions) if name in of_full]
        if not both:
            return None
        pairs = [(other.scores[n][place], of_full[other.questions[n]][place]) for n in both]
        scores = np.array([one - whole for one, whole in pairs])
        _, groups = np.unique([other.images[n] for n in both], return_inverse=True)
        return Estimate(float(scores.mean()), *interval(scores, groups, -1.0))
