"""Weights in 4 or 8 bits, block by block, as the operator MatMulNBits reads them."""

import numpy as np
from numpy.typing import NDArray

BLOCK = 32


def quantized(
    weight: NDArray[np.float32], bits: int
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Round a matrix to a few bits, symmetrically in blocks along its inputs.

    A block is scaled so that its largest magnitude is −2^(bits−1) or the number below that; a
    value v stands for (v − 2^(bits−1)) · scale.

    Args:
        weight: float32 (outputs, inputs); inputs beyond whole blocks are filled with zeros.
        bits: 4 or 8.

    Returns:
        uint8 (outputs, blocks, BLOCK·bits/8), of 4 bits the first in the low half of a byte; and
        the scales, float32 (outputs, blocks).
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
