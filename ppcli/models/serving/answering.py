"""Requests about pruned images, as a model takes them, and its answers as rows."""

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import partial
from typing import Any

import numpy as np
import xxhash

from ppcli.coding.patchset import KeptTiles, PatchSet, cut_tiles
from ppcli.errors import ErrorCode, ImageError, UsageError
from ppcli.models.families.qwen3_vl.positions import token_places
from ppcli.models.model_choices import Think
from ppcli.models.onnx.directory import ModelDirectory
from ppcli.models.onnx.sessions import Sessions
from ppcli.models.serving.batch import Batch, FinishReason, Generated, Job
from ppcli.models.serving.image_patches import image_patches
from ppcli.models.serving.runner import Runner
from ppcli.models.serving.sampling import Sampler, Sampling
from ppcli.models.text.answer_text import AnswerReader
from ppcli.models.text.chat_prompts import Message, Prompter, message_of
from ppcli.store.rows import ERROR, AnswerRow

_FIRST_SETTINGS = frozenset(
    ("prompt", "system", "max_new_tokens", "temperature", "top_p", "seed")
)  # which the configurations of all datasets have
_STILL_THINKING = (
    "the answer ended within its thinking; a larger --max-new-tokens leaves it more room"
)


@dataclass(frozen=True, slots=True)
class Ask:
    """What is asked, images apart.

    Attributes:
        prompt: the text after the images.
        system: text of the system before it; None for none.
        max_new_tokens: the most that the answer has.
        temperature, top_p, top_k, min_p: of sampling; see there.
        repetition_penalty, presence_penalty: likewise.
        seed: of sampling; with `own_seed` as it is, else mixed with the request's identity.
        own_seed: whether the seed was given for this very request.
        messages: the whole conversation, with a part for each image, where it is more than a
            prompt; then prompt and system are not looked at.
        stop: texts that the answer ends before.
        keep_special_tokens: whether answers show them.
        think: what becomes of the thinking.

    Raises:
        UsageError: for settings that make no sense.
    """

    prompt: str
    system: str | None = None
    max_new_tokens: int = 256
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0
    own_seed: bool = False
    messages: list[Message] | None = None
    top_k: int = 0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    presence_penalty: float = 0.0
    stop: tuple[str, ...] = ()
    keep_special_tokens: bool = False
    think: Think = Think.KEEP

    def __post_init__(self) -> None:
        if self.max_new_tokens < 1:
            raise UsageError(f"{self.max_new_tokens} new tokens are no answer; ask for 1 or more")
        if "" in self.stop:
            raise UsageError("a stop text is empty, and would end every answer before it begins")
        Sampler(self.sampling, (self.seed,))

    @property
    def sampling(self) -> Sampling:
        """How tokens are chosen."""
        return Sampling(**{one.name: getattr(self, one.name) for one in fields(Sampling)})

    def sampler(self, identity: str, prompt: Sequence[int]) -> Sampler:
        """The sampler of a request: the same whoever else is asked, and in whatever order.

        Args:
            identity: of the request.
            prompt: ids of its tokens, one for each image: which of them are there does not depend
                on how many tiles are fed.
        """
        mixed = (
            (self.seed,)
            if self.own_seed
            else (self.seed, xxhash.xxh3_64_intdigest(identity.encode()))
        )
        return Sampler(self.sampling, mixed, prompt)

    def reader(self, prompter: Prompter, prompt: str = "") -> AnswerReader:
        """What reads the answer to a prompt as the template wrote it.

        Raises:
            UsageError: for a stop text that cannot come.
        """
        return AnswerReader(prompter, prompt, self.stop, self.keep_special_tokens, self.think)

    def as_config(self) -> dict[str, Any]:
        """What answers depend on; what came later is named only where it changes something."""
        plain = Ask(self.prompt)
        asked = asdict(self) | {"stop": list(self.stop)}
        del asked["own_seed"], asked["messages"]  # which are of single requests
        later = [name for name in asked if name not in _FIRST_SETTINGS]
        for name in later:
            if getattr(self, name) == getattr(plain, name):
                del asked[name]
        return asked


@dataclass(frozen=True, slots=True, eq=False)
class Begun:
    """A request on its way to an answer: its row so far, and what the model is given."""

    row: AnswerRow
    job: Job
    reader: AnswerReader
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
        answer = begun.reader.read(made.tokens)
        begun.telling.end(answer.text)
        reason = FinishReason.STOP if answer.stopped else made.finish_reason
        warnings = [begun.row.warning, None if answer.closed else _STILL_THINKING]
        return replace(
            begun.row,
            answer=answer.text,
            thinking=answer.thinking,
            warning="; ".join(one for one in warnings if one) or None,
            finish_reason=reason.value,
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
        text = prompter.text(ask.messages or message_of(ask.prompt, len(images), ask.system))
        reader = ask.reader(prompter, text)
        ids = prompter.encoded(text)
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
    identity = row.custom_id or row.image_id or ask.prompt
    most = min(ask.max_new_tokens, room)
    telling = _Telling(on_text)
    watch = partial(reader.watch, None if on_text is None else telling)
    job = Job(patches, prompt, most, partial(ask.sampler, identity, ids), watch)
    return Begun(row, job, reader, telling)


def check_ask(model: ModelDirectory, ask: Ask) -> None:
    """See that a model can be asked this.

    Raises:
        UsageError: for bytes that are no text, words that stand for images, or a stop text that
            cannot come.
    """
    for text in (ask.prompt, ask.system or "", *ask.stop):
        try:
            text.encode()
        except UnicodeEncodeError:
            raise UsageError("the prompt, system or stop text is not valid Unicode") from None
    if model.config.image_token in model.prompter.ids(message_of(ask.prompt, 0, ask.system)):
        raise UsageError("the prompt names image tokens; leave them out, they are added")
    ask.reader(model.prompter)


def failed(row: AnswerRow, error: ImageError) -> AnswerRow:
    """The row of a request that could not be answered."""
    return replace(row, status=ERROR, error_code=error.code.value, error_message=error.message)


class _Telling:
    """Gives an answer on piece by piece, and at last what is left of it."""

    def __init__(self, on_text: Callable[[str], None] | None) -> None:
        self._on_text = on_text
        self._told = 0

    def __call__(self, text: str) -> None:
        if self._on_text is not None and text:
            self._on_text(text)
            self._told += len(text)

    def end(self, text: str) -> None:
        self(text[self._told :])


def all_tiles(kept: KeptTiles) -> KeptTiles:
    """All tiles of an image, rebuilt from those that are kept.

    Raises:
        UsageError: when it was coded by a method that cannot be decoded.
    """
    raster = PatchSet(kept.keep, kept.tiles, kept.options).reconstruct()
    keep = np.ones_like(kept.keep)
    return KeptTiles(keep, cut_tiles(raster, keep, kept.tile), kept.options)
