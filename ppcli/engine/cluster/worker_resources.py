"""How large the workers of a cluster are, and how many have room on its machines."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

_MOST_CORES = 8  # one process feeds the others of a worker, and would be too slow for more
_USUAL_CORES = 4  # of machines that are not there yet


@dataclass(frozen=True, slots=True)
class MachineSize:
    """What a machine has in all.

    Attributes:
        cores: processor cores.
        gpus: GPUs.
    """

    cores: int
    gpus: int = 0


@dataclass(frozen=True, slots=True)
class WorkerSize:
    """What a worker takes.

    Attributes:
        cores: processor cores.
        gpus: GPUs; 0 or 1.
    """

    cores: int
    gpus: int = 0

    @classmethod
    def chosen(
        cls,
        machines: Sequence[MachineSize],
        cores: int | None,
        gpus: int,
        others_may_come: bool = True,
    ) -> "WorkerSize":
        """Choose the size of workers.

        Args:
            machines: that there are.
            cores: of a worker; None for what divides the most common machine well.
            gpus: of a worker.
            others_may_come: whether a worker may be too large for the machines that there are.
        """
        if cores is not None:
            most = cores if others_may_come else max((one.cores for one in machines), default=1)
            return cls(max(1, min(cores, most)), gpus)
        sizes = Counter(one for one in machines if one.cores and one.gpus >= gpus)
        if not sizes:
            return cls(_USUAL_CORES, gpus)
        usual, _ = sizes.most_common(1)[0]
        parts = usual.gpus // gpus if gpus else -(-usual.cores // _MOST_CORES)
        return cls(max(1, min(_MOST_CORES, usual.cores // parts)), gpus)

    def room_on(self, machines: Sequence[MachineSize]) -> int:
        """Return how many workers have room on some machines."""
        return sum(
            min(one.cores // self.cores, one.gpus // self.gpus if self.gpus else one.cores)
            for one in machines
        )
