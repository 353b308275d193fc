"""Separates a model's thinking from its answer."""

import re
from dataclasses import dataclass

OPENING, CLOSING = "<think>", "</think>"
_TAGS = re.compile(f"({OPENING}|{CLOSING})")


@dataclass(frozen=True, slots=True)
class SplitAnswer:
    """An answer in two parts.

    Attributes:
        thinking: text between the tags; None without tags.
        answer: text outside the tags.
        closed: the thinking ended before the answer did.
    """

    thinking: str | None
    answer: str
    closed: bool = True


def opens_thinking(prompt: str) -> bool:
    """Return whether a rendered prompt ends with an opening tag."""
    return prompt.rstrip().endswith(OPENING)


def split_thinking(text: str, opened: bool) -> SplitAnswer:
    """Separate the thinking from the text of an answer.

    A closing tag without an opening tag ends thinking that began with the answer: some templates
    put the opening tag into the prompt, and some models omit it. As in Qwen's chat templates,
    newlines next to the tags belong to neither part.

    Args:
        text: the answer with its tags.
        opened: the prompt ends with an opening tag.
    """
    parts = _TAGS.split(text)
    tags = parts[1::2]
    if not opened and not tags:
        return SplitAnswer(None, text)
    thinking = opened or tags[0] == CLOSING
    inside: list[str] = []
    outside: list[str] = []
    for number, part in enumerate(parts):
        if number % 2 == 0:
            (inside if thinking else outside).append(part)
        elif part == OPENING and not thinking:
            thinking = True
        elif part == CLOSING and thinking:
            thinking = False
        elif part == CLOSING or "".join(inside).strip():  # the text is about the tag itself
            (inside if thinking else outside).append(part)
    return SplitAnswer("".join(inside).strip("\n"), "".join(outside).lstrip("\n"), not thinking)
