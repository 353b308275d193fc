"""Parses lines of an OpenAI batch file: messages, images and settings of a chat completion."""

from dataclasses import dataclass, field
from typing import Any

from ppcli.errors import bounded
from ppcli.inputs.fields import SETTINGS, Object, read, settings_of, text, whole, with_values
from ppcli.inputs.server_fields import AS_IT_IS, REFUSED, SERVER_FIELDS, WITHOUT_EFFECT, sendable

URL = "/v1/chat/completions"
_LINE = frozenset({"custom_id", "method", "url", "body"})
_OF_TOKENS = ("max_completion_tokens", "max_tokens")
_SETTINGS = frozenset(SETTINGS) - {"system", "max_new_tokens"}  # same names at OpenAI
_ROLES = ("system", "user", "assistant")
_SERVER_ROLES = (*_ROLES, "developer")
_DETAILS = ("auto", "high")  # images always have the highest resolution that the model accepts
_SERVER_DETAILS = (*_DETAILS, "low")


@dataclass(frozen=True, slots=True)
class Chat:
    """A conversation.

    Attributes:
        messages: in the form for chat templates; each image is a part `{"type": "image"}`, with its
            `detail` if a server answers.
        images: the paths or URLs in the messages, in order.
        settings: the settings in the body.
        server_fields: fields of the body that are sent to a server unchanged.
        model: the model that the body names; None if it names none.
    """

    messages: list[Object]
    images: list[str] = field(default_factory=list)
    settings: Object = field(default_factory=dict)
    server_fields: Object = field(default_factory=dict)
    model: str | None = None

    @property
    def asked(self) -> str:
        """The text of the last user message."""
        turns = [one["content"] for one in self.messages if one["role"] == "user"]
        last = turns[-1] if turns else ""
        if isinstance(last, str):
            return last
        return "\n".join(part["text"] for part in last if part["type"] == "text")


def is_batch_line(fields: Object) -> bool:
    """Whether a line has the fields of an OpenAI batch."""
    return "body" in fields


def chat_of(line: Object, for_server: bool = False) -> Chat:
    """Parse the conversation of a line.

    Args:
        line: its fields.
        for_server: a server answers it, so that the fields of the body that only servers know are
            kept. Otherwise they are refused.

    Raises:
        ValueError: a field is invalid or not supported; the message names it.
    """
    if unknown := sorted(set(line) - _LINE):
        raise ValueError(f"unknown fields next to body: {bounded(', '.join(unknown))}")
    if (method := line.get("method", "POST")) != "POST":
        raise ValueError(f"method is {bounded(str(method))}; only POST is supported")
    if (url := line.get("url", URL)) != URL:
        raise ValueError(f"url is {bounded(str(url))}; only {URL} is supported")
    body = line["body"]
    if not isinstance(body, dict):
        raise ValueError("body is not a JSON object")
    body = with_values(body)
    model = body.get("model")
    chat = Chat(
        [],
        settings=_settings(body),
        server_fields=_server_fields(body, for_server),
        model=model if isinstance(model, str) else None,
    )
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise ValueError("body has no messages")
    for number, message in enumerate(messages, 1):
        try:
            chat.messages.append(_message(message, chat.images, for_server))
        except ValueError as error:
            raise ValueError(f"message {number}: {error}") from None
    return chat


def _server_fields(body: Object, for_server: bool) -> Object:
    """Return the fields that are sent to a server as they are; check the names of all others."""
    kept: Object = {}
    for name in sorted(set(body) - {"messages", "model", *_OF_TOKENS, *_SETTINGS}):
        value = body[name]
        if for_server and name in SERVER_FIELDS | WITHOUT_EFFECT:
            kept[name] = read(name, value, sendable)
        elif name in WITHOUT_EFFECT or any(value == one for one in AS_IT_IS.get(name, ())):
            continue
        elif name in SERVER_FIELDS:
            raise ValueError(f"body sets {name}, which only a server can do (--server URL)")
        elif name in REFUSED:
            raise ValueError(f"body sets {name}, which is not supported: {REFUSED[name]}")
        else:
            raise ValueError(f"body sets {bounded(name)}, which is not a known field")
    return kept


def _settings(body: Object) -> Object:
    settings = settings_of({name: body[name] for name in _SETTINGS if name in body})
    limits = {read(name, body[name], whole) for name in _OF_TOKENS if name in body}
    if len(limits) > 1:
        raise ValueError(f"{' and '.join(_OF_TOKENS)} differ")
    if limits:
        settings["max_new_tokens"] = limits.pop()
    return settings


def _message(given: Any, images: list[str], for_server: bool) -> Object:  # noqa: ANN401
    """Parse a message and append its images to `images`."""
    if not isinstance(given, dict):
        raise ValueError("it is not a JSON object")
    fields = {name: value for name, value in with_values(given).items() if value != []}
    role = fields.get("role")
    if role not in (_SERVER_ROLES if for_server else _ROLES):
        raise ValueError(f"the role {bounded(str(role))} is not supported")
    if unknown := sorted(set(fields) - {"role", "content"}):
        raise ValueError(f"unsupported fields: {bounded(', '.join(unknown))}")
    content = fields.get("content")
    if isinstance(content, str):
        return {"role": role, "content": read("content", content, text)}
    if not isinstance(content, list):
        raise ValueError("content is neither a string nor a list of parts")
    return {
        "role": role,
        "content": [_part(part, str(role), images, for_server) for part in content],
    }


def _part(given: Any, role: str, images: list[str], for_server: bool) -> Object:  # noqa: ANN401
    if not isinstance(given, dict):
        raise ValueError("a part is not a JSON object")
    fields = with_values(given)
    kind = fields.get("type")
    if kind not in ("text", "image_url"):
        raise ValueError(f"parts of type {bounded(str(kind))} are not supported")
    if unknown := sorted(set(fields) - {"type", kind}):
        raise ValueError(f"unsupported fields in a part: {bounded(', '.join(unknown))}")
    value = fields.get(kind)
    if kind == "text":
        return {"type": "text", "text": read("text", value, text)}
    if role != "user":
        raise ValueError(f"the role {role} has an image; only the role user may have images")
    url, detail = _url(value, for_server)
    images.append(url)
    return {"type": "image"} | ({"detail": detail} if for_server and detail else {})


def _url(given: Any, for_server: bool) -> tuple[str, str | None]:  # noqa: ANN401
    """Return the URL of an image, which may be wrapped in an object, and its detail."""
    detail = None
    if isinstance(given, dict):
        fields = with_values(given)
        if unknown := sorted(set(fields) - {"url", "detail"}):
            raise ValueError(f"unsupported fields in image_url: {bounded(', '.join(unknown))}")
        detail = fields.get("detail")
        allowed = _SERVER_DETAILS if for_server else _DETAILS
        if detail is not None and detail not in allowed:
            raise ValueError(f"the detail {bounded(str(detail))} is not supported")
        given = fields.get("url")
    if not isinstance(given, str) or not given:
        raise ValueError("an image_url has no url")
    return str(read("url", given, text)), detail
