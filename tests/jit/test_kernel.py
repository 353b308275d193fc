"""Kernels that cannot be cached, because their code calls functions of Numba's runtime."""

import math
from pathlib import Path

import numpy as np
import pytest

from ppcli.coding import kernels, similarity
from ppcli.jit import kernel as module
from ppcli.jit.kernel import helper, kernel


@helper
def scaled(value: float, times: int) -> float:
    return math.gamma(value) * times


@kernel("float64[:] const")
def gammas(values: np.ndarray, times: int) -> int:
    for place in range(values.size):
        values[place] = scaled(values[place], times)
    return values.size


@pytest.mark.parametrize("disabled", [0, 1])
def test_code_that_only_numba_can_call_is_called_through_numba(
    tmp_path: Path, monkeypatch, caplog, disabled: int
) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr("numba.config.DISABLE_JIT", disabled)
    module._warn_of_release.cache_clear()
    gammas.loaded.clear()
    caplog.set_level("WARNING", "pixelprune")
    monkeypatch.setattr(module.logger, "propagate", True)
    for times in (1, 2, 1):
        values = np.array([3.0, 5.0, 6.0])
        assert gammas(values, times) == 3
        assert values.tolist() == [2.0 * times, 24.0 * times, 120.0 * times]
    [record] = caplog.records
    assert "cannot be cached" in record.getMessage()
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(TypeError, match="contiguous"):
        gammas(np.zeros(8)[::2], 1)


def test_code_depends_on_the_files_of_helpers_too() -> None:
    sources = module._sources(kernels.pred_2d_into.function)
    assert sources == sorted([kernels.__file__, similarity.__file__])
