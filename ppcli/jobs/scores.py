"""Scores of answers, with the measures that are usual for questions about documents."""

import numpy as np
from numpy.typing import NDArray
from rapidfuzz.distance import Levenshtein

_ANLS_FLOOR = 0.5
_RELAXED_TOLERANCE = 0.05
_NORMAL_95 = 1.96
Floats = NDArray[np.float64]


def exact_match(answer: str, right: list[str]) -> float:
    """Return 1 if the answer equals a right one, ignoring case and surrounding spaces; else 0."""
    given = _plain(answer)
    return float(any(given == _plain(one) for one in right))


def anls(answer: str, right: list[str]) -> float:
    """Return the normalized Levenshtein similarity to the nearest right answer (arXiv 1907.00490).

    It is 1 − d/n, where d is the edit distance and n the longer length; 0 if not above 0.5.
    """
    given = _plain(answer)
    nearest = max(Levenshtein.normalized_similarity(given, _plain(one)) for one in right)
    return nearest if nearest > _ANLS_FLOOR else 0.0


def relaxed_match(answer: str, right: list[str]) -> float:
    """Return 1 for a number within 5 % of a right one, or an equal text (arXiv 2203.10244)."""
    given = _number(answer)
    for one in right:
        wanted = _number(one)
        if given is None or wanted is None or wanted == 0:
            if _plain(answer) == _plain(one):
                return 1.0
        elif abs(given - wanted) <= _RELAXED_TOLERANCE * abs(wanted):
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
    """Return the 95 % confidence interval of a mean of grouped scores.

    Questions about one image tend to be right or wrong together, so the variance is that of a
    ratio of sums over images. Following Agresti and Coull (1998), two groups with the lowest score
    and two with the highest, of average size, are added: otherwise the interval of only right
    answers would have no width.

    Args:
        scores: float (n,), not empty, from `least` to 1.
        groups: int (n,), number of the image of each score, from 0.
        least: lowest score; 0, or −1 for differences.

    Returns:
        The lower and the upper bound.
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
