"""The compiled kernels: with bounds checks, and without a writable cache folder."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import ppcli
from tests.coding.rasters import mask

ROOT = Path(__file__).parents[2]

WITH_BOUNDS_CHECKS = """
import json

import numba
import numpy as np

from ppcli import keep_mask, prune
from ppcli.coding import distinct_kernels, kernels
from ppcli.coding.similarity import MAX, lanes_of
from ppcli.coding.distinct import distinct_tiles
from ppcli.coding.coder_options import CoderOptions, Method
from ppcli.jit.kernel import Kernel
from tests.coding import rasters, twin


@numba.njit
def beyond(array):
    return array[array.size]


def raises_index_error(kernel, *arguments):
    try:
        kernel(*arguments)
    except IndexError:
        return True
    return False


def disagreements():
    wrong, compared = [], 0
    for index, sample in enumerate(rasters.fixed()):
        how = sample.metric, float(sample.threshold)
        for method in twin.METHODS:
            for mode in twin.MODES:
                for controls in ({"match_count": True}, {"skip_ratio": 0.5}, {}):
                    if controls and method != "conncomp":
                        continue
                    keep = keep_mask(
                        sample.raster, sample.tile, method, *how, mode=mode, **controls
                    ).tolist()
                    expected = twin.keep_mask(
                        sample.raster, sample.tile, method, *how, mode, **controls
                    )
                    compared += 1
                    if keep != expected:
                        wrong.append((index, method, mode))
            if method in twin.PREDICTIVE:
                patch_set = prune(sample.raster, sample.tile, method, *how)
                rebuilt = patch_set.reconstruct()
                expected = twin.reconstruct(
                    patch_set.keep.tolist(), patch_set.tiles, method, *how
                )
                compared += 1
                if not np.array_equal(rebuilt, expected):
                    wrong.append((index, method, "reconstruct"))
        every = np.ones_like(keep_mask(sample.raster, sample.tile))
        unique = distinct_tiles(sample.raster, every, sample.tile, CoderOptions(Method.RANDOM))
        compared += 1
        if unique != twin.distinct(sample.raster, sample.tile):
            wrong.append((index, "distinct"))
    return wrong, compared


wrong, compared = disagreements()
one_tile, two = np.zeros((4, 12), dtype=np.uint8), np.zeros((1, 2), dtype=np.bool_)
print(json.dumps({
    "wrong": wrong,
    "compared": compared,
    "checked": [
        raises_index_error(beyond, np.zeros(3)),
        raises_index_error(
            kernels.scan_into, one_tile, 4, lanes_of(12), MAX, 0, 1, 0, one_tile, two, two
        ),
    ],
    "never_called": [
        name
        for module in (kernels, distinct_kernels)
        for name, kernel in vars(module).items()
        if isinstance(kernel, Kernel) and not kernel.loaded
    ],
}))
"""

WITHOUT_A_CACHE = """
import json

import numpy as np

import ppcli
from ppcli.coding import kernels
from ppcli.coding.similarity import MAX
from ppcli.jit import cache

levels = np.array([[10, 13, 17], [10, 11, 20]], dtype=np.uint8)
raster = np.kron(levels[..., None], np.ones((7, 7, 3), dtype=np.uint8))
keep = ppcli.keep_mask(raster, 7, "pred_2d", "max", 4 / 255)
print(json.dumps({
    "keep": keep.tolist(),
    "package": ppcli.__file__,
    "folders": cache.folders(),
    "kept": cache.read(kernels.pred_2d_into.of(21, MAX).name) is not None,
}))
"""


def run(code: str, cwd: Path, **environment: str) -> dict:
    """Run code in a fresh Python with warnings as errors; return what it prints as JSON."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("NUMBA_") and name != "PYTHONPYCACHEPREFIX"
    }
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=cwd,
        env=inherited | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.slow
def test_no_kernel_reads_or_writes_out_of_bounds(tmp_path):
    """The cache folder is new, since code compiled without checks must not be loaded."""
    cache = tmp_path / "numba"
    done = run(
        WITH_BOUNDS_CHECKS,
        ROOT,
        PYTHONPATH=str(ROOT),
        NUMBA_BOUNDSCHECK="1",
        NUMBA_CACHE_DIR=str(cache),
    )
    assert done["wrong"] == []
    assert done["compared"] > 200
    assert done["checked"] == [True, True]
    assert done["never_called"] == []
    assert list(cache.glob("*.code"))


def copy_package(to: Path) -> Path:
    package = to / "ppcli"
    shutil.copytree(
        Path(ppcli.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__")
    )
    return package


@pytest.mark.slow
def test_without_a_folder_for_the_cache(tmp_path):
    """Every candidate folder lies below a regular file, so that not even root can write there.

    As a control, the same copy of the package does use a writable folder.
    """
    package = copy_package(tmp_path)
    (package / "__pycache__").write_text("not a folder")
    wall = tmp_path / "wall"
    wall.write_text("not a folder")
    nowhere = str(wall / "below")
    shut = {"HOME": nowhere, "XDG_CACHE_HOME": nowhere, "PYTHONPATH": str(tmp_path)}

    done = run(WITHOUT_A_CACHE, tmp_path, **shut)
    assert Path(done["package"]).parent == package
    assert len(done["folders"]) == 2
    assert not done["kept"]
    assert done["keep"] == mask("101", "000")

    cache = tmp_path / "cache"
    done = run(WITHOUT_A_CACHE, tmp_path, NUMBA_CACHE_DIR=str(cache), **shut)
    assert done["folders"] == [str(cache)]
    assert done["kept"]
    assert done["keep"] == mask("101", "000")
    assert list(cache.glob("*.code"))
