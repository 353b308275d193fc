import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ppcli.run.summary import RatioHistogram

ratios = st.lists(st.integers(0, 10_000).map(lambda n: n / 10_000), min_size=1, max_size=50)


@given(ratios, st.sampled_from([1, 10, 50, 90, 100]))
def test_percentiles_by_nearest_rank(values: list[float], percent: int) -> None:
    histogram = RatioHistogram()
    for value in values:
        histogram.add(value)
    expected = np.percentile(values, percent, method="inverted_cdf")
    assert histogram.percentile(percent) == expected


def test_nothing_counted() -> None:
    assert RatioHistogram().percentile(50) == 0
