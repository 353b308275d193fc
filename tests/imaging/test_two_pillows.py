"""Two releases of Pillow, the same pixels and codes.

The variable PIXELPRUNE_OTHER_PILLOW names a folder that holds another one than is installed.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.imaging.digests import digests
from tests.imaging.formats import FORMATS
from tests.imaging.test_cut_files import FORMATS as WRITTEN
from tests.imaging.test_cut_files import files

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(scope="module")
def other() -> str:
    folder = os.environ.get("PIXELPRUNE_OTHER_PILLOW")
    if not folder:
        pytest.skip("PIXELPRUNE_OTHER_PILLOW is not set: no other Pillow to compare with")
    return folder


def under(pillow: str, folders: list[Path]) -> tuple[str, dict[str, list[str]]]:
    """Return the version that was used, and the results for the files."""
    paths = os.pathsep.join(path for path in (pillow, str(ROOT)) if path)
    done = subprocess.run(
        [sys.executable, "-m", "tests.imaging.digests", *map(str, folders)],
        check=True,
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": paths},
    )
    told = json.loads(done.stdout)
    return told["pillow"], told["files"]


def assert_agreed(other: str, folders: list[Path]) -> int:
    ours, theirs = under("", folders), under(other, folders)
    assert ours[0] != theirs[0], f"both are Pillow {ours[0]}"
    assert ours[1] == theirs[1]
    return len(ours[1])


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of formats that Pillow will drop
def test_every_kind_that_can_be_written(other: str, tmp_path) -> None:
    for name, cases in FORMATS.items():
        for number, case in enumerate(cases()):
            (tmp_path / f"{name} {number}").write_bytes(case.data)
    for name in WRITTEN:
        for mode, data in files(name):
            (tmp_path / f"{name} {mode}").write_bytes(data)
            (tmp_path / f"{name} {mode} cut").write_bytes(data[: len(data) // 2])
    assert assert_agreed(other, [tmp_path]) > 1000


def test_real_files(other: str, corpus: Path) -> None:
    folders = [corpus / "images", corpus / "hostile", corpus.parent / "cases" / "inputs"]
    assert assert_agreed(other, folders) > 200


def test_one_level_more_is_seen(tmp_path) -> None:
    pixels = np.zeros((9, 9, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    before = digests([tmp_path])
    pixels[4, 4, 1] += 1
    Image.fromarray(pixels).save(tmp_path / "a.png")
    after = digests([tmp_path])
    assert before.keys() == after.keys()
    assert before != after
