"""Turns chat messages into token ids and generated ids into text."""

import os
from collections.abc import Collection, Iterator, Sequence
from functools import cached_property
from typing import Any

from ppcli.errors import ModelError, UsageError, bounded
from ppcli.models.model_files import check_regular, read_json
from ppcli.models.text.template_process import make_renderer
from ppcli.models.text.tokenizer import TOKENIZER_CONFIG, ModelTokenizer

TEMPLATE, TEMPLATE_JSON = "chat_template.jinja", "chat_template.json"
_PROCESSOR = "processor_config.json"
_KEY = "chat_template"
_MAX_TEMPLATE_BYTES = 4 << 20

Message = dict[str, Any]


def chat_messages(prompt: str, images: int, system: str | None = None) -> list[Message]:
    """Return one user turn, the images before the prompt, after an optional system message."""
    content: list[Message] = [{"type": "image"}] * images + [{"type": "text", "text": prompt}]
    user = {"role": "user", "content": content}
    return [user] if system is None else [{"role": "system", "content": system}, user]


def expand_pages(messages: Sequence[Message], pages: Sequence[int]) -> list[Message]:
    """Repeat each image part of the messages once for each page of its image.

    Args:
        messages: with text or a list of parts as content. Parts of type `image` are images.
        pages: page count of each image, in order.
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
    """Put a system message before the messages unless they begin with one."""
    if system is None or messages[0]["role"] == "system":
        return messages
    return [{"role": "system", "content": system}, *messages]


class ChatTokenizer:
    """The tokenizer and the chat template of a model.

    Args of the constructor:
        folder: a checkpoint or a model directory.

    Attributes:
        warnings: a sentence for each setting in the model's files that is not followed.

    Raises:
        ModelError: the tokenizer or the chat template is missing or unreadable.
    """

    def __init__(self, folder: str) -> None:
        render = make_renderer(_template(folder))  # its process starts while the tokenizer loads
        loaded = ModelTokenizer(folder)
        try:
            render.check()
        except UsageError as error:
            raise ModelError(f"{folder}: the chat template is invalid: {error}") from error
        self._render, self._tokenizer = render, loaded.tokenizer
        self._variables: Message = {"tools": None, "documents": None, "add_generation_prompt": True}
        self._variables |= loaded.special
        self.warnings = tuple(loaded.warnings)

    def render(self, messages: Sequence[Message]) -> str:
        """Render messages with the chat template, up to where the answer begins.

        Raises:
            UsageError: the template rejects the messages, or exceeds its time or memory limit.
        """
        return self._render({"messages": list(messages), **self._variables})

    def encode(self, text: str) -> list[int]:
        """Return the token ids of a rendered prompt."""
        encoded: list[int] = self._tokenizer.encode(text, add_special_tokens=False).ids
        return encoded

    def encode_messages(self, messages: Sequence[Message]) -> list[int]:
        """Render messages and return their token ids, with one image token for each image.

        Raises:
            UsageError: see `render`.
        """
        return self.encode(self.render(messages))

    @cached_property
    def special_tokens(self) -> dict[str, int]:
        """Special tokens and their ids. Answers do not contain them by default."""
        added = self._tokenizer.get_added_tokens_decoder()
        return {token.content: number for number, token in added.items() if token.special}

    def decode(self, tokens: Sequence[int], shown: Collection[str] = ()) -> str:
        """Return the text of generated tokens, without special tokens, not stripped.

        Args:
            tokens: token ids.
            shown: special tokens to keep.
        """
        skipped = {number for token, number in self.special_tokens.items() if token not in shown}
        plain = [token for token in tokens if token not in skipped]
        text: str = self._tokenizer.decode(plain, skip_special_tokens=False)
        return text

    def has_token(self, token: int) -> bool:
        """Return whether the tokenizer has a token with this id."""
        return self._tokenizer.id_to_token(token) is not None

    def token_text(self, token: int) -> str:
        """Return a token as the tokenizer spells it, shortened for messages."""
        return bounded(str(self._tokenizer.id_to_token(token)))


def _template(folder: str) -> str:
    """Return the chat template; the tokenizer's own counts only if no other file has one."""
    own = dict(_templates(folder))
    if len(set(own.values())) > 1:
        raise ModelError(
            f"{folder}: the chat templates in {' and '.join(own)} differ; remove all but one"
        )
    found = next(iter(own.values()), None)
    if found is None:
        found = _default(read_json(os.path.join(folder, TOKENIZER_CONFIG)) or {})
    if found is None:
        raise ModelError(f"{folder} has no chat template ({TEMPLATE}, or one in its tokenizer)")
    return found


def _templates(folder: str) -> Iterator[tuple[str, str]]:
    path = os.path.join(folder, TEMPLATE)
    if check_regular(path, _MAX_TEMPLATE_BYTES):
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
    """Return the template in a JSON file: the only one, or the one named `default`."""
    found = config.get(_KEY)
    if isinstance(found, list):
        named = [one for one in found if isinstance(one, dict) and one.get("name") == "default"]
        found = named[-1].get("template") if named else None
    elif isinstance(found, dict):
        found = found.get("default")
    return found if isinstance(found, str) else None
