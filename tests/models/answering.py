"""One request at a time, with nothing else in the batch."""

from collections.abc import Callable, Sequence

from ppcli.coding.patchset import KeptTiles
from ppcli.errors import ImageError
from ppcli.models.serving.answering import Ask, Engine, failed
from ppcli.store.rows import AnswerRow


def answered(
    engine: Engine,
    row: AnswerRow,
    ask: Ask,
    images: Sequence[KeptTiles],
    on_text: Callable[[str], None] | None = None,
) -> AnswerRow:
    """The row with the answer, or with the error of the request."""
    try:
        begun = engine.begun(row, ask, images, on_text)
        engine.batch.begin(begun, begun.job)
    except ImageError as error:
        return failed(row, error)
    done: list = []
    while not done:
        done = engine.batch.step()
    return engine.finished(begun, done[0][1])
