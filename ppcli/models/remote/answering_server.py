"""Servers that turn requests into answer rows, as a loaded model does."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from ppcli.coding.patchset import PatchSet
from ppcli.coding.sequence_options import Direction
from ppcli.errors import ImageError
from ppcli.models.model_choices import Think
from ppcli.models.remote.chat_answers import Completion
from ppcli.models.remote.chat_body import chat_body, pruning_fields
from ppcli.models.remote.count_check import CountCheck
from ppcli.models.remote.sent_image import SentImage
from ppcli.models.remote.server_check import Pruning
from ppcli.models.remote.server_connection import ServerConnection
from ppcli.models.serving.generation_request import GenerationRequest
from ppcli.models.text.thinking import split_thinking
from ppcli.store.patch_codec import kept_tiles_of_image
from ppcli.store.rows import AnswerRow, PatchRow, as_error_row


@dataclass(frozen=True, slots=True)
class ServerRequest:
    """A request that is ready to be sent.

    Attributes:
        row: its columns so far.
        batch_request: the body, JSON.
        think: what happens to the thinking in its answer.
        on_text: receives the answer.
        text: all that determines its number of tokens besides the images; None if that is unknown.
    """

    row: AnswerRow
    batch_request: bytes
    think: Think
    on_text: Callable[[str], None] | None
    text: tuple[str, str | None, int] | None = None


class AnsweringServer:
    """Servers that answer requests.

    Args of the constructor:
        connection: to the servers.
        sequence: whether the images of a request are frames of a sequence; None if each stands by
            itself.

    Attributes:
        batch: takes requests and returns answers.
    """

    def __init__(self, connection: ServerConnection, sequence: Direction | None = None) -> None:
        self.batch = connection
        self._sequence = sequence
        self._model = connection.facts.model
        self._pruning = connection.facts.pruning
        self._counts = CountCheck()

    def start(
        self,
        row: AnswerRow,
        request: GenerationRequest,
        images: Sequence[PatchRow | SentImage],
        on_text: Callable[[str], None] | None = None,
    ) -> ServerRequest:
        """Write the body of a request.

        Args:
            row: the columns that are known already.
            request: prompt and settings.
            images: in the order of the prompt. Patch sets are rebuilt and sent as PNG.
            on_text: receives the answer.

        Raises:
            ImageError: `corrupt`, if a patch set is damaged.
        """
        started = time.perf_counter()
        identity = row.custom_id or row.image_id or request.prompt
        sent = [_as_sent(image) for image in images]
        coder = sent[0].coder if sent else None
        fields = pruning_fields(coder, self._sequence) if sent and self._is_told else {}
        body = chat_body(self._model, request, sent, identity, fields)
        if row.select_ms is not None:
            row = replace(row, select_ms=row.select_ms + (time.perf_counter() - started) * 1000)
        if sent and not self._is_told:
            row = replace(row, kept=row.tokens if self._pruning is Pruning.NONE else None)
        text = None if request.messages else (request.prompt, request.system, len(images))
        return ServerRequest(row, body, request.think, on_text, text)

    def finish(self, active: ServerRequest, result: Completion | ImageError) -> AnswerRow:
        """Return the row of a request that a server has answered."""
        if isinstance(result, ImageError):
            return as_error_row(active.row, result)
        text, thinking = result.text, result.thinking
        if active.think is not Think.KEEP and thinking is None:
            parts = split_thinking(text, opened=False)
            text, thinking = parts.answer, parts.thinking
        if active.think is Think.DROP:
            thinking = None
        if active.on_text is not None:
            active.on_text(text)
        if active.text is not None:
            self._counts.add(active.text, result.prompt_tokens, active.row.kept)
        return replace(
            active.row,
            answer=text,
            thinking=thinking,
            finish_reason=result.finish_reason,
            prompt_tokens=result.prompt_tokens,
            answer_tokens=result.answer_tokens,
            request_ms=result.seconds * 1000,
        )

    @property
    def _is_told(self) -> bool:
        """Whether each request tells the server how to prune."""
        return self._pruning is Pruning.BY_REQUEST


def _as_sent(image: PatchRow | SentImage) -> SentImage:
    if isinstance(image, SentImage):
        return image
    kept = kept_tiles_of_image(image)
    raster = PatchSet.of(kept).reconstruct()
    return SentImage.of_pixels(raster, kept.options)
