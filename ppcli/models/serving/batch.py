"""Answers several requests at once: each has a slot, and all slots decode together."""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from ppcli.errors import ErrorCode, ImageError, UsageError, pluralize
from ppcli.models.families.prompt_layout import PromptLayout
from ppcli.models.kept_patches import KeptPatches
from ppcli.models.model_choices import Device
from ppcli.models.serving.runner import PREFILL_CHUNK, Features, Runner
from ppcli.models.serving.sampling import Sampler

logger = logging.getLogger("pixelprune")

_AUTO_SLOTS = {Device.CPU: 8, Device.CUDA: 32}  # with more, each request gets slower
_LENGTH_STEP = 256  # caches grow by so many tokens
_Key = TypeVar("_Key")


class FinishReason(StrEnum):
    """Why an answer ended."""

    STOP = "stop"
    LENGTH = "length"


@dataclass(frozen=True, slots=True, eq=False)
class BatchRequest:
    """A request as the model takes it.

    Attributes:
        images: in the order of the prompt.
        prompt: its tokens and their positions.
        max_new_tokens: length limit of the answer.
        sampler: makes a new sampler, which chooses the tokens; every one chooses the same.
        watch: makes a new watcher, which is called with each token and returns whether the answer
            ends with it.
    """

    images: Sequence[KeptPatches]
    prompt: PromptLayout
    max_new_tokens: int
    sampler: Callable[[], Sampler]
    watch: Callable[[], Callable[[int], bool]] = lambda: lambda _: False

    @property
    def length(self) -> int:
        """Tokens that its slot must have room for."""
        return self.prompt.length + self.max_new_tokens


@dataclass(slots=True)
class Generated:
    """An answer, and the milliseconds it took.

    Attributes:
        tokens: of the answer, without the end token.
        finish_reason: why it ended.
        vision_ms: of the vision transformer.
        prefill_ms: of the language model, until the first token.
        decode_ms: its share of the steps that gave the other tokens.
    """

    tokens: list[int] = field(default_factory=list)
    finish_reason: FinishReason = FinishReason.LENGTH
    vision_ms: float = 0.0
    prefill_ms: float = 0.0
    decode_ms: float = 0.0


@dataclass(slots=True)
class _Slot(Generic[_Key]):
    """A request in progress."""

    key: _Key
    request: BatchRequest
    sampler: Sampler
    ends_with: Callable[[int], bool]
    generated: Generated = field(default_factory=Generated)
    features: Features | None = None
    fed: int = 0  # tokens of the prompt
    token: int | None = None  # chosen, and not fed yet

    @property
    def is_prefilling(self) -> bool:
        return self.token is None


_Done = list[tuple[_Key, Generated | ImageError]]


class Batch(Generic[_Key]):
    """Takes requests into free slots and answers them step by step.

    Args of the constructor:
        runner: of the model.
        end_tokens: ids of the tokens that end an answer.
        slots: requests at once; None uses as many as help and fit into memory.
    """

    def __init__(self, runner: Runner, end_tokens: frozenset[int], slots: int | None = 1) -> None:
        self._runner = runner
        self._end_tokens = end_tokens
        self._requested = slots
        self._max_slots = _AUTO_SLOTS[runner.device] if slots is None else slots
        self._slots: list[_Slot[_Key] | None] = []
        self._to_restart: list[tuple[_Key, BatchRequest]] = []

    @property
    def active(self) -> int:
        """Number of requests that were started and have no answer yet."""
        return sum(slot is not None for slot in self._slots) + len(self._to_restart)

    @property
    def full(self) -> bool:
        """Whether no request can start."""
        return bool(self.active) and (None not in self._slots or bool(self._to_restart))

    def can_start(self, request: BatchRequest) -> bool:
        """Whether this request can start now. If none is active, any can."""
        return not self.active or (not self.full and request.length <= self._runner.length)

    def start(self, key: _Key, request: BatchRequest) -> None:
        """Start a request for which `can_start` holds.

        Args:
            key: returned with the answer.
            request: the request.

        Raises:
            ImageError: `out_of_memory`, if not even its own caches fit.
            UsageError: if the first request finds less room than was requested.
        """
        if not self.active:
            self._allocate(request.length)
        free = self._slots.index(None)
        self._slots[free] = _Slot(key, request, request.sampler(), request.watch())

    def step(self) -> _Done[_Key]:
        """Advance one prefill by a chunk, and all decoding requests by a token.

        Returns:
            The requests that are finished, each with its answer or its error.
        """
        done: _Done[_Key] = []
        if self._to_restart and all(slot is None for slot in self._slots):
            self._restart(done)
        prefilling = [n for n, slot in enumerate(self._slots) if slot and slot.is_prefilling]
        if prefilling:  # a prefill that has begun comes first
            self._prefill(max(prefilling, key=self._tokens_fed), done)
        self._decode(done)
        return done

    def _tokens_fed(self, number: int) -> int:
        slot = self._slots[number]
        return slot.fed if slot else 0

    def _allocate(self, length: int) -> None:
        """Allocate caches for as many slots as requested and possible.

        Args:
            length: tokens that each must have room for.

        Raises:
            ImageError: `out_of_memory`, if not even one slot fits.
            UsageError: if fewer fit than were requested, before the first request.
        """
        runner = self._runner
        length = max(length + -length % _LENGTH_STEP, runner.length)
        slots, free = self._max_slots, runner.free_bytes
        if free is not None:
            available = free if self._requested else free // 2
            slots = max(1, min(slots, runner.slots_within(available, length)))
        if (slots, length) != (runner.slots, runner.length):
            size = _size(runner.cache_bytes(slots, length))
            requests = pluralize(slots, "request")
            logger.info("allocating %s for %s of up to %s tokens", size, requests, f"{length:,}")
        slots = self._reserve(length, slots)
        if self._requested and slots < self._requested and not self._slots:
            needed = _size(runner.cache_bytes(self._requested, length))
            raise UsageError(
                f"the caches of {self._requested:,} requests of up to {length:,} tokens need "
                f"{needed}, more than is free; the largest batch that fits is {slots:,}"
            )
        self._slots = [None] * slots

    def _reserve(self, length: int, slots: int) -> int:
        """Reserve so many slots, or as many as the device has memory for; return how many.

        Raises:
            ImageError: `out_of_memory`, if not even one fits.
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

    def _restart(self, done: _Done[_Key]) -> None:
        """Start the requests of a failed step again, as far as there are slots."""
        requests, self._to_restart = self._to_restart, []
        try:
            self._allocate(max(request.length for _, request in requests))
        except ImageError as error:
            done.extend((key, error) for key, _ in requests)
            return
        for key, request in requests[: len(self._slots)]:
            self.start(key, request)
        self._to_restart = requests[len(self._slots) :]

    def _prefill(self, number: int, done: _Done[_Key]) -> None:
        slot = self._slots[number]
        assert slot is not None
        started = time.perf_counter()
        try:
            if slot.features is None:
                slot.features = self._runner.embed(slot.request.images)
                slot.generated.vision_ms = (time.perf_counter() - started) * 1000
                started = time.perf_counter()
            logits = self._runner.feed(slot.request.prompt, slot.fed, slot.features, number)
        except ImageError as error:
            self._finish(number, error, done)
            return
        slot.fed = min(slot.fed + PREFILL_CHUNK, slot.request.prompt.length)
        slot.generated.prefill_ms += (time.perf_counter() - started) * 1000
        if slot.fed == slot.request.prompt.length:
            slot.features = None
            self._choose(number, logits, done)

    def _decode(self, done: _Done[_Key]) -> None:
        decoding = [n for n, slot in enumerate(self._slots) if slot and not slot.is_prefilling]
        if not decoding:
            return
        started = time.perf_counter()
        rows = [self._row(slot) for slot in self._slots[: decoding[-1] + 1]]
        tokens, positions, lengths = zip(*rows, strict=True)
        try:
            logits = self._runner.step(tokens, positions, lengths)
        except ImageError as error:
            self._reduce_slots(error, done)
            return
        share = (time.perf_counter() - started) * 1000 / len(decoding)
        for number in decoding:
            slot = self._slots[number]
            assert slot is not None
            slot.generated.decode_ms += share
            self._choose(number, logits[number], done)

    @staticmethod
    def _row(slot: _Slot[_Key] | None) -> tuple[int, int, int]:
        """Token, position and length to feed; a slot that is not decoding gets a dummy token.

        The keys and values of the dummy are overwritten by the next token of the slot.
        """
        if slot is None or slot.token is None:
            return 0, 0, (slot.fed if slot else 0) + 1
        prompt, count = slot.request.prompt, len(slot.generated.tokens)
        return slot.token, prompt.next_position + count - 1, prompt.length + count

    def _choose(self, number: int, logits: NDArray[np.float32], done: _Done[_Key]) -> None:
        """Choose the next token; finish the request if the answer ends."""
        slot = self._slots[number]
        assert slot is not None
        generated = slot.generated
        if not np.isfinite(logits).all():
            self._finish(number, _not_finite(self._runner.dtype), done)
            return
        token = slot.sampler(logits)
        if token in self._end_tokens:
            generated.finish_reason = FinishReason.STOP
        else:
            generated.tokens.append(token)
            slot.token = token
            if slot.ends_with(token):
                generated.finish_reason = FinishReason.STOP
        stopped = generated.finish_reason is FinishReason.STOP
        if stopped or len(generated.tokens) == slot.request.max_new_tokens:
            self._finish(number, generated, done)

    def _finish(self, number: int, result: Generated | ImageError, done: _Done[_Key]) -> None:
        slot = self._slots[number]
        assert slot is not None
        self._slots[number] = None
        done.append((slot.key, result))

    def _reduce_slots(self, error: ImageError, done: _Done[_Key]) -> None:
        """After a failed step, schedule its requests again with half the slots.

        A request that was alone has failed.
        """
        active = [slot for slot in self._slots if slot is not None]
        self._slots = [None] * len(self._slots)
        if len(active) == 1:
            done.append((active[0].key, error))
            return
        self._max_slots = max(1, len(active) // 2)
        self._to_restart += [(slot.key, slot.request) for slot in active]


def _size(count: float) -> str:
    return f"{count / 1e9:,.2f} GB" if count >= 1e9 else f"{count / 1e6:,.1f} MB"


def _not_finite(dtype: str) -> ImageError:
    if dtype == "float16":
        advice = "float16 is too narrow for some models, export with --dtype bfloat16 or float32"
    else:
        advice = "check its files with pixelprune verify"
    message = f"the model, which is in {dtype}, produced logits that are not finite; {advice}"
    return ImageError(ErrorCode.INTERNAL, message)
