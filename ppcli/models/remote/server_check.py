"""Finds out at the start what a server has: its model, and whether it prunes images."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, TypeVar

import numpy as np

from ppcli.coding.coder_options import CoderOptions
from ppcli.errors import bounded
from ppcli.models.remote.chat_body import chat_body, pruning_fields
from ppcli.models.remote.chat_client import ChatClient
from ppcli.models.remote.sent_image import SentImage
from ppcli.models.remote.server_faults import Busy, Failed, Refused, TimedOut, Unusable
from ppcli.models.serving.generation_request import GenerationRequest

_SIDE = 512  # pixels; 256 tiles of Qwen3-VL
_CLEAR_DIFFERENCE = 100  # prompt tokens
_TRIES, _WAIT_SECONDS = 8, 0.5
_LONG_SECONDS = 5.0  # a longer wait is worth a word
_QUESTION = GenerationRequest("What is this?", max_new_tokens=1)
_Result = TypeVar("_Result")

logger = logging.getLogger("pixelprune")


class Pruning(Enum):
    """Whether a server prunes images."""

    BY_REQUEST = auto()  # the plugin follows the options of each request
    BY_SERVER = auto()  # the plugin follows the options that the server was started with
    NONE = auto()


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """What a server has.

    Attributes:
        model: the name of the model that is asked.
        pruning: whether it prunes images.
    """

    model: str
    pruning: Pruning


async def check_server(client: ChatClient, model: str | None) -> ServerFacts:
    """Ask a server for its models, and with a few tiny requests whether it prunes.

    A blank image has one kept tile, so a server that prunes feeds far fewer tokens.

    Args:
        client: of the server.
        model: name of the model; None if the server must have only one.

    Raises:
        ServerFault: the server cannot be used, or not now.
    """
    name = _chosen(await _patiently(client, client.model_names), model)
    return ServerFacts(name, await _pruning(client, name))


def _chosen(names: list[str], model: str | None) -> str:
    shown = bounded(", ".join(names)) or "none"
    if model is None:
        if len(names) != 1:
            raise Unusable(f"has several models; choose with --served-model: {shown}")
        return names[0]
    if model not in names:
        raise Unusable(f"has no model {bounded(model)}; it has {shown}")
    return model


async def _pruning(client: ChatClient, model: str) -> Pruning:
    blank = np.full((_SIDE, _SIDE, 3), 255, np.uint8)
    noise = np.random.default_rng(0).integers(0, 256, blank.shape, np.uint8)

    async def tokens(pixels: Any, extra: dict[str, Any]) -> int | None:  # noqa: ANN401
        body = chat_body(model, _QUESTION, [SentImage.of_pixels(pixels)], "", extra)
        return (await _patiently(client, lambda: client.complete(body))).prompt_tokens

    def is_clear(more: int | None, fewer: int | None) -> bool:
        return more is not None and fewer is not None and more - fewer >= _CLEAR_DIFFERENCE

    try:
        pruned = await tokens(blank, pruning_fields(CoderOptions()))
        whole = await tokens(blank, pruning_fields(None))
    except Refused:
        pruned = whole = None  # the server takes no options of a request
    if is_clear(whole, pruned):
        return Pruning.BY_REQUEST
    try:
        plain, detailed = await tokens(blank, {}), await tokens(noise, {})
    except Refused as fault:
        raise Unusable(f"refuses a request with an image: it {fault}") from fault
    return Pruning.BY_SERVER if is_clear(detailed, plain) else Pruning.NONE


async def _patiently(client: ChatClient, ask: Callable[[], Awaitable[_Result]]) -> _Result:
    """Repeat a request while the server is busy or fails, a few times."""
    for tries in range(1, _TRIES + 1):
        try:
            return await ask()
        except TimedOut as fault:
            raise Unusable(str(fault)) from fault
        except (Busy, Failed) as fault:
            if tries == _TRIES:
                raise Unusable(str(fault)) from fault
            asked = fault.seconds if isinstance(fault, Busy) else None
            seconds = _WAIT_SECONDS * tries if asked is None else asked
            if seconds >= _LONG_SECONDS:
                logger.warning("%s %s; waiting %.0f seconds", client.base_url, fault, seconds)
            await asyncio.sleep(seconds)
    raise AssertionError("unreachable")
