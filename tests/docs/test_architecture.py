"""The pages about the code name files that exist, and every folder of the package."""

import re
import tomllib

import pytest

from tests.docs.pages import DOCS, ROOT

ABOUT_THE_CODE = ("architecture.md", "contributing.md")
_PATHS = re.compile(r"`((?:ppcli|tests|docs|training|benchmarks|sample_data)/[^`\s]*)`")


@pytest.mark.parametrize("page", ABOUT_THE_CODE)
def test_paths_that_are_named_exist(page: str) -> None:
    paths = _PATHS.findall((DOCS / page).read_text(encoding="utf-8"))
    assert len(paths) > 15
    missing = [path for path in paths if "NAME" not in path and not (ROOT / path).exists()]
    assert missing == []


def test_the_tree_names_every_folder() -> None:
    tree = (DOCS / "architecture.md").read_text(encoding="utf-8").split("## The layers")[0]
    found = {
        path.parent for path in (ROOT / "ppcli").rglob("*.*") if "__pycache__" not in str(path)
    }
    folders = {folder.relative_to(ROOT).as_posix() + "/" for folder in found}
    families = {one for one in folders if one.startswith("ppcli/models/families/")}
    named = set(_PATHS.findall(tree))
    assert folders - families - {"ppcli/"} - named == set()


def test_the_layers_are_those_of_import_linter() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = [one for one in project["tool"]["importlinter"]["contracts"] if "layers" in one]
    page = (DOCS / "architecture.md").read_text(encoding="utf-8")
    chains = [block.split("```")[0] for block in page.split("```text\n")[1:]]
    shown = [" ".join(chain.split()).split(" → ") for chain in chains]
    assert shown == [
        [layer for layer in contract["layers"] if layer != "version"] for contract in contracts
    ]


def test_the_folders_exist_in_the_tests_too() -> None:
    package, tests = ROOT / "ppcli", ROOT / "tests"
    ours = {path.parent.relative_to(package) for path in package.rglob("__init__.py")}
    tested = {path.parent.relative_to(tests) for path in tests.rglob("test_*.py")}
    assert ours - tested == set()
