"""The layout of the package and of its tests."""

import ast
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[1]
MODULES = sorted((ROOT / "ppcli").rglob("*.py"))
LONGEST_FILE = 400
LONGEST_BODY = 60
# Typer reads options from the signature; the body turns them into the options of a job.
LONGER_BODIES = {"cli/infer_command.py:infer": 100, "cli/eval_command.py:evaluate": 70}
ORACLES = ("torch", "transformers", "tests.models.reference")


def test_no_two_modules_have_one_name() -> None:
    """The folders of model families are alike: a name says the same in each of them."""
    families = ROOT / "ppcli" / "models" / "families"
    of_families = {path.name for path in families.glob("*/*.py")}
    names = Counter(path.name for path in MODULES if families not in path.parents[1:])
    names.update(of_families)
    del names["__init__.py"]
    assert [name for name, count in names.items() if count > 1] == []


def test_no_module_is_too_long() -> None:
    too_long = {}
    for path in MODULES:
        name = path.relative_to(ROOT / "ppcli").as_posix()
        length = len(path.read_text("utf-8").splitlines())
        if length > LONGEST_FILE:
            too_long[name] = length
    assert too_long == {}


def test_no_file_of_tests_is_too_long() -> None:
    tests = ROOT / "tests"
    lengths = {path: len(path.read_text("utf-8").splitlines()) for path in tests.rglob("*.py")}
    too_long = {path.name: length for path, length in lengths.items() if length > LONGEST_FILE}
    assert too_long == {}


def test_no_function_is_too_long() -> None:
    """Its body counts, without signature and docstring."""
    too_long = {}
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            name = f"{path.relative_to(ROOT / 'ppcli').as_posix()}:{node.name}"
            body = node.body[1:] if ast.get_docstring(node) else node.body
            length = (node.end_lineno or 0) - body[0].lineno + 1 if body else 0
            if length > LONGER_BODIES.get(name, LONGEST_BODY):
                too_long[name] = length
    assert too_long == {}


def test_modules_that_import_an_oracle_are_marked() -> None:
    """Otherwise the default loop imports torch, and fails where it is not installed."""
    unmarked = []
    for path in sorted((ROOT / "tests").rglob("*.py")):
        text = path.read_text("utf-8")
        imported = {
            name
            for node in ast.parse(text).body
            for name in _imported(node)
            if name.startswith(ORACLES)
        }
        is_test = path.name.startswith("test_")
        if imported and is_test and "\npytestmark = pytest.mark.oracle\n" not in text:
            unmarked.append(path.relative_to(ROOT).as_posix())
    assert unmarked == []


def _imported(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.Import):
        return [one.name for one in node.names]
    return [node.module or ""] if isinstance(node, ast.ImportFrom) else []
