"""The small run into a dataset in a store, killed at every request that changes something.

`python -m tests.store.places.far_run IN URL HOW STEP…` runs once for each step, in a child process
that kills itself at that step: before or after one of its requests. The step replaces {} in URL.
HOW is `resume`, `retry` or `overwrite`.
"""

import os
import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import s3fs

from ppcli.store.manifest import Manifest
from ppcli.store.reader import patch_files, read_patch_rows, read_rows
from ppcli.store.shards import shard_path
from ppcli.store.verify import verify
from tests.object_store import ObjectStore
from tests.store import small_run

ROOT = Path(__file__).parents[3]
_CHANGES = ("put", "create", "upload", "complete", "copy", "delete", "abort")


def run(folder: Path, url: str, how: str = "resume") -> int:
    """Analyze the folder into a dataset at a URL; return how many inputs were done before."""
    return small_run.run(folder, url, how)  # type: ignore[arg-type]


def rows_of(url: str) -> tuple[small_run.Rows, small_run.Rows]:
    """Read the statistics, without times, and the patch sets."""
    stats = [
        {name: value for name, value in asdict(row).items() if not name.endswith("_ms")}
        for number in range(len(Manifest.read(url).shards))
        for row in read_rows(shard_path(url, "stats", number), "stats")
    ]
    patches = [asdict(row) for path in patch_files(url) for row in read_patch_rows(path)]
    return stats, patches


def assert_whole(store: ObjectStore, bucket: str, made: Path) -> None:
    """The dataset in a bucket is undamaged, has the files of a local one, and nothing else."""
    report = verify(f"s3://{bucket}", data=True)
    assert (report.damage, report.leftovers, report.finished) == ([], 0, True)
    local = {
        path.relative_to(made).as_posix(): path.read_bytes()
        for path in made.rglob("*")
        if path.is_file() and path.name != ".lock"
    }
    found = store.files(bucket)
    assert sorted(found) == sorted(local)
    for name, content in local.items():
        if name.startswith("patches/"):
            assert found[name] == content, name
    assert rows_of(f"s3://{bucket}") == small_run.rows_of(made)


def killed(
    store: ObjectStore, inputs: Path, url: str, steps: Iterable[int], how: str = "resume"
) -> list[int]:
    """Exit codes of runs that are killed at these steps."""
    words = [sys.executable, "-m", "tests.store.places.far_run", str(inputs), url, how]
    done = subprocess.run(
        [*words, *map(str, steps)],
        check=True,
        capture_output=True,
        cwd=ROOT,
        env=os.environ | store.environment,
    )
    return [int(code) for code in done.stdout.split()]


def count_changes(step: Callable[[], None]) -> None:
    """Call `step` before and after each request to S3 that changes something."""
    real = s3fs.S3FileSystem._call_s3

    async def call(self: Any, method: str, *args: Any, **kwargs: Any) -> Any:
        changes = method.startswith(_CHANGES)
        if changes:
            step()
        answer = await real(self, method, *args, **kwargs)
        if changes:
            step()
        return answer

    s3fs.S3FileSystem._call_s3 = call


def main() -> None:
    """Run once for each step in a child process that is killed there; print how each ended."""
    folder, url, how, *steps = sys.argv[1:]
    with TemporaryDirectory() as spare:  # loads modules and kernels once for all children
        small_run.run(small_run.make_inputs(Path(spare, "in")), Path(spare, "out"))
    for step in steps:
        child = os.fork()
        if child == 0:
            count_changes(small_run.Killer(int(step)))
            run(Path(folder), url.replace("{}", step), how)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
