"""How many requests a server gets at once: more while that raises its throughput."""

from dataclasses import dataclass, field

from ppcli.models.remote.server_options import MOST_IN_FLIGHT

_FIRST = 4
_GAIN = 1.1  # a higher limit must raise the throughput by this factor
_SMALLEST_ROUND = 8  # answers
_ROUNDS_TO_HOLD = 8  # before a higher limit is tried again
_CALM_SECONDS = 1.0  # refusals that arrive together count once


@dataclass(slots=True)
class InFlightLimit:
    """The number of requests that one server may have at once.

    The throughput at a limit is the limit over the mean time of an answer (Little's law). The
    limit doubles while that raises the throughput, and goes back when it does not. Later it is
    doubled again now and then, since servers change. It is halved when the server refuses
    requests because it is busy.

    Attributes:
        fixed: the limit, if it does not adapt.
        value: the current limit.
    """

    fixed: int | None = None
    value: int = field(init=False)
    _before: int | None = field(default=None, init=False)  # the limit that a higher one must beat
    _best: float = field(default=0.0, init=False)  # its throughput, in answers a second
    _held: int = field(default=_ROUNDS_TO_HOLD, init=False)  # rounds at this limit
    _seconds: list[float] = field(default_factory=list, init=False)  # of the answers of the round
    _round_started: float | None = field(default=None, init=False)  # when the limit was reached
    _last_refusal: float = field(default=float("-inf"), init=False)

    def __post_init__(self) -> None:
        self.value = self.fixed or _FIRST

    @property
    def is_settled(self) -> bool:
        """Whether a higher limit has been found not to raise the throughput."""
        is_holding = self._before is None and self._held < _ROUNDS_TO_HOLD
        return self.fixed is not None or is_holding

    def on_start(self, now: float, in_flight: int) -> None:
        """Count a request that is sent.

        Args:
            now: seconds of a monotonic clock.
            in_flight: requests at the server, this one included.
        """
        if self._round_started is None and in_flight >= self.value:
            self._round_started = now

    def on_answer(self, now: float, seconds: float) -> None:
        """Count an answer; at the end of a round the limit may change.

        Args:
            now: seconds of a monotonic clock.
            seconds: that the answer took. Requests sent before the limit was reached do not
                count: they had fewer others beside them.
        """
        begun = self._round_started
        if self.fixed is not None or begun is None or now - seconds <= begun:
            return
        self._seconds.append(seconds)
        if len(self._seconds) < max(self.value, _SMALLEST_ROUND):
            return
        mean = sum(self._seconds) / len(self._seconds)
        if mean > 0:
            self._adapt(self.value / mean)
        self._begin_round()

    def on_refusal(self, now: float) -> None:
        """Halve the limit: the server is busy, or did not answer in time."""
        if self.fixed is not None or now - self._last_refusal < _CALM_SECONDS:
            return
        self._last_refusal = now
        self.value = max(1, self.value // 2)
        self._before, self._held = None, 0
        self._begin_round()

    def _begin_round(self) -> None:
        self._seconds, self._round_started = [], None

    def _adapt(self, throughput: float) -> None:
        if self._before is None:
            self._held += 1
            if self._held < _ROUNDS_TO_HOLD:
                return
        elif throughput < self._best * _GAIN:
            self.value, self._before, self._held = self._before, None, 0
            return
        self._before, self._best = self.value, throughput
        self.value = min(MOST_IN_FLIGHT, self.value * 2)
