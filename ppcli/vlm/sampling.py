"""Choosing the next token."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ppcli.errors import UsageError


@dataclass(slots=True)
class Sampler:
    """Greedy at temperature 0, else drawn from the nucleus; one for each request.

    Attributes:
        temperature: the logits are divided by it.
        top_p: the smallest set of tokens with at least this much of the probability is drawn from.
        seed: of the request, one number or several.

    Raises:
        UsageError: for numbers out of range.
    """

    temperature: float = 0.0
    top_p: float = 1.0
    seed: tuple[int, ...] = (0,)
    _random: np.random.Generator = field(init=False)

    def __post_init__(self) -> None:
        if not 0 <= self.temperature < float("inf"):
            raise UsageError(f"the temperature is {self.temperature}; it must be 0 or more")
        if not 0 < self.top_p <= 1:
            raise UsageError(f"top-p is {self.top_p}; it must be above 0 and at most 1")
        if min(self.seed) < 0:
            raise UsageError(f"the seed is {min(self.seed)}; it must be 0 or more")
        self._random = np.random.default_rng(self.seed)

    def __call__(self, logits: NDArray[np.float32]) -> int:
        """The token to go on with, of logits float32 (vocabulary)."""
        if self.temperature == 0:
            return int(logits.argmax())
        scaled = (logits.astype(np.float64) - logits.max()) / self.temperature
        shares = np.exp(scaled)
        shares /= shares.sum()
        order = np.argsort(-shares, kind="stable")
        running = np.cumsum(shares[order])
        nucleus = order[: int(np.searchsorted(running, self.top_p)) + 1]
        chances = shares[nucleus] / shares[nucleus].sum()
        return int(self._random.choice(nucleus, p=chances))
