"""Fixtures of all tests: the corpus of real images, and small images."""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from PIL import Image

from tests.object_store import ObjectStore, s3_server, variables

settings.register_profile("steady", deadline=None, derandomize=True)
settings.load_profile("steady")
_MEMORY_FOR_FILES = 4 << 30
ORACLE_MODULE = "\npytestmark = pytest.mark.oracle\n"
VLLM_MODULE = "\npytestmark = pytest.mark.vllm\n"


def pytest_configure() -> None:
    """Put temporary folders in memory, where fsync takes no time."""
    memory = Path("/dev/shm")
    there = os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > _MEMORY_FOR_FILES
    if there:
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(memory))


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Skip the import of modules whose tests are deselected: torch and vLLM take seconds."""
    chosen = config.option.markexpr
    left_out = [ORACLE_MODULE] if "not oracle" in chosen else []
    if chosen and ("vllm" not in chosen or "not vllm" in chosen):
        left_out.append(VLLM_MODULE)
    if not left_out or not collection_path.is_file():
        return None
    text = collection_path.read_text(encoding="utf-8")
    return any(marked in text for marked in left_out) or None


@pytest.hookimpl(wrapper=True)
def pytest_report_to_serializable() -> Iterator[object]:
    """Replace text that is not UTF-8 in reports: pytest-xdist cannot send it."""
    report = yield
    text = json.dumps(report, ensure_ascii=False)
    return report if text.isascii() else json.loads(text.encode("utf-8", "replace"))


def _corpus() -> Path | None:
    named = os.environ.get("PIXELPRUNE_CORPUS")
    return Path(named).resolve() if named else None


@pytest.fixture(scope="session")
def corpus() -> Path:
    """The folder of real and hostile images. Tests that use it are skipped if it is not set."""
    folder = _corpus()
    if folder is None:
        pytest.skip("PIXELPRUNE_CORPUS is not set: no real images to test with")
    assert (folder / "images").is_dir(), f"PIXELPRUNE_CORPUS is {folder}, and has no images/"
    return folder


@pytest.fixture(scope="session")
def s3_of_session() -> Iterator[ObjectStore]:
    """One server of S3 for all tests; each uses a bucket of its own."""
    with s3_server() as store:
        yield store


@pytest.fixture
def s3(s3_of_session: ObjectStore) -> Iterator[ObjectStore]:
    """The server of S3, which programs find with the variables that are set meanwhile."""
    with variables(s3_of_session.environment):
        yield s3_of_session


def blocks(
    width: int = 96, height: int = 64, block: int = 32, levels: int = 3, seed: int = 0
) -> np.ndarray:
    """Return RGB uint8 (height, width, 3) of plain blocks in few colours, so that tiles repeat."""
    rng = np.random.default_rng(seed)
    rows, columns = -(-height // block), -(-width // block)
    coarse = rng.integers(0, levels, (rows, columns, 3)) * (255 // max(1, levels - 1))
    fine = coarse.repeat(block, axis=0).repeat(block, axis=1)
    return fine[:height, :width].astype(np.uint8)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with three images, one of them in a subfolder, a broken one, and a text file."""
    root = tmp_path / "in"
    (root / "sub").mkdir(parents=True)
    Image.fromarray(blocks(300, 260)).save(root / "a.png")
    Image.fromarray(blocks(320, 256, seed=1)).save(root / "b.jpg", quality=90)
    Image.fromarray(blocks(256, 256, seed=2)).save(root / "sub" / "a.png")
    (root / "broken.png").write_bytes((root / "a.png").read_bytes()[:200])
    (root / "notes.txt").write_text("no image")
    return root
