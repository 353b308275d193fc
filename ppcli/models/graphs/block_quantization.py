"""Quantizes weights to 4 or 8 bits in blocks, as the operator MatMulNBits reads them."""

import numpy as np
from numpy.typing import NDArray

BLOCK = 32


def quantize(
    weight: NDArray[np.float32], bits: int
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Quantize a matrix symmetrically, in blocks along its inputs.

    A block is scaled so that its value of largest magnitude becomes −2^(bits−1). A level v stands
    for (v − 2^(bits−1)) · scale.

    Args:
        weight: float32 (outputs, inputs); the last block is padded with zeros.
        bits: 4 or 8.

    Returns:
        The levels, uint8 (outputs, blocks, BLOCK·bits/8), with the first of two 4-bit levels in
        the low half of a byte; and the scales, float32 (outputs, blocks).
    """
    outputs, inputs = weight.shape
    padded = np.pad(weight, ((0, 0), (0, -inputs % BLOCK)))
    blocks = padded.reshape(outputs, -1, BLOCK)
    middle = 1 << (bits - 1)
    largest = np.take_along_axis(blocks, np.abs(blocks).argmax(axis=2)[:, :, None], axis=2)[:, :, 0]
    scales = (largest / -middle).astype(np.float32)
    divisors = np.where(scales == 0, np.float32(1), scales)[:, :, None]
    levels = np.clip(np.rint(blocks / divisors) + middle, 0, 2 * middle - 1).astype(np.uint8)
    if bits == 4:
        levels = levels[:, :, 0::2] | (levels[:, :, 1::2] << 4)
    return levels, scales
