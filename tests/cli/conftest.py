"""Fixtures of the tests of commands."""

from pathlib import Path

import pytest

from tests.command import pixelprune
from tests.models.tiny_checkpoint import Tiny, write_checkpoint


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An exported model of two small layers with random weights."""
    folder: Path = tmp_path_factory.mktemp("model")
    write_checkpoint(folder / "checkpoint", Tiny(layers=2, depth=2, deepstack=(0,)))
    done = pixelprune("export", folder / "checkpoint", folder / "model")
    assert done.returncode == 0, done.stderr
    assert done.stderr.endswith(f"written to {folder / 'model'}\n".encode())
    return folder / "model"
