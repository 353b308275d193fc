"""Chooses the next token from its logits."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ppcli.errors import UsageError

Logits = NDArray[np.float32]
_ALL = -1  # vLLM's top-k for all tokens


@dataclass(frozen=True, slots=True)
class Sampling:
    """How tokens are chosen; by default the most likely one.

    Penalties are applied first, then the temperature, then top-k, top-p and min-p, with the same
    order and arithmetic as transformers' logits processors.

    Attributes:
        temperature: divides the logits; 0 chooses the most likely token.
        top_p: draw from the smallest set of tokens with at least this total probability.
        top_k: draw from this many of the most likely tokens; 0 or -1 for all.
        min_p: draw from tokens with at least this share of the highest probability.
        repetition_penalty: divides the positive logits of tokens in the prompt or the answer, and
            multiplies the negative ones; 1 for none.
        presence_penalty: subtracted from the logits of tokens in the answer; 0 for none.

    Raises:
        UsageError: a number is out of range.
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
                f"the repetition penalty is {self.repetition_penalty}; it must be above 0; "
                "1 has no effect"
            )
        if not -2 <= self.presence_penalty <= 2:
            raise UsageError(
                f"the presence penalty is {self.presence_penalty}; it must be from -2 to 2; "
                "0 has no effect"
            )


class Sampler:
    """Chooses the tokens of one answer, and remembers them for the penalties.

    Args of the constructor:
        sampling: how tokens are chosen.
        seed: seed of the request, one number or several.
        prompt: token ids of the prompt, in any order.

    Raises:
        UsageError: a seed is negative.
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
        """Return the id of the next token, given its logits, float32 (vocabulary,)."""
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
    """Return the tokens to draw from and their probabilities, the most likely first.

    Args:
        logits: float32 (vocabulary,), with the penalties applied.
        how: the settings; the temperature is above 0.

    Returns:
        Token ids, int64 (n,), and probabilities, float64 (n,), which add up to 1.
    """
    scaled = (logits.astype(np.float64) - logits.max()) / how.temperature
    shares = np.exp(scaled)
    shares /= shares.sum()
    order = np.argsort(-shares, kind="stable")
    if 0 < how.top_k < len(order):
        as_likely = shares[order] >= shares[order[how.top_k - 1]]  # keeps ties with the last one
        order = order[as_likely]
        shares = shares / shares[order].sum()
    running = np.cumsum(shares[order])
    order = order[: int(np.searchsorted(running, how.top_p)) + 1]
    order = order[shares[order] >= how.min_p * shares[order[0]]]
    return order, shares[order] / shares[order].sum()
