"""What workers log, on its way to the log of the run."""

import json
import logging
import threading
from contextlib import suppress
from multiprocessing import Pipe
from multiprocessing.connection import Connection

logger = logging.getLogger("pixelprune")

_LONGEST = 600  # characters, six bytes of JSON each at the most
_LAST_SECONDS = 2.0  # for what has come; the pipe ends where no worker is left
_MOST_BYTES = 4096  # the system does not cut such a write, whoever else writes


class Notes:
    """A pipe from all workers to this process; what several say is said once.

    Attributes:
        sender: what a worker gives to `send_log`.
    """

    def __init__(self) -> None:
        self._reader, self.sender = Pipe(duplex=False)
        self._thread: threading.Thread | None = None

    def tell(self) -> None:
        """Begin to log what comes, once there is a log: workers may start before."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._read, daemon=True)
            self._thread.start()

    def _read(self) -> None:
        said = set()
        with self._reader, suppress(EOFError, OSError, ValueError):
            while True:
                level, text = json.loads(self._reader.recv_bytes(_MOST_BYTES))
                if text not in said:
                    said.add(text)
                    logger.log(int(level), "%s", text)

    def close(self) -> None:
        """Log what has come; called when all workers have ended."""
        self.sender.close()
        if self._thread is not None:
            self._thread.join(_LAST_SECONDS)


class _Sender(logging.Handler):
    def __init__(self, sender: "Connection[bytes, bytes]") -> None:
        super().__init__()
        self._sender = sender

    def emit(self, record: logging.LogRecord) -> None:
        line = json.dumps([record.levelno, record.getMessage()[:_LONGEST]], ensure_ascii=False)
        with suppress(OSError):  # nobody listens any more
            self._sender.send_bytes(line.encode("utf-8", "backslashreplace"))


def send_log(sender: "Connection[bytes, bytes]") -> None:
    """Called in a worker: what it logs goes to its parent."""
    logger.handlers = [_Sender(sender)]
    logger.propagate = False
    logger.setLevel(logging.INFO)
