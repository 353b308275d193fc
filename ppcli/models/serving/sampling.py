"""Choosing the next token."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ppcli.errors import UsageError

Logits = NDArray[np.float32]
_ALL = -1  # how vLLM writes a top-k of every token


@dataclass(frozen=True, slots=True)
class Sampling:
    """How tokens are chosen; as it is made, the likeliest one.

    Penalties come first, then the temperature, then what leaves tokens out, in the order and with
    the numbers of transformers' logits processors.

    Attributes:
        temperature: the logits are divided by it; at 0 the largest one is taken.
        top_p: the smallest set of tokens with at least this much of the probability is drawn from.
        top_k: only so many of the likeliest tokens are drawn from; 0 for all.
        min_p: only tokens with this share of the probability of the likeliest are drawn from.
        repetition_penalty: logits of tokens that the prompt or the answer has are divided by it
            where positive, multiplied where negative.
        presence_penalty: taken from the logits of tokens that the answer has.

    Raises:
        UsageError: for numbers out of range.
    """

    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    presence_penalty: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.temperature < float("inf"):
            raise UsageError(f"the temperature is {self.temperature}; it must be 0 or more")
        if not 0 < self.top_p <= 1:
            raise UsageError(f"top-p is {self.top_p}; it must be above 0 and at most 1")
        if self.top_k < _ALL:
            raise UsageError(f"top-k is {self.top_k}; it must be 1 or more, or 0 for all tokens")
        if not 0 <= self.min_p <= 1:
            raise UsageError(f"min-p is {self.min_p}; it must be from 0 to 1")
        if not 0 < self.repetition_penalty < float("inf"):
            raise UsageError(
                f"the repetition penalty is {self.repetition_penalty}; it must be above 0, "
                "and 1 changes nothing"
            )
        if not -2 <= self.presence_penalty <= 2:
            raise UsageError(
                f"the presence penalty is {self.presence_penalty}; it must be from -2 to 2, "
                "and 0 changes nothing"
            )


class Sampler:
    """Chooses the tokens of one answer, and remembers them.

    Args of the constructor:
        sampling: how.
        seed: of the request, one number or several.
        prompt: ids of its tokens, in any order.

    Raises:
        UsageError: for a seed below 0.
    """

    def __init__(
        self, sampling: Sampling, seed: tuple[int, ...] = (0,), prompt: Iterable[int] = ()
    ) -> None:
        if min(seed) < 0:
            raise UsageError(f"the seed is {min(seed)}; it must be 0 or more")
        self._how = sampling
        self._random = np.random.default_rng(seed)
        self._answer: set[int] = set()
        self._seen = set(prompt)

    def __call__(self, logits: Logits) -> int:
        """The token to go on with, of logits float32 (vocabulary)."""
        logits = self._penalised(logits)
        if self._how.temperature == 0:
            token = int(logits.argmax())
        else:
            tokens, chances = drawn_from(logits, self._how)
            token = int(self._random.choice(tokens, p=chances))
        self._answer.add(token)
        self._seen.add(token)
        return token

    def _penalised(self, logits: Logits) -> Logits:
        how = self._how
        if how.repetition_penalty != 1:
            seen = np.fromiter(self._seen, np.int64)
            logits = logits.copy()
            of_seen, penalty = logits[seen], np.float32(how.repetition_penalty)
            logits[seen] = np.where(of_seen < 0, of_seen * penalty, of_seen / penalty)
        if how.presence_penalty and self._answer:
            logits = logits.copy()
            logits[np.fromiter(self._answer, np.int64)] -= np.float32(how.presence_penalty)
        return logits


def drawn_from(logits: Logits, how: Sampling) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The tokens that are drawn from, and their chances, the likeliest first.

    Args:
        logits: float32 (vocabulary), penalised.
        how: with a temperature above 0.

    Returns:
        int64 (n,), and float64 (n,), which add up to 1.
    """
    scaled = (logits.astype(np.float64) - logits.max()) / how.temperature
    shares = np.exp(scaled)
    shares /= shares.sum()
    order = np.argsort(-shares, kind="stable")
    if 0 < how.top_k < len(order):
        as_likely = shares[order] >= shares[order[how.top_k - 1]]  # equals of the last one, too
        order = order[as_likely]
        shares = shares / shares[order].sum()
    running = np.cumsum(shares[order])
    order = order[: int(np.searchsorted(running, how.top_p)) + 1]
    order = order[shares[order] >= how.min_p * shares[order[0]]]
    return order, shares[order] / shares[order].sum()
