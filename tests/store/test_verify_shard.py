"""Shards that are verified by other processes."""

import shutil
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from ppcli.store.verify import verify
from ppcli.store.verify_shard import VerifyReport, VerifyShard


def test_shards_are_verified_elsewhere_with_the_same_result(made: Path, tmp_path: Path) -> None:
    out = shutil.copytree(made / "out", tmp_path / "out")
    (out / "stats" / "part-00002.parquet").write_bytes(b"x")
    (out / "patches" / "part-00001.parquet").unlink()
    (out / "stats" / "strange").touch()
    (out / "stats" / "0.staged").touch()
    here = verify(str(out), data=True)
    assert (len(here.damage), here.leftovers, here.files, here.rows) == (3, 1, 8, 4)

    def elsewhere(shards: Iterator[VerifyShard]) -> Iterator[VerifyReport]:
        with ProcessPoolExecutor(1, get_context("spawn")) as processes:
            yield from processes.map(VerifyShard.run, shards)

    assert verify(str(out), data=True, run_all=elsewhere) == here
