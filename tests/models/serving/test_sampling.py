"""Choosing tokens against transformers' logits processors, on the same logits."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from transformers import (
    LogitsProcessorList,
    MinPLogitsWarper,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from ppcli.errors import UsageError
from ppcli.models.serving.sampling import Sampler, Sampling, drawn_from

pytestmark = pytest.mark.oracle

SIZE = 8
logits_of_eight = arrays(np.float32, SIZE, elements=st.floats(-20, 20, width=32))
hot = st.builds(
    Sampling,
    temperature=st.floats(0.1, 3),
    top_p=st.floats(0.05, 1),
    top_k=st.integers(0, SIZE + 1),
    min_p=st.floats(0, 1),
)


@given(logits_of_eight)
def test_greedy_takes_the_first_of_the_largest(logits) -> None:
    assert Sampler(Sampling())(logits) == int(np.argmax(logits))


def theirs(how: Sampling) -> LogitsProcessorList:
    """In the order in which `generate` has them."""
    made = LogitsProcessorList([TemperatureLogitsWarper(how.temperature)])
    if how.top_k > 0:
        made.append(TopKLogitsWarper(how.top_k))
    if how.top_p < 1:
        made.append(TopPLogitsWarper(how.top_p))
    made.append(MinPLogitsWarper(how.min_p))
    return made


@given(arrays(np.float32, SIZE, elements=st.integers(-9, 9).map(float), unique=True), hot)
def test_as_transformers_draws(logits, how) -> None:
    """Whole numbers, which no rounding brings into another order; borders may fall either way."""
    given_logits = torch.tensor(logits, dtype=torch.float64)[None]
    expected = torch.softmax(theirs(how)(torch.zeros(1, 0), given_logits)[0], 0).numpy()
    tokens, chances = drawn_from(logits, how)
    found = np.zeros(SIZE)
    found[tokens] = chances
    assert np.abs(found - expected).max() < 1e-6 or _at_a_border(logits, how)
    assert (np.diff(chances) <= 0).all()


def _at_a_border(logits: np.ndarray, how: Sampling) -> bool:
    """Whether a sum of chances, or a share, is the limit itself but for rounding."""
    chances = np.sort(np.exp((logits - logits.max()) / how.temperature))[::-1].astype(float)
    chances = chances[: how.top_k or None]
    sums = np.cumsum(chances / chances.sum())
    shares = chances / chances[0]
    return bool(np.abs(sums - how.top_p).min() < 1e-6 or np.abs(shares - how.min_p).min() < 1e-6)


def test_the_comparison_notices_another_order() -> None:
    """Top-p before top-k would leave other tokens."""
    logits = np.log(np.array([0.4, 0.3, 0.2, 0.1], np.float32))
    how = Sampling(1.0, top_p=0.5, top_k=2)
    assert drawn_from(logits, how)[0].tolist() == [0]  # 0.4 of 0.7 is enough
    assert drawn_from(logits, Sampling(1.0, top_p=0.5))[0].tolist() == [0, 1]


@given(
    logits_of_eight,
    st.lists(st.integers(0, SIZE - 1)),
    st.lists(st.integers(0, SIZE - 1)),
    st.floats(0.1, 3),
)
def test_the_repetition_penalty_of_transformers(logits, prompt, answer, penalty) -> None:
    sampler = Sampler(Sampling(repetition_penalty=penalty), prompt=prompt)
    for token in answer:
        choose(sampler, token)
    ids = torch.tensor([[*prompt, *answer]], dtype=torch.int64)
    expected = RepetitionPenaltyLogitsProcessor(penalty)(ids, torch.tensor(logits)[None])[0]
    assert np.array_equal(sampler._penalised(logits), expected.numpy())


def choose(sampler: Sampler, token: int) -> None:
    """Make it take a token, whatever its penalties."""
    wanted = np.full(SIZE, -1e30, np.float32)
    wanted[token] = 1e30
    assert sampler(wanted) == token


def test_the_presence_penalty_is_of_the_answer_alone() -> None:
    sampler = Sampler(Sampling(presence_penalty=1.5), prompt=[0, 1, 2])
    logits = np.array([3.0, 2.0, 1.0], np.float32)
    assert [sampler(logits) for _ in range(4)] == [0, 1, 0, 0]  # 3; 2 to 1.5; 1.5 to 0.5 and 1
    assert np.array_equal(sampler._penalised(logits), np.array([1.5, 0.5, 1.0], np.float32))
    assert np.array_equal(logits, [3, 2, 1])  # they are not ours to change


def test_repetition_comes_before_presence() -> None:
    sampler = Sampler(Sampling(repetition_penalty=2.0, presence_penalty=1.0))
    logits = np.array([4.0, 0.0], np.float32)
    assert sampler(logits) == 0
    assert np.array_equal(sampler._penalised(logits), [1, 0])


@given(logits_of_eight, st.floats(0.1, 3), st.floats(0.05, 1))
def test_only_the_nucleus_is_drawn(logits, temperature: float, top_p: float) -> None:
    chances = np.exp(logits.astype(float) / temperature - logits.max() / temperature)
    chances /= chances.sum()
    sampler = Sampler(Sampling(temperature, top_p), (1,))
    for _ in range(20):
        token = sampler(logits)
        likelier = chances[chances > chances[token]].sum()
        assert likelier < top_p + 1e-9


def test_draws_follow_the_chances() -> None:
    logits = np.log(np.array([0.5, 0.3, 0.15, 0.05], dtype=np.float32))
    sampler = Sampler(Sampling(1.0), (3,))
    counts = np.bincount([sampler(logits) for _ in range(4000)], minlength=4) / 4000
    assert np.abs(counts - [0.5, 0.3, 0.15, 0.05]).max() < 0.03
    cold = Sampler(Sampling(0.5), (3,))
    squared = np.array([0.5, 0.3, 0.15, 0.05]) ** 2
    counts = np.bincount([cold(logits) for _ in range(4000)], minlength=4) / 4000
    assert np.abs(counts - squared / squared.sum()).max() < 0.03


def test_a_seed_decides() -> None:
    logits = np.zeros(100, dtype=np.float32)

    def draws(*seed: int) -> list[int]:
        sampler = Sampler(Sampling(1.0), seed)
        return [sampler(logits) for _ in range(10)]

    assert draws(1, 2) == draws(1, 2)
    assert len({tuple(draws(1, 2)), tuple(draws(2, 1)), tuple(draws(1)), tuple(draws(1, 3))}) == 4


@pytest.mark.parametrize(
    ("setting", "word"),
    [
        ({"temperature": -1.0}, "temperature"),
        ({"temperature": float("nan")}, "temperature"),
        ({"top_p": 0.0}, "top-p"),
        ({"top_p": 1.1}, "top-p"),
        ({"top_k": -2}, "top-k"),
        ({"min_p": -0.1}, "min-p"),
        ({"min_p": float("nan")}, "min-p"),
        ({"repetition_penalty": 0.0}, "repetition penalty"),
        ({"repetition_penalty": float("inf")}, "repetition penalty"),
        ({"presence_penalty": 2.1}, "presence penalty"),
        ({"presence_penalty": float("nan")}, "presence penalty"),
    ],
)
def test_numbers_out_of_range(setting, word: str) -> None:
    with pytest.raises(UsageError, match=word):
        Sampling(**setting)


def test_a_seed_below_zero() -> None:
    with pytest.raises(UsageError, match="seed"):
        Sampler(Sampling(), (-1,))
