"""Workers in processes of this machine, which stand for those of other machines."""

import os
from collections.abc import Iterator

import pytest

from tests.engine.cluster.process_cluster import ProcessConnection, use
from tests.engine.cluster.worker_server import worker_server


@pytest.fixture(scope="session")
def workers_at() -> Iterator[str]:
    """The address of a server that starts workers."""
    if not hasattr(os, "fork"):
        pytest.skip("workers of the test engine are forked")
    with worker_server() as address:
        yield address


@pytest.fixture
def machines(workers_at: str, monkeypatch: pytest.MonkeyPatch) -> ProcessConnection:
    """Machines that `--engine ray` finds in the place of a Ray cluster."""
    connection = ProcessConnection(workers_at)
    use(connection, monkeypatch.setattr)
    return connection
