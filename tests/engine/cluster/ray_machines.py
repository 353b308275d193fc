"""A Ray cluster of several nodes on this machine, which has real processes for each.

`python -m tests.engine.cluster.ray_machines` prints its address, and then answers each line on its
standard input: `lose` kills a node that has a task, `add` starts a new one. It ends with the input.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from tempfile import TemporaryDirectory
from typing import IO, Any

import psutil

from tests.processes import eventually, surroundings

NODES = 3
_STORE_BYTES = 80 << 20


@dataclass(slots=True)
class RayMachines:
    """A running cluster.

    Attributes:
        address: for `--ray-address`.
        pid: of the process that manages it.
    """

    address: str
    pid: int
    _stdin: IO[str]
    _stdout: IO[str]

    def replace_node(self) -> None:
        """Kill a node with all its workers, one of which has a task, and start a new one."""
        for order in ("lose", "add"):
            self._stdin.write(f"{order}\n")
            self._stdin.flush()
            assert self._stdout.readline() == f"{order}\n"


@contextmanager
def ray_machines() -> Iterator[RayMachines]:
    """Run a cluster whose nodes have one core each."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.engine.cluster.ray_machines"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=surroundings(),
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            address = process.stdout.readline().rstrip("\n")
            yield RayMachines(address, process.pid, process.stdin, process.stdout)
        finally:
            process.stdin.close()


def main() -> None:
    """Serve until the standard input ends."""
    with TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as folder:
        os.environ |= {"RAY_TMPDIR": folder, "RAY_USAGE_STATS_ENABLED": "0"}
        from ray.cluster_utils import Cluster

        cluster = Cluster()
        of_node = {"num_cpus": 1, "num_gpus": 0, "object_store_memory": _STORE_BYTES}
        cluster.add_node(**of_node, include_dashboard=False)
        others = [cluster.add_node(**of_node) for _ in range(NODES - 1)]
        cluster.wait_for_nodes()
        try:
            _answer(cluster.address)
            for line in sys.stdin:
                if line == "lose\n":
                    others.remove(lost := _busy_one(others))
                    cluster.remove_node(lost, allow_graceful=False)
                else:
                    others.append(cluster.add_node(**of_node))
                _answer(line.rstrip("\n"))
        finally:
            cluster.shutdown()


def _busy_one(nodes: list[Any]) -> Any:
    """Wait for a node that has a task, and return it."""
    busy: list[Any] = []
    assert eventually(lambda: busy.extend(filter(_is_busy, nodes)) or busy)
    return busy[0]


def _is_busy(node: Any) -> bool:
    """Return whether a worker on a node has a task: Ray names processes after what they do."""
    [raylet] = node.all_processes["raylet"]
    with suppress(psutil.NoSuchProcess):
        family = psutil.Process(raylet.process.pid).children(recursive=True)
        return any("ray::NodeWorker.step" in one.cmdline() for one in family)
    return False


def _answer(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
