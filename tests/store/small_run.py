"""A run over a few images in this process, short enough to repeat at every fault point.

`python -m tests.store.small_run IN OUT HOW STEP…` runs once for each step, in a child process that
kills itself at that step of writing. HOW is `resume`, `retry`, `overwrite`, `update` or `drop`: an
update that drops the rows of vanished inputs. The step replaces {} in OUT, or is appended to it.
`every N` in place of the steps stands for every Nth step, up to the first run that finishes.
"""

import os
import signal
import sys
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from PIL import Image

from ppcli.coding.coder_options import CoderOptions
from ppcli.engine.executors.serial import SerialExecutor
from ppcli.engine.row_flow import FailurePolicy, RowFlow
from ppcli.engine.run import Run
from ppcli.imaging.decode import pillow_limits
from ppcli.imaging.fit_options import FitOptions
from ppcli.imaging.image_choices import Fit
from ppcli.inputs.listing import Listing
from ppcli.jobs.analysis_options import AnalysisOptions
from ppcli.jobs.analyze import AnalyzeSummary, AnalyzeWork
from ppcli.store.dataset import dataset_output
from ppcli.store.output_paths import row_file_type
from ppcli.store.reader import patch_files, read_patch_rows, read_rows
from ppcli.store.single_file import file_output
from ppcli.store.update_policy import UpdatePolicy
from tests.conftest import blocks

OPTIONS = AnalysisOptions(CoderOptions(), FitOptions(Fit.PAD, 16, 2, 1, 1 << 24))
ROWS_PER_SHARD = 2
Rows = list[dict[str, Any]]


def make_inputs(folder: Path) -> Path:
    """Write seven files: five images, a broken one, and one with two pages."""
    folder.mkdir()
    for seed in range(5):
        Image.fromarray(blocks(70 + seed, 50, seed=seed)).save(folder / f"{seed}.png")
    (folder / "1-broken.png").write_bytes((folder / "1.png").read_bytes()[:60])
    pages = [Image.fromarray(blocks(64, 64, seed=seed)) for seed in (7, 8)]
    pages[0].save(folder / "3-pages.tif", save_all=True, append_images=pages[1:])
    return folder


def mend(folder: Path) -> None:
    """Repair the broken file."""
    Image.fromarray(blocks(71, 50, seed=1)).save(folder / "1-broken.png")


def run(folder: Path, out: Path, how: str = "resume") -> int:
    """Analyze the folder into a dataset, or one file of statistics, in this process.

    Returns:
        How many inputs an earlier run had done.
    """
    retry, overwrite = how == "retry", how == "overwrite"
    updates = {"update": UpdatePolicy(), "drop": UpdatePolicy(drop_missing=True)}
    kind = row_file_type(str(out))
    to_folder = partial(dataset_output, update=updates.get(how))
    open_output = to_folder if kind is None else partial(file_output, kind=kind)
    work = AnalyzeWork(OPTIONS, SerialExecutor())
    summary = AnalyzeSummary()
    analyze = Run(RowFlow(work, summary, policy=FailurePolicy(retry_failed=retry)))
    config = OPTIONS.as_config()
    with pillow_limits(OPTIONS.reading.max_image_pixels):
        analyze.execute(
            Listing((str(folder),)),
            lambda: open_output(
                str(out), config=config, overwrite=overwrite, rows_per_shard=ROWS_PER_SHARD
            ),
        )
    return summary.earlier_inputs


def rows_of(out: Path) -> tuple[Rows, Rows]:
    """Read the statistics, without times, and the patch sets. Fails if a file is unreadable."""
    stats = [
        {name: value for name, value in asdict(row).items() if not name.endswith("_ms")}
        for path in sorted((out / "stats").glob("*.parquet"))
        for row in read_rows(str(path), "stats")
    ]
    patches = [asdict(row) for path in patch_files(str(out)) for row in read_patch_rows(path)]
    return stats, patches


def count_steps(step: Callable[[], None]) -> None:
    """Call `step` before and after every call that changes files."""
    for name in ("fsync", "replace", "link", "unlink", "mkdir", "rmdir"):
        setattr(os, name, _stepping(getattr(os, name), step))

    class SteppingFile(io_file):
        def write(self, data: Any) -> int:
            step()
            written = super().write(data)
            step()
            return written

    import ppcli.store.atomic

    ppcli.store.atomic.io.FileIO = SteppingFile  # type: ignore[misc]


io_file = __import__("io").FileIO


def _stepping(call: Callable[..., Any], step: Callable[[], None]) -> Callable[..., Any]:
    def stepping(*args: Any, **kwargs: Any) -> Any:
        step()
        result = call(*args, **kwargs)
        step()
        return result

    return stepping


class Killer:
    """Kills this process at a step."""

    def __init__(self, at: int) -> None:
        self.steps_left = at

    def __call__(self) -> None:
        if self.steps_left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        self.steps_left -= 1


def main() -> None:
    """Run once for each step in a child process that is killed there; print how each ended."""
    folder, out, how, *steps = sys.argv[1:]
    with TemporaryDirectory() as spare:  # loads modules and kernels once for all children
        run(make_inputs(Path(spare, "in")), Path(spare, "out"))
        run(Path(spare, "in"), Path(spare, "out.csv"))
    every = steps[0] == "every"
    for step in map(str, count(0, int(steps[1]))) if every else steps:
        child = os.fork()
        if child == 0:
            count_steps(Killer(int(step)))
            place = out.replace("{}", step) if "{}" in out else out + step
            run(Path(folder), Path(place), how)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        code = os.waitstatus_to_exitcode(status)
        sys.stdout.write(f"{step} {code}\n")
        sys.stdout.flush()
        if every and code == 0:
            break


if __name__ == "__main__":
    main()
