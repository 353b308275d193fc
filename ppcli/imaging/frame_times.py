"""Chooses which frames of a video become rows, from the times at which they are shown."""

from array import array
from bisect import bisect_right
from collections.abc import Iterable
from fractions import Fraction
from typing import NamedTuple


def chosen_times(
    times: Iterable[int], last_duration: int, time_base: Fraction, fps: float
) -> "array[int]":
    """Return the times of the frames that are on the screen at certain moments.

    The moments are 0, 1/fps, 2/fps and so on. They count from the first frame and are rounded to
    the unit of the file, as its times are. A frame that is on the screen at several moments is
    chosen once, so that no more frames are chosen than there are, whatever times a file claims.

    Args:
        times: when each frame appears, in units of `time_base`, in any order.
        last_duration: how long the last frame is shown, in the same unit; 0 if that is unknown.
        time_base: the unit, in seconds.
        fps: moments per second.

    Returns:
        Times in ascending order, the first frame among them; empty if there are no frames.
    """
    shown = sorted(set(times))
    if not shown:
        return array("q")
    if last_duration <= 0 and len(shown) > 1:
        last_duration = shown[-1] - shown[-2]
    between = 1 / (time_base * Fraction(repr(fps)))  # two moments, in units
    moments = [_moments_before(one - shown[0], between) for one in shown]
    moments.append(_moments_before(shown[-1] + last_duration - shown[0], between))
    chosen = (one for at, one in enumerate(shown) if moments[at] < moments[at + 1] or at == 0)
    return array("q", chosen)


def _moments_before(time: int, between: Fraction) -> int:
    """Return how many moments, rounded to units, lie before a time.

    Moment k is at floor(k · between + 1/2), which is at least `time` from
    k = (time - 1/2) / between on.
    """
    return max(0, -(-(2 * time - 1) * between.denominator // (2 * between.numerator)))


class KeyFrame(NamedTuple):
    """A frame at which decoding can begin.

    Attributes:
        time: when it is shown.
        place: when it is decoded, by which it is found in the file; not after `time`.
        number: of packets before it in the file.
    """

    time: int
    place: int
    number: int


class KeyFrames:
    """The key frames of a video, in little memory."""

    def __init__(self) -> None:
        self._times, self._places, self._numbers = array("q"), array("q"), array("q")

    def add(self, key: KeyFrame) -> None:
        """Add the next one in the order of the file."""
        if not self._times or key.time > self._times[-1]:  # else it never is the last before a time
            self._times.append(key.time)
            self._places.append(key.place)
            self._numbers.append(key.number)

    def before(self, time: int) -> KeyFrame | None:
        """Return the last one that is not after a time; None without any."""
        return self._at(bisect_right(self._times, time) - 1)

    def earlier(self, key: KeyFrame, packets: int) -> KeyFrame | None:
        """Return the last one at least so many packets before another; None without any."""
        return self._at(bisect_right(self._numbers, key.number - packets) - 1)

    def _at(self, at: int) -> KeyFrame | None:
        return None if at < 0 else KeyFrame(self._times[at], self._places[at], self._numbers[at])
