"""From a message to token ids and back: the chat template and the tokenizer of a model."""

import json
import os
from collections.abc import Collection, Sequence
from datetime import datetime
from functools import cached_property
from typing import Any

from jinja2 import TemplateError
from jinja2.ext import loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment
from tokenizers import Tokenizer

from ppcli.errors import ModelError, UsageError
from ppcli.vlm.files import read_json

TOKENIZER, TOKENIZER_CONFIG = "tokenizer.json", "tokenizer_config.json"
TEMPLATE, TEMPLATE_JSON = "chat_template.jinja", "chat_template.json"
_KEY = "chat_template"

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

    Raises:
        ModelError: when the tokenizer or the chat template is missing or cannot be read.
    """

    def __init__(self, folder: str) -> None:
        self._tokenizer = _tokenizer(folder)
        self._config = read_json(os.path.join(folder, TOKENIZER_CONFIG)) or {}
        self._template = _compiled(_template(folder, self._config), folder)

    def ids(self, messages: Sequence[Message]) -> list[int]:
        """Token ids of messages, up to where the answer begins; one image token an image.

        Raises:
            UsageError: when the template refuses the messages.
        """
        return self.encoded(self.text(messages))

    def encoded(self, text: str) -> list[int]:
        """Token ids of messages that the template has written."""
        encoded: list[int] = self._tokenizer.encode(text, add_special_tokens=False).ids
        return encoded

    def text(self, messages: Sequence[Message]) -> str:
        """The messages as the template writes them.

        Raises:
            UsageError: when the template refuses them.
        """
        try:
            text: str = self._template.render(
                messages=messages, add_generation_prompt=True, **_special_tokens(self._config)
            )
        except Exception as error:  # a template is a program of somebody else
            raise UsageError(f"the chat template refuses the message: {error}") from error
        return text

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


def _tokenizer(folder: str) -> Any:  # noqa: ANN401
    path = os.path.join(folder, TOKENIZER)
    if not os.path.exists(path):
        raise ModelError(f"{folder} has no {TOKENIZER}")
    try:
        tokenizer = Tokenizer.from_file(path)
    except Exception as error:  # the library raises nothing more special
        raise ModelError(f"{path} cannot be read: {error}") from error
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def _template(folder: str, config: dict[str, Any]) -> str:
    """The chat template, wherever it lies: a file of its own wins."""
    try:
        with open(os.path.join(folder, TEMPLATE), encoding="utf-8") as file:
            return file.read()
    except FileNotFoundError:
        pass
    found = (read_json(os.path.join(folder, TEMPLATE_JSON)) or config).get(_KEY)
    if isinstance(found, list):  # several by name
        by_name = {one["name"]: one["template"] for one in found}
        found = by_name.get("default")
    if not isinstance(found, str):
        raise ModelError(f"{folder} has no chat template ({TEMPLATE}, or one in its tokenizer)")
    return found


def _compiled(template: str, folder: str) -> Any:  # noqa: ANN401
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols]
    )
    environment.filters["tojson"] = _to_json
    environment.globals |= {"raise_exception": _refuse, "strftime_now": _now}
    try:
        return environment.from_string(template)
    except TemplateError as error:
        raise ModelError(f"{folder}: the chat template makes no sense: {error}") from error


def _to_json(value: Any, indent: int | None = None, **options: Any) -> str:  # noqa: ANN401
    return json.dumps(value, ensure_ascii=False, indent=indent, **options)


def _refuse(message: str) -> None:
    raise TemplateError(message)


def _now(pattern: str) -> str:
    return datetime.now().strftime(pattern)


def _special_tokens(config: dict[str, Any]) -> dict[str, str]:
    """`bos_token` and its like, written as text or as an object with its content."""
    tokens = {}
    for name, value in config.items():
        if name.endswith("_token"):
            text = value.get("content") if isinstance(value, dict) else value
            if isinstance(text, str):
                tokens[name] = text
    return tokens
