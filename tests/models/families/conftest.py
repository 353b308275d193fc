"""Runners of tiny models, each exported once for all tests of a file."""

from collections.abc import Callable
from functools import cache

import pytest

from ppcli.models.serving.runner import Runner
from tests.models.tiny_checkpoint import write_checkpoint
from tests.models.tiny_model import TinyModel

RunnerOf = Callable[[TinyModel], Runner]


@pytest.fixture(scope="module")
def runner_of(tmp_path_factory: pytest.TempPathFactory) -> RunnerOf:
    from tests.models.parity import opened

    @cache
    def made(tiny: TinyModel) -> Runner:
        folder = tmp_path_factory.mktemp("model")
        write_checkpoint(folder / "checkpoint", tiny)
        return opened(folder / "checkpoint", folder / "model")

    return made
