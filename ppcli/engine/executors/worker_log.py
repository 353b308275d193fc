"""Brings log messages of worker processes to the log of the run."""

import json
import logging
import threading
from contextlib import suppress
from multiprocessing import Pipe
from multiprocessing.connection import Connection

logger = logging.getLogger("pixelprune")

_MAX_CHARACTERS = 600  # each takes up to six bytes as JSON
_MAX_BYTES = 4096  # the system writes this much to a pipe at once, so messages do not mix
_CLOSE_SECONDS = 2.0


class WorkerLog:
    """A pipe from all workers to this process. A message that several workers send is logged once.

    Attributes:
        sender: the argument of `send_log` in workers.
    """

    def __init__(self) -> None:
        self._reader, self.sender = Pipe(duplex=False)
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start to log messages; a no-op after the first call.

        Workers may start, and send messages, before the program has set up its log.
        """
        if self._thread is None:
            self._thread = threading.Thread(target=self._read, daemon=True)
            self._thread.start()

    def _read(self) -> None:
        logged = set()
        with self._reader, suppress(EOFError, OSError, ValueError):
            while True:
                level, text = json.loads(self._reader.recv_bytes(_MAX_BYTES))
                if text not in logged:
                    logged.add(text)
                    logger.log(int(level), "%s", text)

    def close(self) -> None:
        """Log the messages received so far; call this after all workers have ended."""
        self.sender.close()
        if self._thread is not None:
            self._thread.join(_CLOSE_SECONDS)


class _PipeHandler(logging.Handler):
    def __init__(self, sender: "Connection[bytes, bytes]") -> None:
        super().__init__()
        self._sender = sender

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()[:_MAX_CHARACTERS]
        line = json.dumps([record.levelno, text], ensure_ascii=False)
        with suppress(OSError):  # the parent has closed its end
            self._sender.send_bytes(line.encode("utf-8", "backslashreplace"))


def send_log(sender: "Connection[bytes, bytes]") -> None:
    """Send the log of this worker process to its parent."""
    logger.handlers = [_PipeHandler(sender)]
    logger.propagate = False
    logger.setLevel(logging.INFO)
