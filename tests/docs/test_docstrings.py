"""The examples in docstrings give what they show."""

import doctest
from importlib import import_module
from pathlib import Path

import pytest
from PIL import Image

from tests.command import pixelprune
from tests.docs.pages import ROOT

WITH_EXAMPLES = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for path in (ROOT / "ppcli").rglob("*.py")
    if ">>> " in path.read_text(encoding="utf-8")
)
NEED_TRANSFORMERS = [name for name in WITH_EXAMPLES if "integrations.transformers." in name]


@pytest.fixture
def dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in a folder with the dataset of a white page."""
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (320, 256), "white").save("blank.png")
    assert pixelprune("analyze", "blank.png", "-o", "out").returncode == 0


def failed_examples(module: str) -> str:
    lines: list[str] = []
    runner = doctest.DocTestRunner()
    tried = 0
    for found in doctest.DocTestFinder().find(import_module(module)):
        tried += len(found.examples)
        runner.run(found, out=lines.append)
    assert tried
    return "".join(lines)


@pytest.mark.parametrize("module", [one for one in WITH_EXAMPLES if one not in NEED_TRANSFORMERS])
@pytest.mark.usefixtures("dataset")
def test_examples(module: str) -> None:
    assert failed_examples(module) == ""


@pytest.mark.oracle
@pytest.mark.parametrize("module", NEED_TRANSFORMERS)
def test_examples_with_transformers(module: str) -> None:
    assert failed_examples(module) == ""
