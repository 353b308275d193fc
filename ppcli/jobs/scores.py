"""How good answers are: the measures that document questions are scored by."""

import numpy as np
from numpy.typing import NDArray
from rapidfuzz.distance import Levenshtein

_ANLS_FLOOR = 0.5
_RELAXED_TOLERANCE = 0.05
_NORMAL_95 = 1.96
Floats = NDArray[np.float64]


def exact_match(answer: str, right: list[str]) -> float:
    """1 when the answer is one of the right ones, spaces around and capitals apart."""
    said = _plain(answer)
    return float(any(said == _plain(one) for one in right))


def anls(answer: str, right: list[str]) -> float:
    """The average normalised Levenshtein similarity of one answer (arXiv 1907.00490).

    1 − d/n for the nearest of the right answers, with d the edit distance and n the longer length;
    0 where that is less than a half.
    """
    said = _plain(answer)
    nearest = max(Levenshtein.normalized_similarity(said, _plain(one)) for one in right)
    return nearest if nearest > _ANLS_FLOOR else 0.0


def relaxed_match(answer: str, right: list[str]) -> float:
    """1 when a number is within 5 % of a right one, or a text equals one (arXiv 2203.10244)."""
    said = _number(answer)
    for one in right:
        wanted = _number(one)
        if said is None or wanted is None or wanted == 0:
            if _plain(answer) == _plain(one):
                return 1.0
        elif abs(said - wanted) <= _RELAXED_TOLERANCE * abs(wanted):
            return 1.0
    return 0.0


def _plain(text: str) -> str:
    return text.strip().casefold()


def _number(text: str) -> float | None:
    plain = text.strip()
    try:
        number = float(plain.removesuffix("%"))
    except ValueError:
        return None
    if not np.isfinite(number):
        return None
    return number / 100 if plain.endswith("%") else number


def interval(scores: Floats, groups: NDArray[np.int64], least: float = 0.0) -> tuple[float, float]:
    """The 95 % interval of a mean of scores that belong together in groups.

    Questions about one image are right or wrong together, so that images vary and not questions
    (the variance of a ratio of sums over groups). As Agresti and Coull (1998) advise, two more
    groups of the least score and two of the best, of the usual size, are counted in, without
    which nothing but right answers would seem to leave no doubt.

    Args:
        scores: (n,), not empty, from `least` to 1.
        groups: (n,), the image of each, from 0.
        least: 0, or −1 for differences.
    """
    counts = np.bincount(groups)
    usual = counts.mean()
    sums = np.append(np.bincount(groups, scores), np.array((least, least, 1, 1)) * usual)
    sizes = np.append(counts, (usual,) * 4)
    middle = sums.sum() / sizes.sum()
    error = np.sqrt(np.square(sums - middle * sizes).sum()) / sizes.sum()
    low, high = middle - _NORMAL_95 * error, middle + _NORMAL_95 * error
    mean = scores.mean()
    return float(max(least, min(low, mean))), float(min(1.0, max(high, mean)))
