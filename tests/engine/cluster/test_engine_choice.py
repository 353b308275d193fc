"""What `--engine ray` refuses before any work."""

from pathlib import Path

import pytest

from ppcli.errors import ExitCode
from tests.command import pixelprune, pixelprune_process


def test_without_ray(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "ray.py").write_text("raise ImportError('not here')")
    out = tmp_path / "out"
    variables = {"PYTHONPATH": f"{tmp_path}:{Path(__file__).parents[3]}"}
    done = pixelprune_process("analyze", folder, "-o", out, "--engine", "ray", **variables)
    assert done.returncode == ExitCode.MISSING_DEPENDENCY
    assert done.stderr == (
        b"pixelprune: --engine ray needs Ray (not here); "
        b"install it with: pip install 'pixelprune[ray]'\n"
    )
    assert not out.exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["-o", "-"], "needs a folder or its URL; -o is -"),
        (["-o", "out.csv"], "needs a folder or its URL; -o is out.csv"),
        (["-o", "memory://out"], "memory://out, which other processes do not see"),
        (["-o", "out", "--ray-address", ""], "--ray-address is empty"),
    ],
)
def test_what_a_cluster_cannot_do(folder: Path, options: list[str], words: str) -> None:
    done = pixelprune("analyze", folder, "--engine", "ray", *options, cwd=folder.parent)
    assert done.returncode == ExitCode.USAGE
    assert words in " ".join(done.stderr.decode().split())
    assert [path.name for path in folder.parent.iterdir()] == ["in"]


def test_an_address_without_the_engine(folder: Path) -> None:
    done = pixelprune("analyze", folder, "-o", folder.parent / "out", "--ray-address", "auto")
    assert done.returncode == ExitCode.USAGE
    assert b"--ray-address needs --engine ray" in done.stderr
