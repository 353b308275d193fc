"""The small run of the tests of the store, on a cluster of processes.

`python -m tests.engine.cluster.small_cluster_run ADDRESS IN OUT HOW STEP…` runs once for each step,
in a child process that kills itself at that step of writing; see `tests.store.small_run`.
"""

import os
import sys
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

from ppcli.engine.cluster.cluster_run import ClusterRun
from ppcli.engine.row_flow import FailurePolicy
from ppcli.engine.worker_options import WorkerOptions
from ppcli.inputs.listing import Listing
from ppcli.jobs.analysis_recipe import AnalysisRecipe
from ppcli.jobs.analyze import AnalyzeSummary
from ppcli.store.dataset import dataset_output
from ppcli.store.update_policy import UpdatePolicy
from tests.engine.cluster.process_cluster import ProcessConnection
from tests.store.small_run import OPTIONS, ROWS_PER_SHARD, Killer, count_steps, make_inputs


def run(
    machines: ProcessConnection, folder: Path, out: Path | str, how: str = "resume"
) -> AnalyzeSummary:
    """Analyze the folder into a dataset, as `small_run.run` does; return the totals."""
    recipe = AnalysisRecipe(OPTIONS, WorkerOptions(0))
    updates = {"update": UpdatePolicy(), "drop": UpdatePolicy(drop_missing=True)}
    summary = recipe.new_summary()
    policy = FailurePolicy(retry_failed=how == "retry")
    ClusterRun(recipe, machines.cluster(1), (), summary, policy=policy).execute(
        Listing((str(folder),)),
        lambda: dataset_output(
            str(out),
            OPTIONS.as_config(),
            overwrite=how == "overwrite",
            rows_per_shard=ROWS_PER_SHARD,
            update=updates.get(how),
        ),
    )
    return summary


def main() -> None:
    """Run once for each step in a child process that is killed there; print how each ended."""
    address, folder, out, how, *steps = sys.argv[1:]
    with TemporaryDirectory() as spare:  # loads modules once for all children
        make_inputs(Path(spare, "in"))
        run(ProcessConnection(address), Path(spare, "in"), Path(spare, "out"))
    every = steps[0] == "every"
    for step in map(str, count(0, int(steps[1]))) if every else steps:
        child = os.fork()
        if child == 0:
            count_steps(Killer(int(step)))
            run(ProcessConnection(address), Path(folder), out.replace("{}", step), how)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        code = os.waitstatus_to_exitcode(status)
        sys.stdout.write(f"{step} {code}\n")
        sys.stdout.flush()
        if every and code == 0:
            break


if __name__ == "__main__":
    main()
