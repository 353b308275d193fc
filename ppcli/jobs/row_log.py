"""Log messages about the rows of a run."""

import logging

from ppcli.store.rows import FULL, MainRow, ScoreRow, SweepRow

logger = logging.getLogger("pixelprune")


class RowLog:
    """Logs failed rows and warnings, and at debug level all others.

    A failure that all variants of a question share is logged once, and so is a page of a sweep.
    """

    def __init__(self) -> None:
        self._before: MainRow | None = None
        self._last: tuple[str | None, str | None] = None, None

    def __call__(self, row: MainRow) -> None:
        """Log a row."""
        before, self._before = self._before, row
        if isinstance(row, SweepRow) and row.is_same_page(before):
            return
        names = {"image_id": row.image_id}
        if (custom_id := getattr(row, "custom_id", None)) is not None:
            names["custom_id"] = custom_id
        if row.error_code is not None:
            self._log_failure(row, names)
            return
        if warning := getattr(row, "warning", None):
            logger.warning("%s: %s", row.image_id, warning, extra={"fields": names})
        if isinstance(row, ScoreRow):
            self._log_score(row, names)
            return
        tokens = "no image" if row.tokens is None else f"{row.kept} of {row.tokens} tokens kept"
        fields = {**names, "tokens": row.tokens, "kept": row.kept}
        logger.debug("%s: %s", custom_id or row.image_id, tokens, extra={"fields": fields})

    def _log_score(self, row: ScoreRow, names: dict[str, str | None]) -> None:
        verdict = "right" if row.exact else f"wrong, expected one of {row.answers}"
        logger.debug(
            "%s, %s: %s → %s (%s)",
            row.custom_id or row.image_id,
            row.variant,
            row.question,
            row.answer,
            verdict,
            extra={"fields": {**names, "variant": row.variant, "exact": row.exact}},
        )

    def _log_failure(self, row: MainRow, names: dict[str, str | None]) -> None:
        failure = names.get("custom_id") or row.image_id, row.error_message
        if isinstance(row, ScoreRow) and row.variant != FULL and failure == self._last:
            return
        self._last = failure
        log_failure(row.error_code, row.error_message, names)


def log_failure(code: str | None, message: str | None, names: dict[str, str | None]) -> None:
    """Log why an input failed; its names become fields of the line."""
    logger.warning("%s: %s", code, message, extra={"fields": {**names, "error_code": code}})
