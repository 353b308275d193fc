"""Options that choose where the work is done. Imports little, for `--help`."""

import os
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, ClassVar

from ppcli.errors import UsageError, bounded
from ppcli.filesystems.schemes import without_secrets
from ppcli.options import Option, Options


class Engine(StrEnum):
    """Where the work of a run is done."""

    LOCAL = "local"
    RAY = "ray"


@dataclass(frozen=True, slots=True)
class EngineOptions(Options):
    """Where the work of a run is done.

    Attributes:
        engine: on this machine, or on a cluster.
        ray_address: of a Ray cluster; None for that of the variable RAY_ADDRESS, or else for a Ray
            on this machine, which ends with the run.

    Raises:
        UsageError: there is an address without its engine.
    """

    panel: ClassVar = "Run"

    engine: Annotated[
        Engine, Option("Where the work is done: on this machine, or on a Ray cluster.")
    ] = Engine.LOCAL
    ray_address: Annotated[
        str | None,
        Option(
            "Address of the Ray cluster, or auto. Default: RAY_ADDRESS, or a Ray on this machine.",
            metavar="ADDRESS",
        ),
    ] = None

    def __post_init__(self) -> None:
        Options.__post_init__(self)
        if self.ray_address is not None and self.engine is not Engine.RAY:
            raise UsageError("--ray-address needs --engine ray")
        if self.ray_address == "":
            raise UsageError("--ray-address is empty; leave it out for a Ray on this machine")
        if self.is_cluster and "://" in (self.address or ""):
            name = "RAY_ADDRESS" if self.ray_address is None else "--ray-address"
            url = bounded(without_secrets(self.address or ""))
            raise UsageError(
                f"{name} is the URL {url}, and a HOST:PORT is needed; run the command on a machine "
                "of the cluster, or with ray job submit"
            )

    @property
    def is_cluster(self) -> bool:
        """Whether other processes than ours do the work, perhaps on other machines."""
        return self.engine is not Engine.LOCAL

    @property
    def address(self) -> str | None:
        """The address of the Ray cluster; None for a Ray on this machine."""
        address = self.ray_address or os.environ.get("RAY_ADDRESS") or "local"
        return None if address == "local" else address
