"""From the tokens of an answer to its text: where it ends, and what of it is shown."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ppcli.errors import UsageError, bounded
from ppcli.models.model_choices import Think
from ppcli.models.text.chat_prompts import Prompter
from ppcli.models.text.thinking import CLOSING, OPENING, opens_thinking, told_apart

_UNFINISHED = "\ufffd"  # what the tokenizer gives for a character whose bytes are not all there
_BYTES_UNFINISHED = 3  # at most; some tokenizers give one for each
_WINDOW, _CONTEXT = 64, 16  # tokens; a text that grows is not decoded from its beginning each time
_Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Answer:
    """The text of an answer.

    Attributes:
        text: what is shown.
        thinking: what was told apart from it; None for nothing.
        closed: whether the thinking came to its end.
        stopped: whether a stop text ended it.
    """

    text: str
    thinking: str | None
    closed: bool
    stopped: bool


class AnswerReader:
    """Reads the tokens of the answer to one prompt.

    Args of the constructor:
        prompter: of the model.
        prompt: as the template wrote it.
        stop: texts; the answer ends before the one that is complete first.
        keep_special: whether special tokens are shown.
        think: what becomes of the thinking.

    Raises:
        UsageError: for a stop text that cannot come.
    """

    def __init__(
        self,
        prompter: Prompter,
        prompt: str = "",
        stop: Sequence[str] = (),
        keep_special: bool = False,
        think: Think = Think.KEEP,
    ) -> None:
        special = prompter.special_tokens
        self._think = think
        self._opened = think is not Think.KEEP and opens_thinking(prompt)
        tags = set() if think is Think.KEEP else {OPENING, CLOSING} & special.keys()
        self._shown = special.keys() if keep_special else tags
        self._prompter = prompter
        self._stop = tuple(stop)
        self._stop_tokens = {special[text] for text in stop if text in special}
        for text in stop:
            within = [one for one in special.keys() - self._shown if one in text and one != text]
            if within:
                raise UsageError(
                    f"the stop text {bounded(text)} holds {within[0]}, which answers are without; "
                    f"name {within[0]} alone, or keep special tokens"
                )

    def read(self, tokens: Sequence[int]) -> Answer:
        """The text of a whole answer."""
        text = self._text(tokens)
        ends = _first_stop(text, self._stop)
        text = text if ends is None else text[:ends]
        if self._think is Think.KEEP:
            return Answer(text, None, True, ends is not None)
        thought = told_apart(text, self._opened)
        thinking = thought.thinking if self._think is Think.SPLIT else None
        return Answer(thought.answer, thinking, thought.closed, ends is not None)

    def watch(self, tell: _Tell | None = None) -> Callable[[int], bool]:
        """What is told of each token as it comes, and says whether the answer ends there.

        Args:
            tell: given the text piece by piece, never half a character nor a part of a stop text;
                not while thinking is told apart, since a closing tag says what the text before
                it was.
        """
        if self._think is not Think.KEEP:
            tell = None
        if not self._stop and tell is None:
            return lambda _: False
        stream, held = _TextStream(self._text), ""
        most_held = max((len(text) for text in self._stop), default=1) - 1

        def ended(token: int) -> bool:
            nonlocal held
            held += stream.add(token)
            if token in self._stop_tokens or _first_stop(held, self._stop) is not None:
                return True
            settled = max(0, len(held) - most_held)
            if tell is not None and settled:
                tell(held[:settled])
            held = held[settled:]
            return False

        return ended

    def _text(self, tokens: Sequence[int]) -> str:
        return self._prompter.answer(tokens, self._shown)


def _first_stop(text: str, stop: Sequence[str]) -> int | None:
    """Where the stop text begins that is complete first; the longest of several."""
    found = [(at + len(one), at) for one in stop if (at := text.find(one)) >= 0]
    return min(found)[1] if found else None


class _TextStream:
    """Text that grows token by token; what it gives adds up to the text, without its end.

    Args of the constructor:
        text_of: decodes tokens.
    """

    def __init__(self, text_of: Callable[[Sequence[int]], str]) -> None:
        self._text_of = text_of
        self._tokens: list[int] = []
        self._given = 0

    def add(self, token: int) -> str:
        """The characters that are complete with this token."""
        self._tokens.append(token)
        text = self._text_of(self._tokens)
        unfinished = len(text) - len(text.rstrip(_UNFINISHED))
        settled = len(text) - min(unfinished, _BYTES_UNFINISHED)
        fresh = text[self._given : settled]
        self._given = max(self._given, settled)
        if len(self._tokens) == _WINDOW:
            self._slide(len(text) - self._given)
        return fresh

    def _slide(self, rest: int) -> None:
        """Forget all but the last tokens, of whose text so many characters are not given."""
        self._tokens = self._tokens[-_CONTEXT:]
        self._given = max(0, len(self._text_of(self._tokens)) - rest)
