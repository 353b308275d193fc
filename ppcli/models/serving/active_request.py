"""A request that is ready for the batch: its prompt encoded, its images cut into patches."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from ppcli.coding.patchset import KeptTiles
from ppcli.errors import ErrorCode, ImageError, UsageError
from ppcli.models.kept_patches import patches_of_tiles
from ppcli.models.onnx.directory import ModelDirectory
from ppcli.models.serving.batch import BatchRequest
from ppcli.models.serving.generation_request import GenerationRequest
from ppcli.models.text.answer_reader import AnswerReader
from ppcli.models.text.chat_tokenizer import chat_messages
from ppcli.store.rows import AnswerRow


class StreamedText:
    """Passes an answer on in pieces as it grows, then the rest of it.

    Args of the constructor:
        on_text: receives each piece; None discards them.
    """

    def __init__(self, on_text: Callable[[str], None] | None) -> None:
        self._on_text = on_text
        self._sent = 0

    def __call__(self, piece: str) -> None:
        """Pass on the next piece."""
        if self._on_text is not None and piece:
            self._on_text(piece)
            self._sent += len(piece)

    def end(self, text: str) -> None:
        """Pass on what is left of the whole `text`."""
        self(text[self._sent :])


@dataclass(frozen=True, slots=True, eq=False)
class ActiveRequest:
    """A request between its prompt and its answer.

    Attributes:
        row: its columns so far.
        batch_request: what the batch feeds to the model.
        reader: turns the generated tokens into text.
        streamed: passes the text on as it grows.
    """

    row: AnswerRow
    batch_request: BatchRequest
    reader: AnswerReader
    streamed: StreamedText


def start_request(
    model: ModelDirectory,
    row: AnswerRow,
    request: GenerationRequest,
    images: Sequence[KeptTiles],
    on_text: Callable[[str], None] | None = None,
) -> ActiveRequest:
    """Encode the prompt of a request and cut its images into patches.

    Args:
        model: the model directory.
        row: the columns that are known already.
        request: prompt and settings.
        images: kept tiles of each image, in the order of the prompt.
        on_text: receives each piece of the answer as it is generated.

    Raises:
        ImageError: `bad_request` or `context_too_long`.
    """
    started = time.perf_counter()
    config, chat_tokenizer = model.config, model.chat_tokenizer
    keeps = [one.keep for one in images]
    try:
        messages = request.messages or chat_messages(request.prompt, len(images), request.system)
        text = chat_tokenizer.render(messages)
        reader = request.reader(chat_tokenizer, text)
        ids = chat_tokenizer.encode(text)
        prompt = config.layout_prompt(ids, keeps)
    except UsageError as error:
        raise ImageError(ErrorCode.BAD_REQUEST, str(error)) from error
    used = max(prompt.next_position, prompt.length)  # an image uses as many as its longer side
    room = config.max_positions - used
    if room < 1:
        raise ImageError(
            ErrorCode.CONTEXT_TOO_LONG,
            f"the prompt takes {used:,} positions; the model has {config.max_positions:,}",
        )
    patches = [patches_of_tiles(one, model.preset, config) for one in images]
    row = replace(
        row,
        kept=sum(int(np.count_nonzero(keep)) for keep in keeps) if images else None,
        prompt_tokens=prompt.length,
        select_ms=(row.select_ms or 0.0) + (time.perf_counter() - started) * 1000,
    )
    identity = row.custom_id or row.image_id or request.prompt
    streamed = StreamedText(on_text)
    watch = partial(reader.watch, None if on_text is None else streamed)
    sampler = partial(request.sampler, identity, ids)
    length = min(request.max_new_tokens, room)
    batch_request = BatchRequest(patches, prompt, length, sampler, watch)
    return ActiveRequest(row, batch_request, reader, streamed)


def check_request(model: ModelDirectory, request: GenerationRequest) -> None:
    """Check that a model can answer a prompt with these settings.

    Raises:
        UsageError: invalid Unicode, image tokens in the prompt, or a stop text that can never
            occur.
    """
    for text in (request.prompt, request.system or "", *request.stop):
        try:
            text.encode()
        except UnicodeEncodeError:
            raise UsageError("the prompt, system or stop text is not valid Unicode") from None
    ids = model.chat_tokenizer.encode_messages(chat_messages(request.prompt, 0, request.system))
    if model.config.image_token in ids:
        raise UsageError("the prompt contains image tokens; remove them, they are added for you")
    request.reader(model.chat_tokenizer)
