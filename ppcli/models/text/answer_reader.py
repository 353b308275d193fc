"""Turns generated tokens into the text of an answer: stop texts, special tokens, thinking."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ppcli.errors import UsageError, bounded
from ppcli.models.model_choices import Think
from ppcli.models.text.chat_tokenizer import ChatTokenizer
from ppcli.models.text.thinking import CLOSING, OPENING, opens_thinking, split_thinking

_REPLACEMENT = "\ufffd"  # decoded in place of a character whose bytes are incomplete
_MAX_INCOMPLETE = 3  # replacement characters at the end; some tokenizers write one for each byte
_WINDOW, _CONTEXT = 64, 16  # tokens; bounds how much is decoded again for each new token


@dataclass(frozen=True, slots=True)
class Answer:
    """The text of an answer.

    Attributes:
        text: the answer.
        thinking: the thinking that was separated from it; None if there is none.
        closed: the thinking ended before the answer did.
        stopped: a stop text ended the answer.
    """

    text: str
    thinking: str | None
    closed: bool
    stopped: bool


class AnswerReader:
    """Reads the tokens generated for one prompt.

    Args of the constructor:
        chat_tokenizer: of the model.
        prompt: the rendered prompt.
        stop: texts that end the answer; the first one to be complete counts.
        keep_special: keep special tokens in the text.
        think: what happens to the thinking.

    Raises:
        UsageError: a stop text can never occur.
    """

    def __init__(
        self,
        chat_tokenizer: ChatTokenizer,
        prompt: str = "",
        stop: Sequence[str] = (),
        keep_special: bool = False,
        think: Think = Think.KEEP,
    ) -> None:
        special = chat_tokenizer.special_tokens
        self._think = think
        self._opened = think is not Think.KEEP and opens_thinking(prompt)
        tags = set() if think is Think.KEEP else {OPENING, CLOSING} & special.keys()
        self._shown = special.keys() if keep_special else tags
        self._chat_tokenizer = chat_tokenizer
        self._stop = tuple(stop)
        self._stop_tokens = {special[text] for text in stop if text in special}
        for text in stop:
            within = [one for one in special.keys() - self._shown if one in text and one != text]
            if within:
                raise UsageError(
                    f"the stop text {bounded(text)} contains {within[0]}, which is removed from "
                    f"answers; use {within[0]} alone, or keep special tokens"
                )

    def read(self, tokens: Sequence[int]) -> Answer:
        """Return the text of a complete answer."""
        text = self._decode(tokens)
        ends = _find_stop(text, self._stop)
        text = text if ends is None else text[:ends]
        if self._think is Think.KEEP:
            return Answer(text, None, True, ends is not None)
        parts = split_thinking(text, self._opened)
        thinking = parts.thinking if self._think is Think.SPLIT else None
        return Answer(parts.answer, thinking, parts.closed, ends is not None)

    def watch(self, on_text: Callable[[str], None] | None = None) -> Callable[[int], bool]:
        """Return a function that takes each new token and returns whether the answer ends there.

        Args:
            on_text: receives the text in pieces, never half a character or part of a stop text.
                It is not called while thinking is separated, because a closing tag decides what
                the text before it was.
        """
        if self._think is not Think.KEEP:
            on_text = None
        if not self._stop and on_text is None:
            return lambda _: False
        decoder, held = _IncrementalDecoder(self._decode), ""
        max_held = max((len(text) for text in self._stop), default=1) - 1

        def ends_with(token: int) -> bool:
            nonlocal held
            held += decoder.add(token)
            if token in self._stop_tokens or _find_stop(held, self._stop) is not None:
                return True
            settled = max(0, len(held) - max_held)
            if on_text is not None and settled:
                on_text(held[:settled])
            held = held[settled:]
            return False

        return ends_with

    def _decode(self, tokens: Sequence[int]) -> str:
        return self._chat_tokenizer.decode(tokens, self._shown)


def _find_stop(text: str, stop: Sequence[str]) -> int | None:
    """Start of the stop text that is complete first; of several, the longest."""
    found = [(at + len(one), at) for one in stop if (at := text.find(one)) >= 0]
    return min(found)[1] if found else None


class _IncrementalDecoder:
    """Decodes tokens one by one, holding back incomplete characters.

    Args of the constructor:
        decode: decodes a sequence of tokens.
    """

    def __init__(self, decode: Callable[[Sequence[int]], str]) -> None:
        self._decode = decode
        self._tokens: list[int] = []
        self._returned = 0  # characters of the window's text

    def add(self, token: int) -> str:
        """Return the characters that this token completes."""
        self._tokens.append(token)
        text = self._decode(self._tokens)
        incomplete = len(text) - len(text.rstrip(_REPLACEMENT))
        settled = len(text) - min(incomplete, _MAX_INCOMPLETE)
        new = text[self._returned : settled]
        self._returned = max(self._returned, settled)
        if len(self._tokens) == _WINDOW:
            self._slide(len(text) - self._returned)
        return new

    def _slide(self, unreturned: int) -> None:
        """Drop all but the last tokens; `unreturned` characters of their text remain."""
        self._tokens = self._tokens[-_CONTEXT:]
        self._returned = max(0, len(self._decode(self._tokens)) - unreturned)
