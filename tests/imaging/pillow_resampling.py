"""A NumPy twin of bicubic resampling on integers, one axis at a time."""

import numpy as np

_BITS = 22


def _cubic(x: np.ndarray) -> np.ndarray:
    """Keys' kernel with a = −1/2."""
    a, x = -0.5, np.abs(x)
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = (((x - 5) * x + 8) * x - 4) * a
    return np.where(x < 1, near, np.where(x < 2, far, 0.0))


def _along_first_axis(pixels: np.ndarray, size: int) -> np.ndarray:
    length = pixels.shape[0]
    if size == length:
        return pixels
    scale = length / size
    stretch = max(scale, 1.0)
    out = np.empty((size, *pixels.shape[1:]), dtype=np.uint8)
    for i in range(size):
        centre = (i + 0.5) * scale
        first = max(0, int(centre - 2 * stretch + 0.5))
        last = min(length, int(centre + 2 * stretch + 0.5))
        weights = _cubic((np.arange(first, last) - centre + 0.5) * (1 / stretch))
        weights = weights / weights.sum()
        fixed = np.trunc(weights * (1 << _BITS) + np.where(weights < 0, -0.5, 0.5)).astype(np.int64)
        window = pixels[first:last].astype(np.int64)
        total = np.tensordot(fixed, window, axes=1) + (1 << (_BITS - 1))
        out[i] = np.clip(total >> _BITS, 0, 255)
    return out


def resampled(pixels: np.ndarray, width: int, height: int) -> np.ndarray:
    """Resample uint8 (h, w, 3) to (height, width, 3), horizontal pass first."""
    wide = _along_first_axis(pixels.swapaxes(0, 1), width).swapaxes(0, 1)
    return _along_first_axis(wide, height)
