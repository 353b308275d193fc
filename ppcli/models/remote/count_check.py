"""Compares the counts of image tokens made here with the tokens that a server reports."""

import logging

_MOST_TEXTS = 1_024

logger = logging.getLogger("pixelprune")


class CountCheck:
    """Warns once if a server feeds another number of image tokens than were counted here.

    Images are fitted here as Qwen3-VL does. A checkpoint with other limits of its image size has
    other numbers of tokens. Two prompts with the same text differ in their image tokens only, so
    the difference of their lengths must be that of the counts.
    """

    def __init__(self) -> None:
        self._text_tokens: dict[object, int] = {}
        self._has_warned = False

    def add(self, text: object, prompt_tokens: int | None, image_tokens: int | None) -> None:
        """Compare a prompt with an earlier one of the same text.

        Args:
            text: equal for prompts whose text and number of images are the same.
            prompt_tokens: length of the prompt, as the server reports it; None if unknown.
            image_tokens: fed tokens of its images, as counted here; None if unknown.
        """
        if self._has_warned or prompt_tokens is None or image_tokens is None:
            return
        if len(self._text_tokens) == _MOST_TEXTS:
            self._text_tokens.clear()
        rest = prompt_tokens - image_tokens
        if self._text_tokens.setdefault(text, rest) != rest:
            self._has_warned = True
            logger.warning(
                "the server fits images to other sizes than Qwen3-VL, so image tokens and kept "
                "ones are estimates; prompt tokens are exact"
            )
