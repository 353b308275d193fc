import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ppcli.jobs.analyze import RatioHistogram

ratios = st.lists(st.integers(0, 10_000).map(lambda n: n / 10_000), min_size=1, max_size=50)


@given(ratios, st.sampled_from([1, 10, 50, 90, 100]))
def test_percentiles_are_those_of_numpy(values: list[float], percent: int) -> None:
    histogram = RatioHistogram()
    for value in values:
        histogram.add(value)
    assert histogram.percentile(percent) == pytest.approx(np.percentile(values, percent))


def test_nothing_counted() -> None:
    assert RatioHistogram().percentile(50) == 0
