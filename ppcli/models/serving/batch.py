"""Several requests at once: each in a slot of its own, all of them decoding together."""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from ppcli.errors import ErrorCode, ImageError, UsageError
from ppcli.models.families.qwen3_vl.positions import TokenPlaces
from ppcli.models.model_choices import Device
from ppcli.models.serving.image_patches import ImagePatches
from ppcli.models.serving.runner import PREFILL_CHUNK, Runner
from ppcli.models.serving.sampling import Sampler

logger = logging.getLogger("pixelprune")

_OF_USE = {Device.CPU: 8, Device.CUDA: 32}  # more of them take memory and time from one another
_LENGTH_STEP = 256  # buffers grow by so many tokens
_Key = TypeVar("_Key")


class FinishReason(StrEnum):
    """Why an answer ended."""

    STOP = "stop"
    LENGTH = "length"


@dataclass(frozen=True, slots=True, eq=False)
class Job:
    """A request as the model takes it.

    Attributes:
        images: in the order of their tokens in the prompt.
        prompt: the tokens that are fed.
        max_new_tokens: the most that the answer has.
        sampler: makes what chooses each token; a second one would choose the same.
        watch: makes what is told of each token as it comes, and says whether the answer ends there.
    """

    images: Sequence[ImagePatches]
    prompt: TokenPlaces
    max_new_tokens: int
    sampler: Callable[[], Sampler]
    watch: Callable[[], Callable[[int], bool]] = lambda: lambda _: False

    @property
    def length(self) -> int:
        """Tokens that its slot must hold."""
        return self.prompt.length + self.max_new_tokens


@dataclass(slots=True)
class Generated:
    """An answer, and the milliseconds it took.

    Attributes:
        tokens: the new ones, without the one that ended it.
        finish_reason: why it ended.
        vision_ms: of the vision transformer.
        prefill_ms: of the language model, until the first token.
        decode_ms: its share of the steps that gave the tokens after the first.
    """

    tokens: list[int] = field(default_factory=list)
    finish_reason: FinishReason = FinishReason.LENGTH
    vision_ms: float = 0.0
    prefill_ms: float = 0.0
    decode_ms: float = 0.0


@dataclass(slots=True)
class _Slot(Generic[_Key]):
    """A request on its way."""

    key: _Key
    job: Job
    choose: Sampler
    ended: Callable[[int], bool]
    made: Generated = field(default_factory=Generated)
    seen: tuple[NDArray[np.float32], NDArray[np.float32]] | None = None
    fed: int = 0
    token: int | None = None  # chosen, and not yet fed


class Batch(Generic[_Key]):
    """Takes requests into free slots and answers them step by step.

    Args of the constructor:
        runner: of the model.
        end_tokens: ids that end an answer.
        slots: how many requests at once; None takes as many as are of use and fit.
    """

    def __init__(self, runner: Runner, end_tokens: frozenset[int], slots: int | None = 1) -> None:
        self._runner = runner
        self._end_tokens = end_tokens
        self._wanted = slots
        self._most = _OF_USE[runner.device] if slots is None else slots
        self._slots: list[_Slot[_Key] | None] = []
        self._again: list[tuple[_Key, Job]] = []

    @property
    def active(self) -> int:
        """Requests that are begun and not answered."""
        return sum(slot is not None for slot in self._slots) + len(self._again)

    @property
    def full(self) -> bool:
        """Whether no request can begin, whatever it is."""
        return bool(self.active) and (None not in self._slots or bool(self._again))

    def takes(self, job: Job) -> bool:
        """Whether a request can begin now; when nothing is active, any can."""
        return not self.active or (not self.full and job.length <= self._runner.length)

    def begin(self, key: _Key, job: Job) -> None:
        """Take a request in.

        Args:
            key: what its answer is returned with.
            job: the request; `takes` must hold.

        Raises:
            ImageError: `out_of_memory`, when not even one slot of its length fits.
        """
        if not self.active:
            self._make_room(job.length)
        self._slots[self._slots.index(None)] = _Slot(key, job, job.sampler(), job.watch())

    def step(self) -> list[tuple[_Key, Generated | ImageError]]:
        """Advance one prefill by a chunk, and all decoding requests by a token.

        Returns:
            The requests that are done, with their answers or why there is none.
        """
        done: list[tuple[_Key, Generated | ImageError]] = []
        if self._again and all(slot is None for slot in self._slots):
            self._begin_again(done)
        waiting = next((n for n, slot in enumerate(self._slots) if slot and slot.token is None), -1)
        if waiting >= 0:
            self._prefill(waiting, done)
        self._decode(done)
        return done

    def _make_room(self, length: int) -> None:
        """Buffers for as many slots as wanted and possible, each at least so long.

        Raises:
            ImageError: `out_of_memory`, when not even one fits.
            UsageError: when fewer fit than were asked for, before anything has run.
        """
        runner = self._runner
        length = max(length + -length % _LENGTH_STEP, runner.length)
        slots, free = self._most, runner.free_bytes
        if free is not None:
            share = free if self._wanted else free // 2
            slots = max(1, min(slots, share // (length * runner.bytes_of_token)))
        if (slots, length) != (runner.slots, runner.length):
            logger.info(
                "keys and values of %s × %s tokens take %s",
                *(f"{slots:,}", f"{length:,}", _size(slots * length * runner.bytes_of_token)),
            )
        slots = self._reserved(length, slots)
        if self._wanted and slots < self._wanted and not self._slots:
            needed = _size(self._wanted * length * runner.bytes_of_token)
            raise UsageError(
                f"a batch of {self._wanted:,} × {length:,} tokens takes {needed}, "
                f"which are not free; the largest that fits is {slots:,}"
            )
        self._slots = [None] * slots

    def _reserved(self, length: int, slots: int) -> int:
        """Buffers for so many slots, or for the most that the device has room for.

        Raises:
            ImageError: `out_of_memory`, when not even one fits.
        """
        fitting, too_many = 0, slots + 1
        while fitting + 1 < too_many:
            tried = slots if too_many > slots else (fitting + too_many) // 2
            try:
                self._runner.reserve(length, tried)
                fitting = tried
            except ImageError:
                if tried == 1:
                    raise
                too_many = tried
        self._runner.reserve(length, fitting)
        return fitting

    def _begin_again(self, done: list[tuple[_Key, Generated | ImageError]]) -> None:
        """Take those in anew whose step failed, as many as there are fewer slots for."""
        jobs, self._again = self._again, []
        try:
            self._make_room(max(job.length for _, job in jobs))
        except ImageError as error:
            done.extend((key, error) for key, _ in jobs)
            return
        for key, job in jobs[: len(self._slots)]:
            self.begin(key, job)
        self._again = jobs[len(self._slots) :]

    def _prefill(self, number: int, done: list[tuple[_Key, Generated | ImageError]]) -> None:
        slot = self._slots[number]
        assert slot is not None
        started = time.perf_counter()
        try:
            if slot.seen is None:
                slot.seen = self._runner.embed(slot.job.images)
                slot.made.vision_ms = (time.perf_counter() - started) * 1000
                started = time.perf_counter()
            logits = self._runner.feed(slot.job.prompt, slot.fed, *slot.seen, number)
        except ImageError as error:
            self._slots[number] = None
            done.append((slot.key, error))
            return
        slot.fed = min(slot.fed + PREFILL_CHUNK, slot.job.prompt.length)
        slot.made.prefill_ms += (time.perf_counter() - started) * 1000
        if slot.fed == slot.job.prompt.length:
            slot.seen = None
            self._choose(number, logits, done)

    def _decode(self, done: list[tuple[_Key, Generated | ImageError]]) -> None:
        decoding = [n for n, slot in enumerate(self._slots) if slot and slot.token is not None]
        if not decoding:
            return
        started = time.perf_counter()
        rows = [self._row(slot) for slot in self._slots[: decoding[-1] + 1]]
        tokens, positions, lengths = zip(*rows, strict=True)
        try:
            logits = self._runner.step(tokens, positions, lengths)
        except ImageError as error:
            self._give_way(error, done)
            return
        share = (time.perf_counter() - started) * 1000 / len(decoding)
        for number in decoding:
            slot = self._slots[number]
            assert slot is not None
            slot.made.decode_ms += share
            self._choose(number, logits[number], done)

    @staticmethod
    def _row(slot: _Slot[_Key] | None) -> tuple[int, int, int]:
        """Token, position and length to feed; of what is not decoding, one that does no harm.

        Its keys and values go where the next ones of its slot will be written.
        """
        if slot is None or slot.token is None:
            return 0, 0, (slot.fed if slot else 0) + 1
        prompt, count = slot.job.prompt, len(slot.made.tokens)
        return slot.token, prompt.next_position + count - 1, prompt.length + count

    def _choose(
        self,
        number: int,
        logits: NDArray[np.float32],
        done: list[tuple[_Key, Generated | ImageError]],
    ) -> None:
        """Choose the next token; take it into the answer, or let it end the answer."""
        slot = self._slots[number]
        assert slot is not None
        made = slot.made
        if not np.isfinite(logits).all():
            self._slots[number] = None
            done.append((slot.key, _not_finite(self._runner.kind)))
            return
        token = slot.choose(logits)
        if token in self._end_tokens:
            made.finish_reason = FinishReason.STOP
        else:
            made.tokens.append(token)
            slot.token = token
            if slot.ended(token):
                made.finish_reason = FinishReason.STOP
        if made.finish_reason is FinishReason.STOP or len(made.tokens) == slot.job.max_new_tokens:
            self._slots[number] = None
            done.append((slot.key, made))

    def _give_way(self, error: ImageError, done: list[tuple[_Key, Generated | ImageError]]) -> None:
        """After a step that failed: all its requests again, fewer at once; one alone has failed."""
        active = [slot for slot in self._slots if slot is not None]
        self._slots = [None] * len(self._slots)
        if len(active) == 1:
            done.append((active[0].key, error))
            return
        self._most = max(1, len(active) // 2)
        self._again += [(slot.key, slot.job) for slot in active]


def _size(count: float) -> str:
    return f"{count / 1e9:,.2f} GB" if count >= 1e9 else f"{count / 1e6:,.1f} MB"


def _not_finite(kind: str) -> ImageError:
    """What a model of this type of numbers is told to have done."""
    if kind == "float16":
        advice = "float16 is too narrow for some models, export with --dtype bfloat16 or float32"
    else:
        advice = "pixelprune verify tells whether its files are as they were written"
    message = f"the model, which is in {kind}, gave numbers that are not finite; {advice}"
    return ImageError(ErrorCode.INTERNAL, message)
