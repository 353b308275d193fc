"""Machines that cannot take part in a run are refused, in words."""

import os
import platform
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from ppcli.engine.cluster import cluster_run
from ppcli.engine.cluster.node_check import NodeCheck
from ppcli.errors import UsageError
from tests.engine.cluster.compared import analyze, mixed

NODE = platform.node()


@pytest.fixture
def check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> NodeCheck:
    """What a run needs that reads the folder `in`, and writes to `out`."""
    monkeypatch.chdir(tmp_path)
    for name in ("in", "out"):
        (tmp_path / name).mkdir()
    (tmp_path / "out" / ".beacon").touch()
    return NodeCheck.of(("in",), "out/.beacon")


def test_a_machine_that_has_everything(check: NodeCheck, tmp_path: Path) -> None:
    os.chdir("/")
    assert check.problem() == ""
    assert Path.cwd() == tmp_path, "relative paths start there"


def test_another_version(check: NodeCheck) -> None:
    other = replace(check, version="0.0.1")
    assert other.problem().startswith(f"{NODE} has pixelprune ")
    assert "this command is 0.0.1; install the same version on all machines" in other.problem()


def test_another_folder(check: NodeCheck, tmp_path: Path) -> None:
    elsewhere = replace(check, folder=str(tmp_path / "home"))
    assert elsewhere.problem() == (
        f"{NODE} has no folder {tmp_path}/home, from which in starts; "
        "use absolute paths of a folder that all machines share"
    )
    absolute = replace(
        elsewhere, reads=(str(tmp_path / "in"),), sees=str(tmp_path / "out" / ".beacon")
    )
    assert absolute.problem() == ""


def test_inputs_that_are_not_there(check: NodeCheck) -> None:
    shutil.rmtree("in")
    assert check.problem() == (
        f"{NODE} does not see in; inputs must be in a folder that all machines share, "
        "or in an object store"
    )


def test_an_output_that_is_not_there(check: NodeCheck) -> None:
    os.remove("out/.beacon")
    assert check.problem() == (
        f"{NODE} does not see what is written to out; the output must be in a folder that all "
        "machines share, or in an object store"
    )


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"version": "0.0.1"}, "install the same version on all machines"),
        ({"reads": ("/nowhere/in",)}, "does not see /nowhere/in"),
        ({"sees": "/nowhere/out/.beacon"}, "does not see what is written to /nowhere/out"),
    ],
)
def test_a_run_ends_with_that_sentence(
    tmp_path, machines, monkeypatch, changes: dict[str, object], words: str
) -> None:
    """There are no rows, and the same command works once the machine is right."""
    of = NodeCheck.of
    monkeypatch.setattr(cluster_run.NodeCheck, "of", lambda *args: replace(of(*args), **changes))
    folder = mixed(tmp_path / "in")
    with pytest.raises(UsageError, match=words):
        analyze(folder, tmp_path / "out")
    assert list((tmp_path / "out" / "stats").iterdir()) == []
    monkeypatch.undo()
