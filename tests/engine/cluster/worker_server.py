"""Starts workers for tests: a process that has imported everything forks one for each connection.

`python -m tests.engine.cluster.worker_server` prints the path of its socket, and ends when its
standard input does. A client sends how a worker starts, gets the number of its process and what
`NodeWorker.facts` returns, and then one answer for each order. Workers end with their connection.
"""

import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NoReturn

from ppcli.coding.coder_options import CoderOptions
from ppcli.engine.cluster.cluster import NodeSetup
from ppcli.engine.cluster.node_worker import NodeWorker
from ppcli.jobs import analysis_recipe
from ppcli.jobs.analysis_options import AnalysisOptions
from ppcli.models.grid_options import GridOptions
from tests.engine import hostile_decoder
from tests.processes import surroundings
from tests.store import small_run

DIES_AT = (
    "PPTEST_DIES_AT"  # a file with a step of writing; the first worker that takes it dies there
)
Start = tuple[NodeSetup[Any], int, int]


def connect(address: str, start: Start) -> Connection:
    """Start a worker, with the variables of this process."""
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(address)
        connection = Connection(client.detach())
    connection.send((start, dict(os.environ)))
    return connection


@contextmanager
def worker_server() -> Iterator[str]:
    """Run a server in a process of its own; yield the path of its socket."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.engine.cluster.worker_server"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=surroundings(),
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield process.stdout.readline().rstrip("\n")
        finally:
            process.stdin.close()


def main() -> None:
    """Serve until the standard input ends."""
    for fit in (GridOptions().fit_options(), small_run.OPTIONS.fit):
        analysis_recipe.load_kernels(AnalysisOptions(CoderOptions(), fit))
    assert threading.active_count() == 1, "a fork would lose them"
    with TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as listening:
        address = os.path.join(folder, "socket")
        listening.bind(address)
        listening.listen()
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # ended workers are no zombies
        sys.stdout.write(f"{address}\n")
        sys.stdout.flush()
        while sys.stdin not in (ready := select.select([listening, sys.stdin], [], [])[0]):
            assert ready == [listening]
            with listening.accept()[0] as client:
                if os.fork() == 0:
                    listening.close()
                    _be_worker(Connection(client.detach()))


def _be_worker(connection: Connection) -> NoReturn:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    with suppress(EOFError, ConnectionError):
        start, variables = connection.recv()
        os.environ.clear()
        os.environ.update(variables)
        hostile_decoder.register()
        _take_step()
        worker = NodeWorker(start)
        connection.send((os.getpid(), worker.facts()))
        while True:
            connection.send(worker.step(connection.recv()))
    os._exit(0)


def _take_step() -> None:
    with suppress(KeyError, FileNotFoundError):
        mine = f"{os.environ[DIES_AT]}-{os.getpid()}"
        os.rename(os.environ[DIES_AT], mine)
        small_run.count_steps(small_run.Killer(int(Path(mine).read_text())))


if __name__ == "__main__":
    main()
