"""The cache of compiled kernels: intact and damaged files, and how commands report them."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ppcli.jit import cache

ROOT = Path(__file__).parents[2]

SELECT = """
import json, sys
import numpy as np
from ppcli import keep_mask
levels = np.array([[10, 13, 17], [10, 11, 20]], dtype=np.uint8)
raster = np.kron(levels[..., None], np.ones((7, 7, 3), dtype=np.uint8))
print(json.dumps([keep_mask(raster, 7, threshold=4 / 255).tolist(), "numba" in sys.modules]))
"""
KEPT = [[True, False, True], [False, False, False]]


def flip_one_bit(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[len(data) * 2 // 3] ^= 4
    file.write_bytes(data)


def flip_a_bit_of_the_digest(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[0] ^= 1
    file.write_bytes(data)


def make_a_folder_of(file: Path) -> None:
    file.unlink()
    file.mkdir()
    (file / "something").write_text("in it")


def make_a_loop_of(file: Path) -> None:
    file.unlink()
    file.symlink_to(file.name)


DAMAGES: dict[str, Callable[[Path], object]] = {
    "cut": lambda file: os.truncate(file, file.stat().st_size // 2),
    "one byte left": lambda file: os.truncate(file, 1),
    "empty": lambda file: os.truncate(file, 0),
    "zeroed": lambda file: file.write_bytes(bytes(file.stat().st_size)),
    "longer": lambda file: file.write_bytes(file.read_bytes() + b"x"),
    "one bit of the code": flip_one_bit,
    "one bit of the digest": flip_a_bit_of_the_digest,
    "no permission": lambda file: file.chmod(0),
    "a folder": make_a_folder_of,
    "a link to itself": make_a_loop_of,
}


def select(folder: Path, **variables: str) -> tuple[bool, str]:
    """Select tiles in a fresh process; return whether it imported Numba, and its standard error."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", SELECT],
        cwd=ROOT,
        env=os.environ | {"NUMBA_CACHE_DIR": str(folder), "PYTHONPATH": str(ROOT)} | variables,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    keep, compiled = json.loads(done.stdout)
    assert keep == KEPT
    return compiled, done.stderr


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache folder that one run has filled."""
    folder = tmp_path_factory.mktemp("kernels")
    assert select(folder) == (True, "")
    assert [file.suffix for file in folder.iterdir()] == [".code"]
    return folder


def test_a_later_run_does_without_numba(whole: Path) -> None:
    assert select(whole) == (False, "")


@pytest.mark.slow
@pytest.mark.parametrize("variable", ["NUMBA_DISABLE_JIT", "NUMBA_BOUNDSCHECK"])
def test_settings_of_numba_that_others_need(tmp_path: Path, variable: str) -> None:
    """Such settings may change the code, and kernels are compiled and cached all the same."""
    assert select(tmp_path, **{variable: "1"}) == (True, "")
    assert select(tmp_path, **{variable: "1"}) == (False, "")
    assert select(tmp_path) == (True, ""), "code compiled under other settings is not loaded"


@pytest.mark.slow
@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_code_is_set_aside_and_compiled_anew(
    whole: Path, tmp_path: Path, damage: str
) -> None:
    if damage == "no permission" and os.geteuid() == 0:
        pytest.skip("the system lets this user read everything")
    folder = tmp_path / "kernels"
    shutil.copytree(whole, folder)
    (file,) = folder.glob("*.code")
    DAMAGES[damage](file)

    compiled, said = select(folder)
    assert compiled
    (line,) = said.splitlines()
    assert line.startswith(f"{file}: the cached kernel is unusable and is compiled again: ")
    assert len(list(folder.glob("*.damaged"))) == 1
    assert select(folder) == (False, "")


def test_code_of_another_name_is_not_taken(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    assert cache.write("one", b"code")
    assert cache.read("one") == b"code"
    shutil.copy(tmp_path / "one.code", tmp_path / "two.code")
    assert cache.read("two") is None


def test_code_that_no_folder_takes_is_no_fault(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "wall").write_text("not a folder")
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "wall" / "below"))
    assert not cache.write("one", b"code")
    assert cache.read("one") is None


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
def test_a_command_says_once_that_it_compiles(tmp_path: Path, workers: int) -> None:
    """Damaged files are reported one by one; a run that finds all kernels logs nothing."""
    images = [str(tmp_path / "a.png"), str(tmp_path / "b.png")]
    for image in images:
        Image.fromarray(np.arange(64 * 64 * 3, dtype=np.uint8).reshape(64, 64, 3)).save(image)
    folder = tmp_path / "kernels"

    options = ["--workers", str(workers), "--log-format", "json"]

    def command(*flags: str) -> str:
        done = subprocess.run(
            [sys.executable, *flags, "-m", "ppcli", "analyze", *images, "-o", "-", *options],
            cwd=ROOT,
            env=os.environ | {"NUMBA_CACHE_DIR": str(folder)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert len(done.stdout.splitlines()) == 2
        return done.stderr

    def analyze() -> list[str]:
        lines = map(json.loads, command().splitlines())
        return [line["message"] for line in lines if "kernel" in line["message"]]

    assert analyze() == ["compiling kernels (first run only)"]
    assert analyze() == []
    files = sorted(folder.glob("*.code"))[:2]
    for file in files:
        flip_one_bit(file)
    *damaged, compiling = sorted(analyze(), reverse=True, key=lambda line: "unusable" in line)
    assert compiling == "compiling kernels (first run only)"
    assert [line.split(": ")[0] for line in sorted(damaged)] == list(map(str, files))
    assert analyze() == []
    imported = {
        line.rpartition("|")[2].strip() for line in command("-X", "importtime").splitlines()
    }
    assert "ppcli.engine.run" in imported
    assert not {"numba", "pyarrow"} & imported
