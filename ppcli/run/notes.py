"""What workers log, on its way to the log of the run."""

import json
import logging
import threading
from contextlib import suppress
from multiprocessing import Pipe
from multiprocessing.connection import Connection

logger = logging.getLogger("pixelprune")

_LONGEST = 600  # characters, six bytes of JSON each at the most
_MOST_BYTES = 4096  # the system does not cut such a write, whoever else writes


class Notes:
    """A pipe from all workers to this process; what several say is said once.

    Attributes:
        sender: what a worker gives to `send_log`.
    """

    def __init__(self) -> None:
        self._reader, self.sender = Pipe(duplex=False)
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        said = set()
        with self._reader, suppress(EOFError, OSError, ValueError):
            while True:
                level, text = json.loads(self._reader.recv_bytes(_MOST_BYTES))
                if text not in said:
                    said.add(text)
                    logger.log(int(level), "%s", text)

    def close(self) -> None:
        """Say that no more workers will be started."""
        self.sender.close()


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
