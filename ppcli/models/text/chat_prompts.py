"""From a message to token ids and back: the chat template and the tokenizer of a model."""

import os
from collections.abc import Collection, Iterator, Sequence
from functools import cached_property
from typing import Any

from ppcli.errors import ModelError, UsageError, bounded
from ppcli.models.model_files import check_regular, read_json
from ppcli.models.text.rendering import renderer_of
from ppcli.models.text.tokenizer import TOKENIZER_CONFIG, Tokens

TEMPLATE, TEMPLATE_JSON = "chat_template.jinja", "chat_template.json"
_PROCESSOR = "processor_config.json"
_KEY = "chat_template"
_MOST_TEMPLATE_BYTES = 4 << 20

Message = dict[str, Any]


def message_of(prompt: str, images: int, system: str | None = None) -> list[Message]:
    """One user turn: the images, then the prompt; the system's text before it, if there is any."""
    content: list[Message] = [{"type": "image"}] * images + [{"type": "text", "text": prompt}]
    user = {"role": "user", "content": content}
    return [user] if system is None else [{"role": "system", "content": system}, user]


def with_pages(messages: Sequence[Message], pages: Sequence[int]) -> list[Message]:
    """The messages with a part for each page of each image.

    Args:
        messages: whose content is text, or parts of which those of type `image` stand for one.
        pages: of each image, in order.
    """
    counts = iter(pages)
    return [
        message
        if isinstance(message["content"], str)
        else message
        | {
            "content": [
                copy
                for part in message["content"]
                for copy in [part] * (next(counts) if part["type"] == "image" else 1)
            ]
        }
        for message in messages
    ]


def with_system(messages: list[Message], system: str | None) -> list[Message]:
    """The messages, with a text of the system before them unless they have one."""
    if system is None or messages[0]["role"] == "system":
        return messages
    return [{"role": "system", "content": system}, *messages]


class Prompter:
    """Writes messages in the words of a model, and reads its answers.

    Args of the constructor:
        folder: a checkpoint or a model directory.

    Attributes:
        warnings: a sentence for each thing that its files say and that is not followed.

    Raises:
        ModelError: when the tokenizer or the chat template is missing or cannot be read.
    """

    def __init__(self, folder: str) -> None:
        render = renderer_of(_template(folder))  # its process starts while the tokenizer is read
        tokens = Tokens(folder)
        try:
            render.check()
        except UsageError as error:
            raise ModelError(f"{folder}: the chat template makes no sense: {error}") from error
        self._render, self._tokenizer = render, tokens.tokenizer
        self._given: Message = {"tools": None, "documents": None, "add_generation_prompt": True}
        self._given |= tokens.special
        self.warnings = tuple(tokens.warnings)

    def ids(self, messages: Sequence[Message]) -> list[int]:
        """Token ids of messages, up to where the answer begins; one image token an image.

        Raises:
            UsageError: when the template refuses the messages, or takes too much for them.
        """
        return self.encoded(self.text(messages))

    def encoded(self, text: str) -> list[int]:
        """Token ids of messages that the template has written."""
        encoded: list[int] = self._tokenizer.encode(text, add_special_tokens=False).ids
        return encoded

    def text(self, messages: Sequence[Message]) -> str:
        """The messages as the template writes them.

        Raises:
            UsageError: when the template refuses them, or takes too much for them.
        """
        return self._render({"messages": list(messages), **self._given})

    @cached_property
    def special_tokens(self) -> dict[str, int]:
        """The tokens that answers are shown without, and their ids."""
        added = self._tokenizer.get_added_tokens_decoder()
        return {token.content: number for number, token in added.items() if token.special}

    def answer(self, tokens: Sequence[int], shown: Collection[str] = ()) -> str:
        """The text of new tokens, special ones skipped, nothing stripped.

        Args:
            tokens: their ids.
            shown: special tokens that are not skipped.
        """
        skipped = {number for token, number in self.special_tokens.items() if token not in shown}
        plain = [token for token in tokens if token not in skipped]
        text: str = self._tokenizer.decode(plain, skip_special_tokens=False)
        return text

    def has(self, token: int) -> bool:
        """Whether the tokenizer knows a token of this id."""
        return self._tokenizer.id_to_token(token) is not None

    def word(self, token: int) -> str:
        """A token as the tokenizer writes it, fit to be shown."""
        return bounded(str(self._tokenizer.id_to_token(token)))


def _template(folder: str) -> str:
    """The chat template, wherever it lies; that of the tokenizer counts where there is no other."""
    own = dict(_templates(folder))
    if len(set(own.values())) > 1:
        raise ModelError(
            f"{folder}: the chat templates in {' and '.join(own)} differ; leave only the one that "
            "is meant"
        )
    found = next(iter(own.values()), None)
    if found is None:
        found = _default(read_json(os.path.join(folder, TOKENIZER_CONFIG)) or {})
    if found is None:
        raise ModelError(f"{folder} has no chat template ({TEMPLATE}, or one in its tokenizer)")
    return found


def _templates(folder: str) -> Iterator[tuple[str, str]]:
    path = os.path.join(folder, TEMPLATE)
    if check_regular(path, _MOST_TEMPLATE_BYTES):
        try:
            with open(path, encoding="utf-8") as file:
                yield TEMPLATE, file.read()
        except (OSError, ValueError) as error:
            raise ModelError(f"{path} cannot be read: {error}") from error
    for name in (TEMPLATE_JSON, _PROCESSOR):
        found = _default(read_json(os.path.join(folder, name)) or {})
        if found is not None:
            yield name, found


def _default(config: dict[str, Any]) -> str | None:
    """The template in a file of JSON: the only one, or that of several which is the default."""
    found = config.get(_KEY)
    if isinstance(found, list):
        named = [one for one in found if isinstance(one, dict) and one.get("name") == "default"]
        found = named[-1].get("template") if named else None
    elif isinstance(found, dict):
        found = found.get("default")
    return found if isinstance(found, str) else None
