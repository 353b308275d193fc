"""The thread of a run waits for answers, and for no longer than a moment."""

import signal
import threading
import time

import pytest

from ppcli.errors import ErrorCode, ImageError
from ppcli.models.remote import server_connection
from ppcli.models.remote.server_connection import ServerConnection
from ppcli.models.remote.server_options import ServerOptions
from tests.chat_server import chat_server


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no timer sends signals")
def test_a_step_ends_although_a_signal_is_handled_while_its_time_passes() -> None:
    """`queue.SimpleQueue.get` waits for ever here."""
    poll = server_connection._POLL_SECONDS
    before = signal.signal(signal.SIGALRM, lambda *_: time.sleep(2 * poll))
    with chat_server() as server:
        connection = ServerConnection(ServerOptions(server=(server.url,)))
        late = (None, ImageError(ErrorCode.SERVER_ERROR, "far too late"), 0)
        rescue = threading.Timer(15, connection._done.put, [late])
        rescue.start()
        try:
            signal.setitimer(signal.ITIMER_REAL, poll / 2)
            assert connection.step() == []
        finally:
            rescue.cancel()
            signal.signal(signal.SIGALRM, before)
            connection.close()
