"""The page about clusters does what it says, on a Ray of this machine."""

import os
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.docs import sandbox
from tests.docs.pages import DOCS, ROOT, blocks
from tests.docs.test_commands import shell

PAGE = DOCS / "tasks" / "cluster.md"
THIS = "tests/docs/test_cluster_page.py"
COLUMNS = ["image_id", "page", "tokens", "kept", "unique"]


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="the blocks are for a POSIX shell")
def test_the_commands_run_on_a_ray_of_this_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("ray", reason="needs Ray: pip install 'pixelprune[ray]'")
    folder = sandbox.build(tmp_path)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("PATH", f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    here = [block for block in blocks(PAGE) if block.other_test == THIS]
    assert here
    for block in here:
        done = shell(f"set -euo pipefail\n{block.code}")
        assert done.returncode == 0, done.stderr.decode()
    local = shell("pixelprune analyze scans/ -o local")
    assert local.returncode == 0, local.stderr.decode()
    rows, expected = (
        pq.read_table(folder / name / "stats", columns=COLUMNS).to_pylist()
        for name in ("spread", "local")
    )
    assert rows == expected
    assert len(rows) == 9
