"""Sends requests to several servers at once, and repeats those that fail on the way."""

import asyncio
import heapq
import logging
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from ppcli.errors import ErrorCode, ImageError, ServerError
from ppcli.models.remote.chat_answers import Completion
from ppcli.models.remote.chat_client import ChatClient
from ppcli.models.remote.in_flight import InFlightLimit
from ppcli.models.remote.server_faults import (
    Broken,
    Busy,
    Denied,
    Failed,
    Refused,
    ServerFault,
    TimedOut,
    Unusable,
)

MOST_TRIES = 8
_MOST_TIMEOUTS = 3
PATIENCE_SECONDS = 600.0  # without a server that answers
_FIRST_WAIT, _LONGEST_WAIT = 0.25, 15.0
_AHEAD = 4  # requests that wait for a free place, so that the next is ready

logger = logging.getLogger("pixelprune")


@dataclass(slots=True, eq=False)
class Server:
    """One server, as the pool sees it.

    Attributes:
        client: talks to it.
        limit: requests at once.
        in_flight: requests that it has now.
        is_up: whether it takes requests.
        is_lost: whether it will not be asked again.
        paused_until: `time.monotonic` before which it gets no request.
        trouble: why it is down or paused; empty otherwise.
        pauses: refusals in a row because it was busy.
    """

    client: ChatClient
    limit: InFlightLimit
    in_flight: int = 0
    is_up: bool = True
    paused_until: float = 0.0
    is_lost: bool = False
    trouble: str = ""
    pauses: int = 0

    @property
    def name(self) -> str:
        """Its base URL."""
        return self.client.base_url

    def has_room(self, now: float) -> bool:
        """Return whether it may get one more request."""
        return self.is_up and now >= self.paused_until and self.in_flight < self.limit.value


@dataclass(order=True, slots=True)
class _Waiting:
    """A request that waits for a server; earlier requests come first."""

    number: int
    place: "asyncio.Future[Server]" = field(compare=False)


@dataclass(slots=True)
class _Tries:
    """How often a request came back without an answer.

    Attributes:
        failures: the server failed at it.
        timeouts: of these, because no answer came in time.
        stops: the server was of no use to any request, as far as one could tell.
    """

    failures: int = 0
    timeouts: int = 0
    stops: int = 0


class ServerPool:
    """Servers that share the requests of a run. Belongs to one event loop.

    A request that a server did not receive, or that it is too busy for, waits. A request that
    failed at a server is tried again, with growing waits: up to eight times, or three where no
    answer came in time. A server that cannot be reached gets no requests until it answers again.

    Args of the constructor:
        servers: at least one.
        check: called when a server that was down answers again; raises a `ServerFault` if it may
            not be used.
        streams: whether answers are streamed; the bodies must ask for it.
    """

    def __init__(
        self,
        servers: Sequence[Server],
        check: Callable[[ChatClient], Awaitable[None]],
        streams: bool = False,
    ) -> None:
        self._servers, self._streams = servers, streams
        self._check = check
        self._waiting: list[_Waiting] = []
        self._numbers = 0
        self._stalled_since: float | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.failure: ServerError | None = None

    @property
    def capacity(self) -> int:
        """How many requests are worth having: those in flight, and a few that wait."""
        places = sum(one.limit.value for one in self._servers if one.is_up)
        return max(1, places) + _AHEAD

    @property
    def limits(self) -> list[InFlightLimit]:
        """The limits of the servers that are up; of all if none is."""
        up = [one for one in self._servers if one.is_up]
        return [one.limit for one in up or self._servers]

    async def set_limits(self, fixed: int | None) -> None:
        """Begin anew with the limits.

        Args:
            fixed: requests at once to each server; None to adapt them.
        """
        for one in self._servers:
            one.limit = InFlightLimit(fixed)
        self._hand_out()

    def start(self) -> None:
        """Try again those servers that are down already."""
        for server in self._servers:
            if not server.is_up:
                self._spawn(self._revive(server))

    async def close(self) -> None:
        """Cancel what is under way, and close the connections."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(one.client.close() for one in self._servers))

    async def answer(self, body: bytes, number: int) -> Completion | ImageError:
        """Return the answer to a request, or the error of its row.

        Args:
            body: JSON of the chat completion.
            number: of the request; lower ones get a server first.
        """
        tries = _Tries()
        while True:
            server = await self._place(number)
            started = time.monotonic()
            try:
                server.limit.on_start(started, server.in_flight)
                client = server.client
                completion = await (client.stream(body) if self._streams else client.complete(body))
            except Refused as fault:
                self._on_answer(server, time.monotonic() - started)
                return fault.as_error()
            except ServerFault as fault:
                if await self._is_over(server, fault, tries):
                    said = f"{server.name} {fault} (tried {max(tries.failures, tries.stops)} times)"
                    return ImageError(ErrorCode.SERVER_ERROR, said)
            else:
                self._on_answer(server, completion.seconds)
                return completion
            finally:
                server.in_flight -= 1
                self._hand_out()
            if tries.failures:
                await asyncio.sleep(_wait(tries.failures))

    async def _is_over(self, server: Server, fault: ServerFault, tries: "_Tries") -> bool:
        """Count a try without an answer, and return whether there should be no further one."""
        if not isinstance(fault, Failed):
            self._set_aside(server, fault)
            tries.stops += isinstance(fault, Unusable)
        elif isinstance(fault, Broken) and await self._has_stopped(server, fault):
            tries.stops += 1
        else:
            tries.failures += 1
        if isinstance(fault, TimedOut):
            tries.timeouts += 1
            server.limit.on_refusal(time.monotonic())
        return tries.timeouts == _MOST_TIMEOUTS or MOST_TRIES in (tries.failures, tries.stops)

    async def _has_stopped(self, server: Server, fault: Broken) -> bool:
        """Return whether a server that broke a connection does not answer at all any more.

        Then the request is not at fault. A proxy before the server may take connections all the
        same.
        """
        if not server.is_up:
            return True
        try:
            await server.client.model_names()
        except ServerFault:
            self._set_aside(server, fault)
            return True
        return False

    async def _place(self, number: int) -> Server:
        """Wait for a server with room, and take a place there."""
        waiting = _Waiting(number, asyncio.get_running_loop().create_future())
        heapq.heappush(self._waiting, waiting)
        self._hand_out()
        try:
            return await waiting.place
        except asyncio.CancelledError:
            if waiting.place.done() and not waiting.place.cancelled():
                waiting.place.result().in_flight -= 1
            raise

    def _hand_out(self) -> None:
        """Give free places to the requests that wait, in their order."""
        now = time.monotonic()
        while self._waiting:
            free = [one for one in self._servers if one.has_room(now)]
            if not free:
                return
            waiting = heapq.heappop(self._waiting)
            if not waiting.place.done():
                server = min(free, key=lambda one: one.in_flight / one.limit.value)
                server.in_flight += 1
                waiting.place.set_result(server)

    def _on_answer(self, server: Server, seconds: float) -> None:
        self._stalled_since = None
        server.pauses, server.trouble = 0, ""
        server.limit.on_answer(time.monotonic(), seconds)

    def _set_aside(self, server: Server, fault: ServerFault) -> None:
        """Send no more requests to a server for now."""
        now = time.monotonic()
        self._stalled_since = self._stalled_since or now
        if isinstance(fault, Busy):
            server.limit.on_refusal(now)
            if now >= server.paused_until:  # of several refusals at once, the first counts
                server.pauses += 1
            seconds = _wait(server.pauses) if fault.seconds is None else fault.seconds
            server.paused_until = max(server.paused_until, now + seconds)
            server.trouble = str(fault)
            asyncio.get_running_loop().call_later(seconds + 0.01, self._hand_out)
        elif server.is_up:
            server.is_up, server.trouble = False, str(fault)
            if isinstance(fault, Denied):
                self._lose(server, fault)
                return
            logger.warning("%s %s; requests wait until it answers again", server.name, fault)
            self._spawn(self._revive(server))

    def _lose(self, server: Server, fault: Denied) -> None:
        """Never ask a server again."""
        server.is_lost, server.trouble = True, str(fault)
        if all(one.is_lost for one in self._servers):
            self.failure = self._no_server()
        else:
            logger.warning("%s %s; the other servers answer its requests", server.name, fault)

    def _no_server(self) -> ServerError:
        said = "; ".join(f"{one.name} {one.trouble}" for one in self._servers if one.trouble)
        return ServerError(f"no server answers: {said}. Run the same command again to go on")

    async def _revive(self, server: Server) -> None:
        """Ask a server again and again until it answers."""
        tries = 0
        while True:
            tries += 1
            await asyncio.sleep(_wait(tries))
            try:
                await self._check(server.client)
            except Denied as fault:
                self._lose(server, fault)
                return
            except ServerFault as fault:
                server.trouble = str(fault)
                continue
            logger.info("%s answers again", server.name)
            self._stalled_since = None
            server.is_up, server.trouble, server.pauses = True, "", 0
            self._hand_out()
            return

    def check_patience(self) -> None:
        """Note a failure if no server has answered for too long; called now and then."""
        since = self._stalled_since
        if since is None or any(one.in_flight for one in self._servers):
            return
        if time.monotonic() - since > PATIENCE_SECONDS:
            self.failure = self._no_server()

    def _spawn(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _wait(tries: int) -> float:
    """Return the seconds before the next try: doubled each time, half of it at random."""
    longest = min(_LONGEST_WAIT, _FIRST_WAIT * 2.0 ** (tries - 1))
    return longest * (0.5 + 0.5 * random.random())  # noqa: S311
