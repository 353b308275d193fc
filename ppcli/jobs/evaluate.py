"""The job of `eval`: ask each question about each variant of its image, and score the answers."""

import json
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import repeat
from typing import Any, ClassVar

import numpy as np

from ppcli.engine import ordered
from ppcli.engine.arrivals import Arrivals
from ppcli.engine.executors.executor import Executor
from ppcli.engine.ordered import Call, OrderedTasks, SingleCall
from ppcli.engine.stopping import Stop, StopRequest
from ppcli.errors import ErrorCode, ImageError
from ppcli.imaging.fit_options import FitOptions
from ppcli.inputs.questions import Question
from ppcli.inputs.refs import ImageRef
from ppcli.jobs.infer import PHASES, InferSummary, InferWork
from ppcli.jobs.prepare import PreparedRequest
from ppcli.jobs.scores import anls, exact_match, interval, relaxed_match
from ppcli.jobs.variants import ImageVariant, PreparedVariants
from ppcli.models.model_choices import Device
from ppcli.models.onnx.directory import ModelDirectory
from ppcli.models.serving.generation_request import GenerationRequest
from ppcli.models.text.chat_tokenizer import chat_messages
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
class QuestionRequests:
    """Each question as one request per variant of its image. One task prepares all variants.

    Attributes:
        prepare: makes all variants of an image; must be picklable.
        variants: to compare.
        executor: runs the tasks; closed with the source.
        settings: of all requests; the prompt is the question.
    """

    prepare: Callable[[ImageRef], PreparedVariants]
    variants: Sequence[ImageVariant]
    executor: Executor
    settings: GenerationRequest
    item: ClassVar = "question"

    def prestart(self, inputs: Arrivals[Any]) -> None:
        """Start no more workers than there are questions."""
        ordered.prestart(self.executor, inputs)

    def requests(
        self, inputs: Arrivals[Any], stop: Stop
    ) -> Iterator[tuple[Question, Iterator[PreparedRequest]]]:
        """Yield each question with its requests, in the order of the variants."""
        return OrderedTasks(self.executor, self._plan, stop).run(inputs)

    def _plan(self, question: Question) -> SingleCall[Question, PreparedRequest]:
        call = Call(self.prepare, (question.image,))
        return SingleCall(question, call, self._prepared, _with_state)

    def _prepared(
        self, question: Question, images: PreparedVariants | ImageError
    ) -> Iterator[PreparedRequest]:
        blank = AnswerRow(
            image_id=question.image.image_id,
            custom_id=question.custom_id,
            prompt=question.question,
        )
        if question.fault is not None:
            images = ImageError(ErrorCode.BAD_REQUEST, question.fault)
        if isinstance(images, ImageError):
            for _ in self.variants:
                yield PreparedRequest(as_error_row(blank, images))
            return
        request = replace(self.settings, prompt=question.question or "")
        counts = images.kept if images.kept is not None else repeat(None, len(images.images))
        for image, select_ms, kept in zip(images.images, images.select_ms, counts, strict=True):
            row = replace(blank, tokens=images.tokens, kept=kept, select_ms=select_ms)
            yield PreparedRequest(row, request, [image])

    def close(self) -> None:
        """Stop the workers."""
        self.executor.close()


def _with_state(question: Question, images: PreparedVariants) -> Question:
    return question.with_state(images.state)


def eval_config(
    fit: FitOptions,
    variants: Sequence[ImageVariant],
    settings: GenerationRequest,
    engine: Config,
) -> Config:
    """Return everything that scores depend on, except the questions.

    Args:
        fit: of the model.
        variants: to compare.
        settings: of all requests.
        engine: what depends on the model.
    """
    return {
        "rows": SCORES,
        "patches": False,
        **asdict(fit),
        "variants": [asdict(variant) for variant in variants],
        "max_new_tokens": settings.max_new_tokens,
        **engine,
    }


def model_config(model: ModelDirectory, device: Device, settings: GenerationRequest) -> Config:
    """Return what scores depend on in a local model.

    Args:
        model: the model directory.
        device: the model runs on.
        settings: of all requests.
    """
    config: Config = {"model": model.identity, "device": device.value}
    if settings.repetition_penalty != 1:  # earlier versions ignored that of the model
        config["repetition_penalty"] = settings.repetition_penalty
    prompt = model.chat_tokenizer.render(chat_messages("", 1))
    if opens_thinking(prompt):  # earlier versions scored it
        config["think"] = settings.think
    return config


@dataclass(frozen=True, slots=True)
class ScoreResult:
    """A row of scores; there is no patch set."""

    row: ScoreRow
    patches: None = None


@dataclass(frozen=True, slots=True)
class EvalWork:
    """Answers questions and scores the answers.

    Attributes:
        infer: answers the questions.
        variants: in the order of the requests of each question.
    """

    infer: InferWork
    variants: Sequence[ImageVariant]
    item: ClassVar = "question"

    def prestart(self, inputs: Arrivals[Any]) -> None:
        """Start workers before the first question is read."""
        self.infer.prestart(inputs)

    def results(
        self, inputs: Arrivals[Any], stop: StopRequest
    ) -> Generator[tuple[Question, Iterator[ScoreResult]], None, None]:
        """Yield each question with its scores, in order."""
        for question, answers in self.infer.results(inputs, stop):
            assert isinstance(question, Question)
            pairs = zip(self.variants, answers, strict=True)
            yield (
                question,
                (ScoreResult(score_answer(question, variant, one.row)) for variant, one in pairs),
            )

    def close(self) -> None:
        """Stop the workers."""
        self.infer.close()


def score_answer(question: Question, variant: ImageVariant, row: AnswerRow) -> ScoreRow:
    """Return an answer with its scores; a failed one has none."""
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
        request_ms=row.request_ms,
        **outcome_of(row),
    )


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean with its 95 % confidence interval."""

    mean: float
    low: float
    high: float


@dataclass(slots=True)
class Tally:
    """The scores of one variant.

    Attributes:
        questions: number of the question of each score, from 1.
        images: identity of the image of each score.
        kinds: kind of the question of each score; empty if it has none.
        scores: one score per measure, in the order of `MEASURES`.
        tokens: tiles of all images.
        kept: tiles that were fed.
        milliseconds: time of all phases.
    """

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
    """The totals of `eval`. A question counts as one failure, with the first error it met.

    Attributes:
        tallies: the scores, by the name of the variant.
        asked: how many questions have been asked.
    """

    tallies: dict[str, Tally] = field(default_factory=dict)
    asked: int = 0
    _failed: bool = False

    def add(self, row: MainRow, patches: PatchRow | None = None, earlier: bool = False) -> None:
        """Count one score."""
        assert isinstance(row, ScoreRow)
        if row.variant == FULL:  # the first variant; names may repeat
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
        tally.milliseconds += _model_ms(row)

    @property
    def kinds(self) -> list[str]:
        """The kinds of questions, sorted; empty if the questions have none."""
        return sorted({kind for tally in self.tallies.values() for kind in tally.kinds} - {""})

    def estimate(self, variant: str, measure: str, kind: str | None = None) -> Estimate | None:
        """Return the mean score of a variant; None without a score.

        Args:
            variant: its name.
            measure: one of `MEASURES`.
            kind: of questions; None for all.
        """
        tally = self.tallies[variant]
        chosen = [n for n, one in enumerate(tally.kinds) if kind is None or one == kind]
        if not chosen:
            return None
        column = MEASURES.index(measure)
        scores = np.array([tally.scores[n][column] for n in chosen])
        _, groups = np.unique([tally.images[n] for n in chosen], return_inverse=True)
        return Estimate(float(scores.mean()), *interval(scores, groups))

    def difference(self, variant: str, measure: str) -> Estimate | None:
        """Return the mean difference to the full image; None if no question has both scores.

        Args:
            variant: its name.
            measure: one of `MEASURES`.
        """
        column = MEASURES.index(measure)
        full, other = self.tallies.get(FULL, Tally()), self.tallies[variant]
        of_full = dict(zip(full.questions, full.scores, strict=True))
        both = [n for n, name in enumerate(other.questions) if name in of_full]
        if not both:
            return None
        pairs = [(other.scores[n][column], of_full[other.questions[n]][column]) for n in both]
        scores = np.array([score - score_of_full for score, score_of_full in pairs])
        _, groups = np.unique([other.images[n] for n in both], return_inverse=True)
        return Estimate(float(scores.mean()), *interval(scores, groups, -1.0))


def _model_ms(row: ScoreRow) -> float:
    """Return the time that the model took; a server prunes by itself, which its time includes."""
    if row.request_ms is not None:
        return row.request_ms
    return sum(getattr(row, name) or 0.0 for name in PHASES)
