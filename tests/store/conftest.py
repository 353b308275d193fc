"""The small run that tests of the store share. Tests that change files copy them first."""

from pathlib import Path

import pytest

from tests.store import small_run


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The inputs of a small run in `in`, and their finished dataset in `out`."""
    root: Path = tmp_path_factory.mktemp("made")
    small_run.run(small_run.make_inputs(root / "in"), root / "out")
    return root


@pytest.fixture(scope="session")
def inputs(made: Path) -> Path:
    """The inputs of the small run."""
    return made / "in"


@pytest.fixture(scope="session")
def undisturbed(made: Path) -> tuple[small_run.Rows, small_run.Rows]:
    """The rows of the small run: statistics and patch sets."""
    stats, patches = small_run.rows_of(made / "out")
    assert len(stats) == 8
    assert len(patches) == 7
    assert len(list((made / "out" / "stats").iterdir())) == 4
    return stats, patches
