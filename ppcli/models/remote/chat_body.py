"""Writes a request in the form of the OpenAI chat API."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import xxhash

from ppcli.coding.coder_options import CoderOptions
from ppcli.coding.sequence_options import Direction
from ppcli.models.remote.sent_image import SentImage
from ppcli.models.serving.generation_request import GenerationRequest
from ppcli.models.text.chat_tokenizer import Message, chat_messages

PLUGIN = "pixelprune"
_EXTENSIONS = {"top_k": 0, "min_p": 0.0, "repetition_penalty": 1.0}  # of vLLM, with their defaults
_SEED_BITS = 31


def pruning_fields(coder: CoderOptions | None, sequence: Direction | None = None) -> dict[str, Any]:
    """Return the fields that tell the plugin of vLLM how to prune the images of a request.

    Args:
        coder: selects the kept tiles; None keeps all.
        sequence: whether the images are frames of a sequence; None if each stands by itself.
    """
    options: dict[str, Any] = {"enabled": coder is not None}
    if coder is not None:
        options |= {
            "method": coder.method.value,
            "metric": coder.metric.value,
            "threshold": coder.threshold,
            "mode": coder.mode.value,
        }
        if sequence is not None:
            options["sequence"] = sequence.value
    return {"mm_processor_kwargs": {PLUGIN: options}}


def chosen_extensions(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that a server gets only if they are chosen.

    Without them it takes defaults of its own, which need not be those here.
    """
    return {name: settings[name] for name in _EXTENSIONS if name in settings}


def chat_body(
    model: str,
    request: GenerationRequest,
    images: Sequence[SentImage],
    identity: str,
    extra: dict[str, Any],
) -> bytes:
    """Return the body of a chat completion, JSON.

    Args:
        model: its name on the server.
        request: prompt and settings.
        images: in the order of the prompt.
        identity: of the request; its seed depends on it, as in `GenerationRequest.sampler`.
        extra: more fields.
    """
    messages = request.messages or chat_messages(request.prompt, len(images), request.system)
    body: dict[str, Any] = {
        "model": model,
        "messages": _messages(messages, iter(images)),
        "max_tokens": request.max_new_tokens,
        "temperature": request.temperature,
        "top_p": request.top_p,
        "presence_penalty": request.presence_penalty,
    }
    if request.temperature > 0:
        body["seed"] = _seed(request, identity)
    for name, default in _EXTENSIONS.items():
        if getattr(request, name) != default:
            body[name] = getattr(request, name)
    if request.stop:
        body["stop"] = list(request.stop)
    if request.keep_special_tokens:
        body["skip_special_tokens"] = False
    return json.dumps(body | request.server_fields | extra, ensure_ascii=False).encode()


def _messages(messages: Sequence[Message], images: Iterator[SentImage]) -> list[Message]:
    return [
        message
        if isinstance(message["content"], str)
        else message | {"content": [_part(part, images) for part in message["content"]]}
        for message in messages
    ]


def _part(part: Message, images: Iterator[SentImage]) -> Message:
    if part["type"] != "image":
        return part
    image = next(images)
    named = {} if image.name is None else {"uuid": image.name}
    detail = {"detail": part["detail"]} if "detail" in part else {}
    return {"type": "image_url", "image_url": {"url": image.as_url()} | detail, **named}


def _seed(request: GenerationRequest, identity: str) -> int:
    if request.has_own_seed:
        return request.seed
    mixed = xxhash.xxh3_64_intdigest(identity.encode(), request.seed)
    return mixed >> (64 - _SEED_BITS)
