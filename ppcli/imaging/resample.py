"""Antialiased bicubic resampling in integer arithmetic, byte for byte equal to Pillow's.

An output pixel is a weighted sum of a window of source pixels, its *taps*. Rows are treated as
bytes, so that inner loops access contiguous memory. Where all taps are equal, as on blank paper,
the result is a copy, since the weights sum to 1 within a small fraction of a level. Indices of
inner loops are unsigned, because the handling of negative indices prevents vectorisation.
"""

import math

import numpy as np
from numpy.typing import NDArray

from ppcli.jit.kernel import helper, kernel

Bytes = NDArray[np.uint8]
Indices = NDArray[np.int64]
Weights = NDArray[np.int32]
Sums = NDArray[np.int32]

# Weights have 22 fractional bits. The positive weights of a window sum to less than 1.5 (tested),
# so that a sum of taps fits in 32 bits: 1.5 · 255 · 2^22 + 2^21 < 2^31.
BITS = 22
ONE = 1 << BITS
HALF = 1 << (BITS - 1)

BUFFER = 1 << 19  # bytes between the passes, to fit in the L2 cache
TURNED_ROWS = 64  # rows transposed at a time
PIECE = 256  # bytes of a row that are tested for equal taps at a time
STRETCH = 2048  # bytes of a row summed at a time, to fit in the L1 cache
LONGEST_RUN = 80  # pixels that are tested for equal taps at a time
SHORT_RUN = 5  # average pixels below which transposing the rows is faster (measured)
MOST_EVEN = 8  # maximum taps to test; equal taps are rare in larger windows


def resample(pixels: Bytes, width: int, height: int) -> Bytes:
    """Resize an RGB image; the horizontal pass is first, and rounds to 8 bits.

    Equal to two calls of Pillow's `Image.resize` with BICUBIC, one per axis.

    Args:
        pixels: uint8 (h, w, 3), contiguous.
        width: width of the result, at least 1.
        height: height of the result, at least 1.

    Returns:
        uint8 (height, width, 3), contiguous; `pixels` itself if the size is the same.
    """
    rows, columns = pixels.shape[:2]
    if (rows, columns) == (height, width):
        return pixels
    source = pixels.reshape(rows, columns * 3)
    out = np.empty((height, width * 3), dtype=np.uint8)
    if columns == width:
        _vertical(source, *_taps(rows, height), out)
    elif rows == height:
        _Horizontal(columns, width).resample(source, out)
    else:
        _both(source, _Horizontal(columns, width), out)
    return out.reshape(height, width, 3)


class _Horizontal:
    """The horizontal pass from one width to another, with the faster of two algorithms."""

    def __init__(self, before: int, after: int) -> None:
        self._first, self._count, self._weights = _taps(before, after)
        self._runs = _runs(self._first, self._count)
        self._in_runs = after >= SHORT_RUN * (len(self._runs) - 1)
        if self._in_runs:
            self._weights = np.repeat(self._weights.T, 3, axis=1)

    def resample(self, source: Bytes, out: Bytes) -> None:
        """Fill `out`, (rows, after·3), from `source`, (rows, before·3)."""
        if self._in_runs:
            sums = np.empty(LONGEST_RUN * 3 + 8, dtype=np.int32)
            along_runs(source, self._first, self._count, self._weights, self._runs, sums, out)
        else:
            most = min(TURNED_ROWS, len(source)) * 3
            turned = np.empty((source.shape[1] // 3, most), dtype=np.uint8)
            result = np.empty((len(self._first), most), dtype=np.uint8)
            sums = np.empty(most, dtype=np.int32)
            across_rows(source, self._first, self._count, self._weights, turned, result, sums, out)


def _both(source: Bytes, horizontal: _Horizontal, out: Bytes) -> None:
    """Run both passes on a few rows at a time, so that the intermediate rows stay in the cache."""
    first, count, weights = _taps(len(source), len(out))
    size = max(weights.shape[1] + 16, BUFFER // out.shape[1])
    buffer = np.empty((min(size, len(source)), out.shape[1]), dtype=np.uint8)
    begin = end = y = 0  # the buffer contains source rows begin … end−1
    while y < len(out):
        low = int(first[y])
        kept = max(0, end - low)
        buffer[:kept] = buffer[end - begin - kept : end - begin]
        begin, end = low, min(low + len(buffer), len(source))
        horizontal.resample(source[begin + kept : end], buffer[kept : end - begin])
        stop = y + int(np.searchsorted(first[y:] + count[y:], end, side="right"))
        _vertical(buffer, first[y:stop] - low, count[y:stop], weights[y:stop], out[y:stop])
        y = stop


@helper
def _cubic(x: float) -> float:
    """Keys' kernel with a = −1/2."""
    x = abs(x)
    if x < 1.0:
        return (1.5 * x - 2.5) * x * x + 1.0
    if x < 2.0:
        return (((x - 5.0) * x + 8.0) * x - 4.0) * -0.5
    return 0.0


def _taps(before: int, after: int) -> tuple[Indices, Indices, Weights]:
    """Compute the windows that resize an axis from `before` to `after` pixels.

    Returns:
        (first, count, weights): the first source pixel and the number of taps of each window,
        both int64 (after,), and the weights, int32 (after, maximum taps).
    """
    scale = before / after
    stretch = max(scale, 1.0)
    most = min(before, math.ceil(2.0 * stretch) * 2 + 1)
    first = np.empty(after, dtype=np.int64)
    count = np.empty(after, dtype=np.int64)
    weights = np.zeros((after, most), dtype=np.int32)
    weigh(before, first, count, weights, np.empty(most, dtype=np.float64))
    return first, count, weights


@kernel("int int64[:] int64[:] int32[:,:] float64[:]")
def weigh(
    before: int,
    first: Indices,
    count: Indices,
    weights: Weights,
    window: NDArray[np.float64],
) -> int:
    """Fill the arrays of `_taps`; `window` is a buffer for the taps of one output."""
    after = len(first)
    scale = before / after
    stretch = max(scale, 1.0)
    for i in range(after):
        centre = (i + 0.5) * scale
        low = max(0, int(centre - 2.0 * stretch + 0.5))
        taps = min(before, int(centre + 2.0 * stretch + 0.5)) - low
        total = 0.0
        for t in range(taps):
            window[t] = _cubic((t + low - centre + 0.5) * (1.0 / stretch))
            total += window[t]
        for t in range(taps):
            share = window[t] / total * ONE
            weights[i, t] = int(share - 0.5) if share < 0.0 else int(share + 0.5)
        first[i], count[i] = low, taps
    return 0


def _runs(first: Indices, count: Indices) -> Indices:
    """Find runs of outputs whose windows have equal size and advance by one pixel.

    Returns:
        int64: the first output of each run, followed by the number of outputs.
    """
    starts = np.empty(len(first) + 1, dtype=np.int64)
    return starts[: find_runs(first, count, starts) + 1]


@kernel("int64[:] int64[:] int64[:]")
def find_runs(first: Indices, count: Indices, starts: Indices) -> int:
    """Fill `starts` as `_runs` returns it; return the number of runs."""
    runs = 0
    for i in range(len(first)):
        if (
            runs == 0
            or i == starts[runs - 1] + LONGEST_RUN
            or first[i] != first[i - 1] + 1
            or count[i] != count[i - 1]
        ):
            starts[runs] = i
            runs += 1
    starts[runs] = len(first)
    return runs


@kernel("uint8[:,:] int64[:] int64[:] int32[:,:] int64[:] int32[:] uint8[:,:]")
def along_runs(
    source: Bytes,
    first: Indices,
    count: Indices,
    weights: Weights,
    runs: Indices,
    sums: Sums,
    out: Bytes,
) -> int:
    """Run the horizontal pass for long runs; `weights` are (taps, width·3), one per byte."""
    for y in range(len(source)):
        for r in range(len(runs) - 1):
            left, size = runs[r] * 3, (runs[r + 1] - runs[r]) * 3
            taps, at = count[runs[r]], first[runs[r]] * 3
            a, b, place = np.uint64(at), np.uint64(at + 3), np.uint64(left)
            if _is_even(source, y, y, at, at + 3, size + 3 * (taps - 2)):
                for x in range(np.uint64(size)):
                    out[y, place + x] = source[y, a + x]
                continue
            # fill whole vectors; the following runs overwrite the excess
            room = min(out.shape[1] - left, source.shape[1] - at - (taps - 1) * 3)
            filled = min(size + 7 & ~7, room)
            if taps != 4:
                _slide(source, y, at, taps, weights, left, filled, sums, out)
                continue
            c, d = np.uint64(at + 6), np.uint64(at + 9)
            for x in range(np.uint64(filled)):
                total = np.int32(
                    HALF
                    + np.int32(source[y, a + x]) * weights[0, place + x]
                    + np.int32(source[y, b + x]) * weights[1, place + x]
                    + np.int32(source[y, c + x]) * weights[2, place + x]
                    + np.int32(source[y, d + x]) * weights[3, place + x]
                )
                out[y, place + x] = _level(total)
    return 0


@helper
def _level(total: np.int32) -> np.uint8:
    """Round a sum of taps, which includes HALF, to 8 bits."""
    return np.uint8(min(max(int(total) >> BITS, 0), 255))


@helper
def _is_even(rows: Bytes, i: int, j: int, left: int, right: int, size: int) -> bool:
    """Return whether `size` bytes of row i from `left` equal those of row j from `right`."""
    a, b = np.uint64(left), np.uint64(right)
    if size > 0 and rows[i, a] != rows[j, b]:
        return False
    differ = np.uint8(0)  # cast again below: Numba would widen it to 64 bits
    for x in range(np.uint64(max(size, 0))):
        differ = np.uint8(differ | (rows[i, a + x] ^ rows[j, b + x]))
    return bool(differ == 0)


@helper
def _slide(
    source: Bytes,
    y: int,
    at: int,
    taps: int,
    weights: Weights,
    left: int,
    size: int,
    sums: Sums,
    out: Bytes,
) -> None:
    """Write weighted sums along row y, `size` bytes from `left`; the first tap is at `at`."""
    n, place = np.uint64(size), np.uint64(left)
    for x in range(n):
        sums[x] = HALF
    for t in range(taps):
        a = np.uint64(at + t * 3)
        for x in range(n):
            sums[x] += np.int32(np.int32(source[y, a + x]) * weights[t, place + x])
    for x in range(n):
        out[y, place + x] = _level(sums[x])


@kernel("uint8[:,:] int64[:] int64[:] int32[:,:] uint8[:,:] uint8[:,:] int32[:] uint8[:,:]")
def across_rows(
    source: Bytes,
    first: Indices,
    count: Indices,
    weights: Weights,
    turned: Bytes,
    result: Bytes,
    sums: Sums,
    out: Bytes,
) -> int:
    """Run the horizontal pass as a vertical one on transposed rows."""
    before, after = source.shape[1] // 3, len(first)
    left = int(np.int64(0))
    for top in range(0, len(source), TURNED_ROWS):
        rows = min(TURNED_ROWS, len(source) - top)
        for y in range(rows):
            for x in range(before):
                for channel in range(3):
                    turned[x, y * 3 + channel] = source[top + y, x * 3 + channel]
        for x in range(after):
            _blend(turned, first[x], count[x], weights, x, left, rows * 3, sums, result)
        for y in range(rows):
            for x in range(after):
                for channel in range(3):
                    out[top + y, x * 3 + channel] = result[x, y * 3 + channel]
    return 0


def _vertical(source: Bytes, first: Indices, count: Indices, weights: Weights, out: Bytes) -> None:
    """Run the vertical pass from `source`, (h, bytes), to `out`, (height, bytes)."""
    down(source, first, count, weights, np.empty(STRETCH, dtype=np.int32), out)


@kernel("uint8[:,:] int64[:] int64[:] int32[:,:] int32[:] uint8[:,:]")
def down(
    source: Bytes, first: Indices, count: Indices, weights: Weights, sums: Sums, out: Bytes
) -> int:
    """Run the vertical pass."""
    start = int(np.int64(0))  # a literal 0 would compile the helpers a second time
    for y in range(len(out)):
        row, taps, begin = first[y], count[y], start
        while begin < out.shape[1]:
            end = begin
            while end < min(out.shape[1], begin + STRETCH):
                size = min(PIECE, out.shape[1] - end)
                if _is_even_below(source, row, taps, end, size):
                    break
                end += size
            if end > begin:
                _blend(source, row, taps, weights, y, begin, end - begin, sums, out)
            else:
                end = begin + size
                for x in range(np.uint64(begin), np.uint64(end)):
                    out[y, x] = source[row, x]
            begin = end
    return 0


@helper
def _is_even_below(rows: Bytes, first: int, taps: int, left: int, size: int) -> bool:
    """Return whether `taps` rows from `first` are equal in `size` bytes from `left`."""
    even = taps <= MOST_EVEN
    t = 1
    while even and t < taps:
        even = _is_even(rows, first, first + t, left, left, size)
        t += 1
    return even


@helper
def _blend(
    rows: Bytes,
    first: int,
    taps: int,
    weights: Weights,
    i: int,
    left: int,
    size: int,
    sums: Sums,
    out: Bytes,
) -> None:
    """Write weighted sums of `taps` rows from `first` to row i, `size` bytes from `left`."""
    n, at = np.uint64(size), np.uint64(left)
    if taps != 4:
        for x in range(n):
            sums[x] = HALF
    t = 0
    while t + 4 <= taps:
        a = first + t
        w0, w1, w2, w3 = weights[i, t], weights[i, t + 1], weights[i, t + 2], weights[i, t + 3]
        if taps == 4:
            for x in range(n):
                total = np.int32(
                    HALF
                    + np.int32(rows[a, at + x]) * w0
                    + np.int32(rows[a + 1, at + x]) * w1
                    + np.int32(rows[a + 2, at + x]) * w2
                    + np.int32(rows[a + 3, at + x]) * w3
                )
                out[i, at + x] = _level(total)
            return
        for x in range(n):
            sums[x] += np.int32(
                np.int32(rows[a, at + x]) * w0
                + np.int32(rows[a + 1, at + x]) * w1
                + np.int32(rows[a + 2, at + x]) * w2
                + np.int32(rows[a + 3, at + x]) * w3
            )
        t += 4
    while t < taps:
        w0 = weights[i, t]
        for x in range(n):
            sums[x] += np.int32(np.int32(rows[first + t, at + x]) * w0)
        t += 1
    for x in range(n):
        out[i, at + x] = _level(sums[x])


KERNELS = (weigh.of(), find_runs.of(), along_runs.of(), across_rows.of(), down.of())
