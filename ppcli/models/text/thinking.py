"""What models think before they answer, told apart from the answer."""

import re
from dataclasses import dataclass

OPENING, CLOSING = "<think>", "</think>"
_TAGS = re.compile(f"({OPENING}|{CLOSING})")


@dataclass(frozen=True, slots=True)
class Thought:
    """An answer in two parts.

    Attributes:
        thinking: what stands between the tags; None where there are none.
        answer: what stands outside.
        closed: whether the thinking came to its end.
    """

    thinking: str | None
    answer: str
    closed: bool = True


def opens_thinking(prompt: str) -> bool:
    """Whether the prompt as the template wrote it ends within thinking that it has begun."""
    return prompt.rstrip().endswith(OPENING)


def told_apart(text: str, opened: bool) -> Thought:
    """Take the thinking out of the text of an answer.

    A closing tag without an opening one before it ends thinking that began with the answer: some
    templates write the opening tag into the prompt, and some models leave it out. Newlines next
    to the tags are no part of either, as in the chat templates of Qwen.

    Args:
        text: of the answer, tags included.
        opened: whether the prompt ends with an opening tag.
    """
    parts = _TAGS.split(text)
    tags = parts[1::2]
    if not opened and not tags:
        return Thought(None, text)
    thinking = opened or tags[0] == CLOSING
    inside: list[str] = []
    outside: list[str] = []
    for place, part in enumerate(parts):
        if place % 2 == 0:
            (inside if thinking else outside).append(part)
        elif part == OPENING and not thinking:
            thinking = True
        elif part == CLOSING and thinking:
            thinking = False
        elif part == CLOSING or "".join(inside).strip():  # it is what is talked about
            (inside if thinking else outside).append(part)
    return Thought("".join(inside).strip("\n"), "".join(outside).lstrip("\n"), not thinking)
