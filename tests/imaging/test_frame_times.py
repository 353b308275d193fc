from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from ppcli.imaging.frame_times import KeyFrame, KeyFrames, chosen_times

MS = Fraction(1, 1000)


def plainly(times: list[int], duration: int, base: Fraction, fps: float) -> list[int]:
    """Look at the screen at each moment."""
    shown = sorted(set(times))
    if duration <= 0:
        duration = shown[-1] - shown[-2] if len(shown) > 1 else 0
    end, chosen, k = shown[-1] + duration, [shown[0]], 0
    while (moment := shown[0] + int(k / (Fraction(str(fps)) * base) + Fraction(1, 2))) < end:
        chosen.append(max(one for one in shown if one <= moment))
        k += 1
    return sorted(set(chosen))


@given(
    st.lists(st.integers(-300, 300), min_size=1, max_size=12),
    st.integers(0, 40),
    st.sampled_from([MS, Fraction(1, 25), Fraction(1, 90000), Fraction(1001, 30000), Fraction(1)]),
    st.sampled_from([0.5, 1, 2, 3, 7.5, 23.976, 25, 29.97, 30, 1000]),
)
def test_a_frame_is_chosen_if_it_is_on_the_screen_at_a_moment(times, duration, base, fps) -> None:
    if (max(times) - min(times) + duration) * base * fps > 5_000:
        fps = 0.5
    assert list(chosen_times(times, duration, base, float(fps))) == plainly(
        times, duration, base, float(fps)
    )


def test_the_rate_of_a_video_gives_each_of_its_frames() -> None:
    """Matroska rounds times to milliseconds."""
    for rate in (24, 25, 30, 48, 60):
        times = [round(Fraction(1000 * at, rate)) for at in range(2000)]
        assert list(chosen_times(times, 0, MS, float(rate))) == times
        assert len(chosen_times(times, 0, MS, rate / 2)) in (1000, 1001)


def test_times_that_no_video_has_give_no_more_rows_than_frames() -> None:
    times = [0, 1, 2**61]
    assert list(chosen_times(times, 2**60, MS, 1000.0)) == times
    assert list(chosen_times([5], 2**62, MS, 2.0)) == [5]
    assert list(chosen_times([5], 0, MS, 2.0)) == [5]
    assert list(chosen_times([-(2**62), 7], -3, MS, 0.001)) == [-(2**62), 7]
    assert list(chosen_times([], 0, MS, 2.0)) == []


def test_the_nearest_key_frame_before_a_time() -> None:
    keys = KeyFrames()
    first, last = KeyFrame(10, 8, 0), KeyFrame(20, 18, 30)
    for key in (first, KeyFrame(5, 9, 20), last):  # the second is shown before the first
        keys.add(key)
    found = [keys.before(time) for time in (9, 10, 19, 20, 99)]
    assert found == [None, first, first, last, last]
    assert [keys.earlier(last, packets) for packets in (0, 30, 31)] == [last, first, None]
