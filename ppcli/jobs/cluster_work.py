"""What a run on a cluster needs of its job, and what it cannot do."""

import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ppcli.engine.engine_options import EngineOptions
from ppcli.engine.executors.resources import available_cores, default_worker_memory
from ppcli.engine.worker_options import WorkerOptions
from ppcli.errors import UsageError
from ppcli.filesystems.schemes import is_url, scheme_of
from ppcli.jobs.image_worker import image_memory
from ppcli.jobs.run_control import RunControl
from ppcli.store.output_options import OutputOptions

if TYPE_CHECKING:
    from ppcli.engine.cluster.cluster import OpenCluster
    from ppcli.engine.cluster.row_setup import WorkRecipe


@dataclass(frozen=True, slots=True)
class ClusterWork:
    """Work that a cluster does.

    Attributes:
        recipe: of the work.
        open_cluster: starts the workers.
        reads: paths of this machine that the work reads.
    """

    recipe: "WorkRecipe"
    open_cluster: "OpenCluster"
    reads: tuple[str, ...] = ()


def check_cluster_run(
    engine: EngineOptions, output: OutputOptions | None, control: RunControl
) -> None:
    """Refuse what a cluster does not do.

    Raises:
        UsageError: naming it.
    """
    if not engine.is_cluster:
        return
    if output is None or not output.is_folder:
        shown = "there is no output" if output is None else f"-o is {output.output}"
        raise UsageError(
            f"--engine {engine.engine} writes shards, so it needs a folder or its URL; {shown}"
        )
    if scheme_of(output.output) == "memory":
        raise UsageError(f"-o is {output.output}, which other processes do not see")
    if control.on_row is not None or control.on_text is not None:
        raise UsageError(f"with --engine {engine.engine}, rows do not pass this process")


def local_paths(paths: Iterable[str]) -> tuple[str, ...]:
    """Return those names of inputs that are paths on this machine.

    Raises:
        UsageError: one is in the memory of this process.
    """
    names = list(paths)
    for name in names:
        if scheme_of(name) == "memory":
            raise UsageError(f"{name} is in the memory of this process, which others do not see")
    return tuple(name for name in names if not is_url(name) and os.path.lexists(name))


def with_cores(workers: WorkerOptions, cores: int, max_image_pixels: int) -> WorkerOptions:
    """Return the options of worker processes on a machine that other workers may share.

    Args:
        workers: chosen by the user; what is not chosen follows from the machine.
        cores: how many processor cores the worker may use.
        max_image_pixels: of the largest image that is decoded.
    """
    memory = workers.worker_memory
    if memory is None:
        share = max(cores, available_cores())
        memory = default_worker_memory(share, image_memory(max_image_pixels))
    number = cores if workers.workers is None else workers.workers
    return replace(workers, workers=number, worker_memory=memory)
