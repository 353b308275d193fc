"""Answers one request at a time."""

from collections.abc import Callable, Sequence

from ppcli.coding.patchset import KeptTiles
from ppcli.errors import ImageError
from ppcli.models.serving.answering_model import AnsweringModel
from ppcli.models.serving.generation_request import GenerationRequest
from ppcli.store.rows import AnswerRow, as_error_row


def answered(
    engine: AnsweringModel,
    row: AnswerRow,
    ask: GenerationRequest,
    images: Sequence[KeptTiles],
    on_text: Callable[[str], None] | None = None,
) -> AnswerRow:
    """Answer a request that is alone in the batch.

    Returns:
        The row with the answer, or with the error of the request."""
    try:
        begun = engine.start(row, ask, images, on_text)
        engine.batch.start(begun, begun.batch_request)
    except ImageError as error:
        return as_error_row(row, error)
    done: list = []
    while not done:
        done = engine.batch.step()
    return engine.finish(begun, done[0][1])
