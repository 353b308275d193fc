"""The job of `verify` for datasets: shard by shard, here or on a cluster."""

from collections.abc import Iterable, Iterator
from typing import Any

from ppcli.engine.cluster.cluster_factory import connect
from ppcli.engine.cluster.cluster_map import run_on_cluster
from ppcli.engine.cluster.node_check import NodeCheck
from ppcli.engine.engine_options import EngineOptions
from ppcli.errors import ImageError, UsageError
from ppcli.filesystems.schemes import without_secrets
from ppcli.jobs.cluster_work import local_paths
from ppcli.jobs.run_control import RunControl
from ppcli.store.places.place import place_of
from ppcli.store.verify import run_here, verify
from ppcli.store.verify_shard import VerifyReport, VerifyShard


def verify_dataset(
    path: str, data: bool, max_image_pixels: int, engine: EngineOptions, control: RunControl
) -> VerifyReport:
    """Verify a dataset folder or a Parquet file; see `ppcli.api.verify`."""
    done = 0

    def report(number: int) -> None:
        nonlocal done
        done += number
        control.report("shard", done, None)

    def here(shards: Iterator[VerifyShard]) -> Iterator[VerifyReport]:
        for one in run_here(shards):
            yield one
            report(1)

    def on_cluster(shards: Iterator[VerifyShard]) -> Iterable[VerifyReport]:
        check = NodeCheck.of(local_paths([path]), "")
        with connect(engine) as connection:
            cluster = connection.cluster(cores=1)  # a shard is verified by one process
            return run_on_cluster(cluster, check, shards, "shard", _given_up, report)

    if engine.is_cluster and not place_of(path).is_folder():
        raise UsageError(
            f"--engine {engine.engine} verifies the shards of a dataset folder; "
            f"{without_secrets(path)} is none"
        )
    report(0)
    run_all = on_cluster if engine.is_cluster else here
    return verify(path, data, max_image_pixels, run_all)


def _given_up(shard: Any, error: ImageError) -> VerifyReport:  # noqa: ANN401
    return VerifyReport(damage=[f"{shard.names[0]} could not be verified: {error}"])
