"""Every command of the README and the documentation runs, or says why it does not."""

import os
import shlex
import subprocess
from pathlib import Path

import pytest

from tests.command import pixelprune
from tests.docs import sandbox
from tests.docs.pages import INCLUDED, PAGES, ROOT, Block, blocks, fences, name_of

LANGUAGES = {"sh", "sql", "python", "json", "text"}
RUNS = {"sh", "sql", "python"}
WITH_COMMANDS = [
    page for page in [*PAGES, *INCLUDED] if any(block.language in RUNS for block in blocks(page))
]
# the default loop runs the commands of the README only
IN_TIERS = [
    pytest.param(page, marks=() if page == PAGES[0] else pytest.mark.slow) for page in WITH_COMMANDS
]
SLOWEST_SECONDS = 300


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sandbox.build(tmp_path_factory.mktemp("docs") / "sandbox")


@pytest.mark.parametrize("page", [*PAGES, *INCLUDED], ids=name_of)
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
@pytest.mark.parametrize("page", IN_TIERS, ids=name_of)
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
        run_in_shell_or_here(block)
    elif block.language == "sql":
        import duckdb

        for query in filter(str.strip, block.code.split(";")):
            duckdb.sql(query).fetchall()
    else:
        exec(compile(block.code, f"{block.page}:{block.line}", "exec"), {})


def run_in_shell_or_here(block: Block) -> None:
    """Run plain commands in this process, which is faster, and others in a shell."""
    lines = block.code.splitlines()
    if all(is_plain(line) for line in lines):
        for line in lines:
            done = pixelprune(*shlex.split(line)[1:])
            check(block, line, done)
    else:
        script = f"set -euo pipefail\n{block.code}"
        check(block, script, shell(script))


def is_plain(line: str) -> bool:
    """Whether a line is a command that needs no shell and no worker processes."""
    options = {"--timeout", "--worker-memory", "--workers"}
    return (
        line.startswith("pixelprune ")
        and not set(line) & set("|<>&;$`*#\\")
        and not options & set(shlex.split(line))
    )


def shell(script: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        ["bash", "-c", script],
        capture_output=True,
        stdin=subprocess.DEVNULL,
        timeout=SLOWEST_SECONDS,
        check=False,
    )


def check(block: Block, command: str, done: subprocess.CompletedProcess[bytes]) -> None:
    errors = done.stderr.decode(errors="replace")
    assert done.returncode == 0, f"{block.page}:{block.line}\n{command}\n{errors}"
