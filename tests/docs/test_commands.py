"""Every command of the README and the documentation runs, or says why it does not."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.docs import sandbox
from tests.docs.pages import PAGES, ROOT, Block, blocks, fences, name_of

LANGUAGES = {"sh", "sql", "python", "json", "text"}
RUNS = {"sh", "sql", "python"}
WITH_COMMANDS = [page for page in PAGES if any(one.language in RUNS for one in blocks(page))]
SLOWEST_SECONDS = 300


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sandbox.build(tmp_path_factory.mktemp("docs") / "sandbox")


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_blocks_are_of_a_known_language_and_markers_have_reasons(page: Path) -> None:
    found = blocks(page)
    assert fences(page) == 2 * len(found), "a fence is indented, or its line has other words"
    for block in found:
        where = f"{block.page}:{block.line}"
        assert block.language in LANGUAGES, where
        assert block.language in RUNS or block.language == "text" or block.title, where
        if block.marker.startswith(("not run", "run by")):
            assert not block.runs_here, f"{where}: the marker is malformed or has no reason"
        if block.other_test:
            assert (ROOT / block.other_test).is_file(), where


@pytest.mark.skipif(os.name == "nt", reason="the blocks are for a POSIX shell")
@pytest.mark.parametrize("page", WITH_COMMANDS, ids=name_of)
def test_commands_run(
    page: Path, prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = sandbox.copy(prepared, tmp_path / "sandbox")
    monkeypatch.chdir(folder)
    monkeypatch.setenv("PATH", f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    for block in blocks(page):
        if block.title:
            (folder / block.title).write_text(block.code, encoding="utf-8")
        elif block.language in RUNS and block.runs_here:
            run(block)


def run(block: Block) -> None:
    """Run a block in the current folder; it fails the test if it fails."""
    if block.language == "sh":
        script = f"set -euo pipefail\n{block.code}"
        done = subprocess.run(
            ["bash", "-c", script],
            capture_output=True,
            stdin=subprocess.DEVNULL,
            timeout=SLOWEST_SECONDS,
            check=False,
        )
        errors = done.stderr.decode(errors="replace")
        assert done.returncode == 0, f"{block.page}:{block.line}\n{block.code}\n{errors}"
    elif block.language == "sql":
        import duckdb

        for query in filter(str.strip, block.code.split(";")):
            duckdb.sql(query).fetchall()
    else:
        exec(compile(block.code, f"{block.page}:{block.line}", "exec"), {})
