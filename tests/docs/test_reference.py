"""The reference is complete, and is what the code says."""

import re
import subprocess
import sys
from dataclasses import fields

import pytest

import ppcli
from ppcli.errors import ErrorCode, ExitCode
from ppcli.store.rows import AnswerRow, PatchRow, ScoreRow, StatsRow, SweepRow
from tests.command import pixelprune
from tests.docs.pages import DOCS, PAGES, ROOT, name_of

COLUMNS = (DOCS / "columns.md").read_text(encoding="utf-8")
COMMANDS = (
    "analyze",
    "sweep",
    "infer",
    "export",
    "bench",
    "eval",
    "view",
    "report",
    "reconstruct",
    "verify",
)


def section(title: str) -> str:
    return COLUMNS.split(f"\n## {title}\n")[1].split("\n## ")[0]


def names_in_first_column(title: str) -> list[str]:
    cells = re.findall(r"^\| (.*?) \|", section(title), re.MULTILINE)
    return [name for cell in cells for name in re.findall(r"`([a-z_0-9]+)`", cell)]


@pytest.mark.parametrize(
    ("title", "row_type"),
    [
        ("Columns of the statistics", StatsRow),
        ("Columns of the patch sets", PatchRow),
        ("Columns of the answers", AnswerRow),
        ("Columns of the scores", ScoreRow),
    ],
)
def test_column_references_are_complete_and_in_order(title: str, row_type: type) -> None:
    assert names_in_first_column(title) == [field.name for field in fields(row_type)]


def test_a_sweep_has_the_columns_of_statistics_and_its_own() -> None:
    names = [field.name for field in fields(SweepRow)]
    own = names_in_first_column("Columns of a sweep")
    assert names == [*(field.name for field in fields(StatsRow)), *own]


def test_every_error_code_is_explained() -> None:
    assert names_in_first_column("Error codes")[1:] == [code.value for code in ErrorCode]


def test_every_exit_code_is_explained() -> None:
    codes = re.findall(r"^\| (\d+) \|", section("Exit codes"), re.MULTILINE)
    assert [int(code) for code in codes] == [code.value for code in ExitCode]


def test_the_pages_of_commands_are_those_that_the_code_gives() -> None:
    check = [sys.executable, ROOT / "docs" / "generate.py", "--check"]
    done = subprocess.run(check, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_every_command_has_a_page() -> None:
    assert {page.stem for page in (DOCS / "reference").glob("*.md")} == {
        *COMMANDS,
        "index",
        "python",
    }


def test_every_public_name_is_in_the_python_reference() -> None:
    text = (DOCS / "reference" / "python.md").read_text(encoding="utf-8")
    listed = re.findall(r"^::: ppcli\.(\w+)$|^`ppcli\.(__version__)`", text, re.MULTILINE)
    assert sorted("".join(names) for names in listed) == sorted(ppcli.__all__)


OF_VLLM = {
    "--enforce-eager",
    "--hf-overrides",
    "--host",
    "--limit-mm-per-prompt",
    "--max-model-len",
    "--mm-processor-kwargs",
    "--port",
    "--served-model-name",
    "--video-pruning-rate",
}
OF_RAY = {"--address", "--generate", "--runtime-env-json", "--tmux", "--watch", "--yes"}


def test_every_option_that_a_page_names_exists() -> None:
    help_text = "".join(
        pixelprune(name, "--help", COLUMNS="200").stdout.decode() for name in COMMANDS
    )
    known = help_text + pixelprune("--help", COLUMNS="200").stdout.decode()
    of_others = {
        "--bare",
        "--dist",
        "--cuda",
        "--pictures",
        "--compile",
        "--decay",
        "--pruned",
        "--shown",
        "--questions",
        "--steps",
        "--against",
        "--also",
        "--only",
        "--json",
        "--json-lines",
        "--compact",
        "--vision-layers",
        "--check",
        "--strict",
        "--trust-request-mm-kwargs",
    }
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        options = set(re.findall(r"(?<![\w-])(--[a-z0-9][a-z0-9-]+)", text)) - of_others
        if page.name == "vllm.md":
            options -= OF_VLLM
        if page.name == "cluster.md":
            options -= OF_RAY
        assert {option for option in options if option not in known} == set(), name_of(page)
