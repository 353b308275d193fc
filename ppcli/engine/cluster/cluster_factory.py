"""The one place that chooses a cluster."""

from ppcli.engine.cluster.cluster import Connection
from ppcli.engine.engine_options import EngineOptions


def connect(options: EngineOptions) -> Connection:
    """Connect to the cluster of the engine that the options choose.

    Args:
        options: chosen by the user; of an engine with a cluster.

    Raises:
        MissingDependencyError: the engine is not installed.
        ServerError: no cluster answers, or it cannot be started.
    """
    from ppcli.engine.cluster.ray_cluster import RayConnection

    return RayConnection(options.address)
