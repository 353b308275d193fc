"""Servers as the model of a run: what they need, and how they may prune."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from ppcli.coding.coder_options import CoderOptions, Method
from ppcli.coding.sequence_options import Direction
from ppcli.errors import ServerError, UsageError
from ppcli.imaging.fit_options import FitOptions
from ppcli.models.families.family_registry import DEFAULT_PRESET, get_preset
from ppcli.models.model_options import ModelOptions
from ppcli.models.remote.answering_server import AnsweringServer
from ppcli.models.remote.server_check import Pruning
from ppcli.models.remote.server_connection import ServerConnection
from ppcli.models.remote.server_options import ServerOptions
from ppcli.store.formats import Config

logger = logging.getLogger("pixelprune")


@dataclass(frozen=True, slots=True)
class ConnectedServers:
    """The servers of a run.

    Attributes:
        connection: to all of them.
        prune: whether they prune, as far as that is known.
        sequence: whether the images of a request are frames of a sequence; None if each stands by
            itself.
    """

    connection: ServerConnection
    prune: bool
    sequence: Direction | None = None

    @property
    def fit(self) -> FitOptions:
        """How images are fitted to count their tiles: as the preset of the default family does."""
        return FitOptions.of_preset(get_preset(DEFAULT_PRESET))

    @property
    def answering(self) -> AnsweringServer:
        """What turns requests into rows."""
        return AnsweringServer(self.connection, self.sequence)

    def as_config(self) -> Config:
        """Return what answers depend on; not the URLs, which may change between runs."""
        facts = self.connection.facts
        return {
            "model": facts.model,
            "device": "server",
            "pruned": facts.pruning.name.lower(),
        }


@contextmanager
def connected(
    servers: ServerOptions, coder: CoderOptions, prune: bool, sequence: Direction | None
) -> Iterator[ConnectedServers]:
    """Connect to the servers of a run, and disconnect at the end.

    Args:
        servers: their URLs.
        coder: how images are pruned.
        prune: whether they are.
        sequence: whether the images of a request are frames of a sequence; None if each stands by
            itself.

    Raises:
        ServerError: no server answers, or one cannot be used.
        UsageError: the servers do not take these options.
    """
    connection = ServerConnection(servers)
    try:
        is_default = coder == CoderOptions(seed=coder.seed) and sequence is None
        _check_pruning(connection.facts.pruning, is_default, prune)
        yield ConnectedServers(connection, prune, sequence)
    finally:
        connection.close()


@contextmanager
def connected_to_compare(
    servers: ServerOptions, streams: bool = False
) -> Iterator[ConnectedServers]:
    """Connect to servers that prune, or do not, as each request says; disconnect at the end.

    Args:
        servers: their URLs.
        streams: whether answers are streamed, which gives the time of their first token.

    Raises:
        ServerError: no server answers, or one cannot be used.
    """
    connection = ServerConnection(servers, streams)
    try:
        if connection.facts.pruning is not Pruning.BY_REQUEST:
            raise ServerError(f"{servers.urls[0]} {_NO_SWITCH[connection.facts.pruning]}")
        yield ConnectedServers(connection, True)
    finally:
        connection.close()


_NO_SWITCH = {
    Pruning.BY_SERVER: (
        "does not let a request say whether images are pruned, so it cannot be compared with "
        "itself; start vLLM with --trust-request-mm-kwargs"
    ),
    Pruning.NONE: (
        "does not prune, so there is nothing to compare; start vLLM with the plugin of pixelprune "
        "and with --trust-request-mm-kwargs"
    ),
}


def check_server_options(model: ModelOptions, batch_size: int | None, coder: CoderOptions) -> None:
    """Refuse options of a model in this process, and methods that servers do not have.

    Raises:
        UsageError: naming them.
    """
    if model != ModelOptions():
        raise UsageError("--server names the model; leave --model and the options of a device out")
    if batch_size is not None:
        raise UsageError("--batch-size is for a local model; servers take --in-flight")
    told = CoderOptions(coder.method, coder.metric, coder.mode, coder.threshold, seed=coder.seed)
    if coder != told:
        raise UsageError("servers take --method, --metric, --mode and --threshold alone")
    if coder.method is Method.RANDOM:
        raise UsageError("servers do not prune at random; --method random is for a local model")


def _check_pruning(pruning: Pruning, is_default: bool, prune: bool) -> None:
    """Refuse options of the coder that a server would ignore, and say what it does instead."""
    if pruning is Pruning.BY_REQUEST:
        return
    if pruning is Pruning.BY_SERVER:
        if not prune or not is_default:
            raise UsageError(
                "the server takes no options of the coder from a request; start vLLM with "
                "--trust-request-mm-kwargs, or leave them out"
            )
        logger.warning(
            "the server prunes with the options that it was started with; kept tiles are not "
            "counted"
        )
        return
    if not is_default:
        raise UsageError(
            "the server does not prune, so options of the coder have no effect; turn the plugin "
            "for vLLM on, or leave them out"
        )
    if prune:
        logger.warning("the server does not prune: it feeds every patch to the model")
