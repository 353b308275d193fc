"""The warning about metrics that average small marks away."""

from pathlib import Path

import pytest
from PIL import Image

from tests.command import pixelprune
from tests.conftest import blocks

SAID = b"averages over a tile"


@pytest.fixture
def page(tmp_path: Path) -> Path:
    Image.fromarray(blocks(320, 256, levels=2)).save(tmp_path / "page.png")
    return tmp_path / "page.png"


def stderr(*command: object, code: int = 0) -> bytes:
    done = pixelprune(*map(str, command))
    assert done.returncode == code, done.stderr
    return done.stderr


@pytest.mark.parametrize("metric", ["mae", "rmse"])
def test_each_command_warns_once(page: Path, model: Path, metric: str) -> None:
    how = ("--metric", metric, "--threshold", "2/255")
    folder = page.parent
    commands = [
        ("analyze", page, page, "-o", folder / "out"),
        ("infer", page, "--model", model, "--prompt", "?", "--max-new-tokens", "2"),
        ("view", page, "--workers", "0", "-o", folder / "seen.png"),
        ("bench", page, "--model", model, "--repeats", "1", "--new-tokens", "2"),
    ]
    for command in commands:
        said = stderr(*command, *how)
        assert said.count(SAID) == 1, (command[0], said)
        assert f"metric {metric} averages".encode() in said


@pytest.mark.parametrize(
    "how",
    [
        ("--metric", "mae"),
        ("--metric", "rmse", "--threshold", "0"),
        ("--metric", "max", "--threshold", "8/255"),
        ("--metric", "two_scale", "--threshold", "auto"),
    ],
)
def test_no_warning_where_nothing_is_averaged_away(page: Path, how: tuple[str, ...]) -> None:
    assert SAID not in stderr("analyze", page, "-o", page.parent / "out", *how)
