"""Compares the counts of image tokens made here with the tokens that a server reports."""

import logging

from ppcli.jobs.bench_measures import Paired
from ppcli.models.remote.answering_server import ESTIMATED_COUNTS
from ppcli.store.rows import FULL, ScoreRow

logger = logging.getLogger("pixelprune")


class CountCheck:
    """Warns once if a server leaves out another number of tokens than were counted here.

    Images are fitted here as Qwen3-VL does. A checkpoint with other limits of its image size has
    other numbers of tokens.
    """

    def __init__(self) -> None:
        self._full: ScoreRow | None = None
        self._has_warned = False

    def of_row(self, row: ScoreRow) -> None:
        """Check a row against the row of the full image, which comes before it."""
        full = self._full
        if row.variant == FULL:
            self._full = row
        elif full is not None and full.custom_id == row.custom_id:
            tiles = Paired(row.tokens, row.kept)
            self.of_counts(tiles, Paired(full.prompt_tokens, row.prompt_tokens))

    def of_counts(self, tiles: Paired[int | None], prompt_tokens: Paired[int | None]) -> None:
        """Check the counts of one image.

        Args:
            tiles: all and kept, counted here.
            prompt_tokens: of the prompts with the full and with the pruned image; None if unknown.
        """
        here, there = _left_out(tiles), _left_out(prompt_tokens)
        if None in (here, there) or here == there or self._has_warned:
            return
        self._has_warned = True
        logger.warning("%s", ESTIMATED_COUNTS)


def _left_out(counts: Paired[int | None]) -> int | None:
    if counts.full is None or counts.pruned is None:
        return None
    return counts.full - counts.pruned
