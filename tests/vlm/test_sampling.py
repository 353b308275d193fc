import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ppcli.errors import UsageError
from ppcli.vlm.sampling import Sampler

logits_of_eight = arrays(np.float32, 8, elements=st.floats(-20, 20, width=32))


@given(logits_of_eight)
def test_greedy_takes_the_first_of_the_largest(logits) -> None:
    assert Sampler()(logits) == int(np.argmax(logits))


@given(logits_of_eight, st.floats(0.1, 3), st.floats(0.05, 1))
def test_only_the_nucleus_is_drawn(logits, temperature: float, top_p: float) -> None:
    chances = np.exp(logits.astype(float) / temperature - logits.max() / temperature)
    chances /= chances.sum()
    sampler = Sampler(temperature, top_p, (1,))
    for _ in range(20):
        token = sampler(logits)
        likelier = chances[chances > chances[token]].sum()
        assert likelier < top_p + 1e-9


def test_draws_follow_the_chances() -> None:
    logits = np.log(np.array([0.5, 0.3, 0.15, 0.05], dtype=np.float32))
    sampler = Sampler(1.0, 1.0, (3,))
    counts = np.bincount([sampler(logits) for _ in range(4000)], minlength=4) / 4000
    assert np.abs(counts - [0.5, 0.3, 0.15, 0.05]).max() < 0.03
    cold = Sampler(0.5, 1.0, (3,))
    squared = np.array([0.5, 0.3, 0.15, 0.05]) ** 2
    counts = np.bincount([cold(logits) for _ in range(4000)], minlength=4) / 4000
    assert np.abs(counts - squared / squared.sum()).max() < 0.03


def test_a_seed_decides() -> None:
    logits = np.zeros(100, dtype=np.float32)

    def draws(*seed: int) -> list[int]:
        sampler = Sampler(1.0, 1.0, seed)
        return [sampler(logits) for _ in range(10)]

    assert draws(1, 2) == draws(1, 2)
    assert len({tuple(draws(1, 2)), tuple(draws(2, 1)), tuple(draws(1)), tuple(draws(1, 3))}) == 4


@pytest.mark.parametrize(
    ("numbers", "word"),
    [
        ((-1.0, 1.0, (0,)), "temperature"),
        ((float("nan"), 1.0, (0,)), "temperature"),
        ((1.0, 0.0, (0,)), "top-p"),
        ((1.0, 1.1, (0,)), "top-p"),
        ((1.0, 1.0, (-1,)), "seed"),
    ],
)
def test_numbers_out_of_range(numbers, word: str) -> None:
    with pytest.raises(UsageError, match=word):
        Sampler(*numbers)
