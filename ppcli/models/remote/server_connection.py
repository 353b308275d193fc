"""Servers as the thread of a run sees them: requests go in, answers come out."""

import asyncio
import logging
import queue
import threading
from typing import Any

from ppcli.errors import ImageError, ServerError, internal_error
from ppcli.models.remote.chat_answers import Completion
from ppcli.models.remote.chat_client import ChatClient
from ppcli.models.remote.in_flight import InFlightLimit
from ppcli.models.remote.server_check import ServerFacts, check_server
from ppcli.models.remote.server_faults import ServerFault, Unreachable, Unusable
from ppcli.models.remote.server_options import ServerOptions
from ppcli.models.remote.server_pool import Server, ServerPool

_POLL_SECONDS = 0.1
_MOST_BYTES = 1 << 30  # of all requests under way
_Done = list[tuple[Any, Completion | ImageError]]

logger = logging.getLogger("pixelprune")


class ServerConnection:
    """Connects to the servers, and answers several requests at once. A thread does the talking.

    Args of the constructor:
        options: the servers.
        streams: whether answers are streamed, which gives the time of their first token; the
            bodies must ask for it.

    Attributes:
        facts: what all servers have.

    Raises:
        ServerError: no server answers, one cannot be used, or two differ.
    """

    facts: ServerFacts

    def __init__(self, options: ServerOptions, streams: bool = False) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        # SimpleQueue.get waits for ever if a signal is handled while its timeout passes
        self._done: queue.Queue[tuple[Any, Completion | ImageError, int]] = queue.Queue()
        self._numbers = self._taken = self._bytes = 0
        self._served_model, self._streams = options.served_model, streams
        self._in_flight = options.in_flight
        self._pool: ServerPool | None = None
        try:
            self._pool = self.run(self._connected_pool(options))
        except BaseException:
            self.close()
            raise

    def run(self, work: Any) -> Any:  # noqa: ANN401
        """Run a coroutine in the thread, and return what it returns."""
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    async def _connected_pool(self, options: ServerOptions) -> ServerPool:
        servers = [
            Server(ChatClient(url, options.request_timeout), InFlightLimit(options.in_flight))
            for url in options.urls
        ]
        pool = ServerPool(servers, self._check_again, self._streams)
        try:
            await self._connect(servers, options)
        except BaseException:
            await pool.close()
            raise
        pool.start()
        return pool

    async def _connect(self, servers: list[Server], options: ServerOptions) -> None:
        """Check the servers, and note what they have.

        Raises:
            ServerError: no server answers, one cannot be used, or two differ.
        """
        checks = (check_server(one.client, options.served_model) for one in servers)
        found = await asyncio.gather(*checks, return_exceptions=True)
        facts: ServerFacts | None = None
        for server, one in zip(servers, found, strict=True):
            if isinstance(one, Unreachable):
                server.is_up, server.trouble = False, str(one)
            elif isinstance(one, ServerFault):
                raise ServerError(f"{server.name} {one}")
            elif isinstance(one, BaseException):
                raise one
            elif facts is None:
                facts = one
            elif facts != one:
                raise ServerError(f"{server.name} {_difference(facts, one)}")
        if facts is None:
            raise ServerError("; ".join(f"{one.name} {one.trouble}" for one in servers))
        for server in servers:
            if not server.is_up:
                logger.warning("%s %s; the others answer", server.name, server.trouble)
        self.facts = facts

    async def _check_again(self, client: ChatClient) -> None:
        found = await check_server(client, self._served_model)
        if found != self.facts:
            raise Unusable(_difference(self.facts, found))

    @property
    def active(self) -> int:
        """How many requests have no answer yet."""
        return self._numbers - self._taken

    @property
    def full(self) -> bool:
        """Whether more requests would only wait."""
        return self.active >= self._connected.capacity

    @property
    def in_flight_limits(self) -> list[int]:
        """How many requests each server may have at once now."""
        return [limit.value for limit in self._connected.limits]

    @property
    def is_settled(self) -> bool:
        """Whether more requests at once do not raise the throughput of any server."""
        return all(limit.is_settled for limit in self._connected.limits)

    def limit_in_flight(self, number: int | None) -> None:
        """Fix the requests at once to each server; None to adapt them anew.

        A number in the options of the constructor stays.
        """
        self.run(self._connected.set_limits(self._in_flight or number))

    @property
    def _connected(self) -> ServerPool:
        assert self._pool is not None
        return self._pool

    def can_start(self, body: bytes) -> bool:
        """Return whether the requests under way leave memory for one more."""
        return not self.active or self._bytes + len(body) <= _MOST_BYTES

    def start(self, key: Any, body: bytes) -> None:  # noqa: ANN401
        """Send a request as soon as a server has room.

        Args:
            key: comes back with the answer.
            body: see `chat_body`.
        """
        asyncio.run_coroutine_threadsafe(self._answer(key, body, self._numbers), self._loop)
        self._numbers += 1
        self._bytes += len(body)

    async def _answer(self, key: Any, body: bytes, number: int) -> None:  # noqa: ANN401
        try:
            result = await self._connected.answer(body, number)
        except Exception as error:
            result = internal_error(error)
        self._done.put((key, result, len(body)))

    def step(self) -> _Done:
        """Wait a moment for answers, and return those that have come.

        Raises:
            ServerError: no server answers any more.
        """
        pool, done = self._connected, []
        timeout = _POLL_SECONDS
        while True:
            try:
                key, result, size = self._done.get(block=timeout > 0, timeout=timeout)
            except queue.Empty:
                break
            done.append((key, result))
            self._bytes -= size
            timeout = 0
        self._taken += len(done)
        if not done:
            self._loop.call_soon_threadsafe(pool.check_patience)
            if pool.failure is not None:
                raise pool.failure
        return done

    def close(self) -> None:
        """Cancel the requests under way, and end the thread."""
        if self._loop.is_closed():
            return
        self.run(_cancel_all(self._pool))
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


async def _cancel_all(pool: ServerPool | None) -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    if pool is not None:
        await pool.close()


def _difference(facts: ServerFacts, other: ServerFacts) -> str:
    if facts.model != other.model:
        return f"has the model {other.model}, the first server {facts.model}"
    return "prunes images in another way than the first server"
