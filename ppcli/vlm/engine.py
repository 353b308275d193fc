"""Requests about pruned images, as a model takes them, and its answers as rows."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import xxhash

from ppcli.coding.patchset import KeptTiles, PatchSet, cut
from ppcli.errors import ErrorCode, ImageError, UsageError
from ppcli.store.rows import ERROR, AnswerRow
from ppcli.vlm.batch import Batch, Generated, Job
from ppcli.vlm.directory import ModelDirectory
from ppcli.vlm.images import image_patches
from ppcli.vlm.positions import token_places
from ppcli.vlm.prompts import Message, message_of
from ppcli.vlm.runner import Runner
from ppcli.vlm.sampling import Sampler
from ppcli.vlm.sessions import Sessions

_UNFINISHED = "\ufffd"  # what the tokenizer gives for a character whose bytes are not all there


@dataclass(frozen=True, slots=True)
class Ask:
    """What is asked, images apart.

    Attributes:
        prompt: the text after the images.
        system: text of the system before it; None for none.
        max_new_tokens: the most that the answer has.
        temperature: 0 is greedy.
        top_p: of sampling.
        seed: of sampling; with `own_seed` as it is, else mixed with the request's identity.
        own_seed: whether the seed was given for this very request.
        messages: the whole conversation, with a part for each image, where it is more than a
            prompt; then prompt and system are not looked at.
    """

    prompt: str
    system: str | None = None
    max_new_tokens: int = 256
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0
    own_seed: bool = False
    messages: list[Message] | None = None

    def __post_init__(self) -> None:
        if self.max_new_tokens < 1:
            raise UsageError(f"{self.max_new_tokens} new tokens are no answer; ask for 1 or more")
        Sampler(self.temperature, self.top_p, (self.seed,))

    def sampler(self, identity: str) -> Sampler:
        """The sampler of a request: the same whoever else is asked, and in whatever order."""
        mixed = (
            (self.seed,)
            if self.own_seed
            else (self.seed, xxhash.xxh3_64_intdigest(identity.encode()))
        )
        return Sampler(self.temperature, self.top_p, mixed)


@dataclass(frozen=True, slots=True, eq=False)
class Begun:
    """A request on its way to an answer: its row so far, and what the model is given."""

    row: AnswerRow
    job: Job
    telling: "_Telling"


class Engine:
    """Turns requests into jobs for a model, and what it generates into rows.

    Args of the constructor:
        model: the model directory.
        sessions: its graphs.
        prune: whether pruned tiles are left out; if not, images are rebuilt and fed whole.
        batch_size: how many requests at once; None takes as many as are of use and fit.
    """

    def __init__(
        self,
        model: ModelDirectory,
        sessions: Sessions,
        prune: bool = True,
        batch_size: int | None = 1,
    ) -> None:
        self._model = model
        self._prune = prune
        self.batch: Batch[Any] = Batch(Runner(model, sessions), model.end_tokens, batch_size)

    def begun(
        self,
        row: AnswerRow,
        ask: Ask,
        images: Sequence[KeptTiles],
        on_text: Callable[[str], None] | None = None,
    ) -> Begun:
        """A request, ready for the batch; its tiles are pruned as the engine is to.

        Raises:
            ImageError: `bad_request` or `context_too_long`.
        """
        if not self._prune:
            images = [all_tiles(one) for one in images]
        return begin_request(self._model, row, ask, images, on_text)

    def finished(self, begun: Begun, made: Generated | ImageError) -> AnswerRow:
        """The row of a request that the batch is done with."""
        if isinstance(made, ImageError):
            return failed(begun.row, made)
        begun.telling.end()
        return replace(
            begun.row,
            answer=self._model.prompter.answer(made.tokens),
            finish_reason=made.finish_reason.value,
            answer_tokens=len(made.tokens),
            vision_ms=made.vision_ms,
            prefill_ms=made.prefill_ms,
            decode_ms=made.decode_ms,
        )


def begin_request(
    model: ModelDirectory,
    row: AnswerRow,
    ask: Ask,
    images: Sequence[KeptTiles],
    on_text: Callable[[str], None] | None = None,
) -> Begun:
    """A request, ready for the batch.

    Args:
        model: that is asked.
        row: what is known of it already.
        ask: what is asked.
        images: kept tiles of each image, in order.
        on_text: told of each piece of the answer as it comes.

    Raises:
        ImageError: `bad_request` or `context_too_long`.
    """
    started = time.perf_counter()
    config, prompter = model.config, model.prompter
    keeps = [one.keep for one in images]
    try:
        ids = prompter.ids(ask.messages or message_of(ask.prompt, len(images), ask.system))
        prompt = token_places(ids, config.image_token, keeps)
    except UsageError as error:
        raise ImageError(ErrorCode.BAD_REQUEST, str(error)) from error
    taken = max(prompt.next_position, prompt.length)  # an image takes its longer side
    room = config.text.max_positions - taken
    if room < 1:
        raise ImageError(
            ErrorCode.CONTEXT_TOO_LONG,
            f"the prompt takes {taken:,} positions, and the model has "
            f"{config.text.max_positions:,}",
        )
    side = config.vision.positions_per_side
    patches = [image_patches(one, model.preset, side) for one in images]
    row = replace(
        row,
        kept=sum(int(np.count_nonzero(keep)) for keep in keeps) if images else None,
        prompt_tokens=prompt.length,
        select_ms=(row.select_ms or 0.0) + (time.perf_counter() - started) * 1000,
    )
    telling = _Telling(prompter.answer, on_text)
    identity = row.custom_id or row.image_id or ask.prompt
    most = min(ask.max_new_tokens, room)
    return Begun(row, Job(patches, prompt, most, partial(ask.sampler, identity), telling), telling)


def check_texts(model: ModelDirectory, prompt: str, system: str | None) -> None:
    """See that a model can be asked this.

    Raises:
        UsageError: for bytes that are no text, or words that stand for images.
    """
    for text in (prompt, system or ""):
        try:
            text.encode()
        except UnicodeEncodeError:
            raise UsageError("the prompt or the system text is not valid Unicode") from None
    if model.config.image_token in model.prompter.ids(message_of(prompt, 0, system)):
        raise UsageError("the prompt names image tokens; leave them out, they are added")


def failed(row: AnswerRow, error: ImageError) -> AnswerRow:
    """The row of a request that could not be answered."""
    return replace(row, status=ERROR, error_code=error.code.value, error_message=error.message)


class _Telling:
    """Gives an answer on piece by piece, never half a character."""

    def __init__(
        self, text_of: Callable[[Sequence[int]], str], on_text: Callable[[str], None] | None
    ) -> None:
        self._text_of, self._on_text = text_of, on_text
        self._tokens: list[int] = []
        self._told = 0

    def __call__(self, token: int) -> None:
        if self._on_text is not None:
            self._tokens.append(token)
            self._tell(self._text_of(self._tokens).rstrip(_UNFINISHED))

    def end(self) -> None:
        if self._on_text is not None:
            self._tell(self._text_of(self._tokens))

    def _tell(self, text: str) -> None:
        if self._on_text is not None and len(text) > self._told:
            self._on_text(text[self._told :])
            self._told = len(text)


def all_tiles(kept: KeptTiles) -> KeptTiles:
    """All tiles of an image, rebuilt from those that are kept.

    Raises:
        UsageError: when it was coded by a method that cannot be decoded.
    """
    raster = PatchSet(kept.keep, kept.tiles, kept.options).reconstruct()
    keep = np.ones_like(kept.keep)
    return KeptTiles(keep, cut(raster, keep, kept.tile), kept.options)
