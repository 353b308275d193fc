"""A loaded model that turns requests into answer rows."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ppcli.coding.patchset import KeptTiles, PatchSet, cut_tiles
from ppcli.errors import ImageError
from ppcli.models.onnx.directory import ModelDirectory
from ppcli.models.onnx.sessions import Sessions
from ppcli.models.serving.active_request import ActiveRequest, start_request
from ppcli.models.serving.batch import Batch, FinishReason, Generated
from ppcli.models.serving.generation_request import GenerationRequest
from ppcli.models.serving.runner import Runner
from ppcli.store.patch_codec import kept_tiles_of_image
from ppcli.store.rows import AnswerRow, PatchRow, as_error_row

_STILL_THINKING = (
    "the answer ended while the model was thinking; raise --max-new-tokens to leave it more room"
)


class AnsweringModel:
    """A loaded model with its batch.

    Args of the constructor:
        model: the model directory.
        sessions: its graphs.
        prune: leave pruned tiles out; otherwise images are rebuilt and fed whole.
        batch_size: requests at once; None uses as many as help and fit into memory.
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

    def start(
        self,
        row: AnswerRow,
        request: GenerationRequest,
        images: Sequence[KeptTiles | PatchRow],
        on_text: Callable[[str], None] | None = None,
    ) -> ActiveRequest:
        """Prepare a request for the batch; see `start_request`.

        Raises:
            ImageError: `bad_request`, `context_too_long`, or `corrupt` for a damaged patch set.
        """
        kept = [one if isinstance(one, KeptTiles) else kept_tiles_of_image(one) for one in images]
        if not self._prune:
            kept = [rebuild_all_tiles(one) for one in kept]
        return start_request(self._model, row, request, kept, on_text)

    def finish(self, active: ActiveRequest, generated: Generated | ImageError) -> AnswerRow:
        """Return the row of a request that the batch has finished."""
        if isinstance(generated, ImageError):
            return as_error_row(active.row, generated)
        answer = active.reader.read(generated.tokens)
        active.streamed.end(answer.text)
        reason = FinishReason.STOP if answer.stopped else generated.finish_reason
        warnings = [active.row.warning, None if answer.closed else _STILL_THINKING]
        return replace(
            active.row,
            answer=answer.text,
            thinking=answer.thinking,
            warning="; ".join(one for one in warnings if one) or None,
            finish_reason=reason.value,
            answer_tokens=len(generated.tokens),
            vision_ms=generated.vision_ms,
            prefill_ms=generated.prefill_ms,
            decode_ms=generated.decode_ms,
        )


def rebuild_all_tiles(kept: KeptTiles) -> KeptTiles:
    """Rebuild every tile of an image from its kept tiles.

    Raises:
        UsageError: the pruning method cannot be decoded.
    """
    raster = PatchSet.of(kept).reconstruct()
    keep = np.ones_like(kept.keep)
    return KeptTiles(keep, cut_tiles(raster, keep, kept.tile), kept.options)
