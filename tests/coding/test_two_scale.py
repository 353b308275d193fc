"""The metric two_scale: max, and the means of blocks."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ppcli import keep_mask, prune
from ppcli.coding.coder_options import block_bound
from tests.coding import rasters, twin
from tests.strategies import cases, unhurried

TAU = Fraction(8, 255)


def kept(base: np.ndarray, other: np.ndarray, tau: Fraction = TAU, metric="two_scale") -> list:
    pair = np.concatenate([base, other], axis=1)
    keep = keep_mask(pair, len(base), "raster", metric, float(tau)).ravel().tolist()
    assert keep == twin.keep_mask(pair, len(base), "raster", metric, tau)[0]
    return keep


@pytest.mark.parametrize("tile", [5, 16, 28, 32, 40])
@pytest.mark.parametrize("tau", [Fraction(k, 510) for k in (1, 2, 3, 8, 13, 24)], ids=str)
def test_a_mean_up_to_a_quarter_and_not_beyond(tile: int, tau: Fraction) -> None:
    base = rasters.texture(1, tile)
    for place, block in enumerate(twin.blocks(base)):
        limit = int(255 * tau * block[..., 0].size / 4)
        for channel in range(3):
            for total in (limit, -limit, limit + 1, -limit - 1):
                other = rasters.tinted(base, place, total, channel)
                if np.abs(other.astype(int) - base).max() <= 255 * tau:
                    assert kept(base, other, tau) == [True, abs(total) > limit]


def test_signs_cancel_within_a_block_and_not_between_blocks() -> None:
    base = rasters.flat(100, 32)
    within, between = base.astype(int), base.astype(int)
    within[::2] += 8
    within[1::2] -= 8
    between[:, :16] += 3
    between[:, 16:] -= 3
    assert kept(base, within.astype(np.uint8)) == [True, False]
    assert kept(base, between.astype(np.uint8)) == [True, True]
    assert kept(base, between.astype(np.uint8), metric="max") == [True, False]


def test_a_byte_beyond_the_threshold() -> None:
    base = rasters.flat(100, 32)
    for step, keeps in ((8, False), (9, True)):
        other = base.copy()
        other[31, 31, 2] += step
        assert kept(base, other) == [True, keeps]


def test_the_full_range() -> None:
    for tau, keeps in ((Fraction(1), True), (Fraction(0), True)):
        assert kept(rasters.flat(0, 32), rasters.flat(255, 32), tau) == [True, keeps]
    assert kept(rasters.flat(0, 32), rasters.flat(63, 32), Fraction(1)) == [True, False]
    assert kept(rasters.flat(0, 32), rasters.flat(64, 32), Fraction(1)) == [True, True]


@unhurried
@given(tau=st.floats(0, 1), pixels=st.integers(1, 256))
def test_the_bound_of_a_block(tau: float, pixels: int) -> None:
    bound = block_bound(tau, pixels)
    limit = 255 * Fraction(tau) * pixels / 4 + Fraction(1, 10**6)
    assert bound <= limit + Fraction(1, 10**6)
    assert bound + 1 > limit - Fraction(1, 10**6)
    assert bound < 1 << 14


@pytest.mark.parametrize("method", ("pred_2d", "left_or_above_flat", "serpentine"))
@unhurried
@given(data=st.data())
def test_what_is_rebuilt_is_within_both(method: str, data: st.DataObject) -> None:
    case = data.draw(cases("two_scale"))
    tau = case.threshold
    rebuilt = prune(case.raster, case.tile, method, "two_scale", float(tau)).reconstruct()
    similar = twin.similarity("two_scale", tau, case.tile)
    for row, source in zip(
        twin.cut(rebuilt, case.tile), twin.cut(case.raster, case.tile), strict=True
    ):
        assert all(similar(a, b) for a, b in zip(row, source, strict=True))


def test_a_twin_that_looks_at_bytes_alone_is_found_out(monkeypatch) -> None:
    base = rasters.flat(100, 32)
    pair = np.concatenate([base, base + 3], axis=1)
    keep = keep_mask(pair, 32, "raster", "two_scale", float(TAU)).tolist()
    assert keep == twin.keep_mask(pair, 32, "raster", "two_scale", TAU)
    monkeypatch.setattr(twin, "within_blocks", lambda *_: True)
    assert keep != twin.keep_mask(pair, 32, "raster", "two_scale", TAU)


def test_auto_takes_the_same_threshold() -> None:
    raster = rasters.of_levels([[10, 13, 16]], 32)
    made = prune(raster, metric="two_scale", threshold="auto")
    assert made.options.threshold == prune(raster, threshold="auto").options.threshold == 3 / 255
