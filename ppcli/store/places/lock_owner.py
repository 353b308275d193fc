"""The process that holds the lock of a dataset in a store."""

import json
import os
import platform
import secrets
from contextlib import suppress
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class Owner:
    """The process that holds a lock.

    Attributes:
        host: name of its machine, for people.
        machine: identifies the machine and its table of processes.
        pid: number of the process there.
        started: when the process started, in seconds.
        token: random.
    """

    host: str
    machine: str
    pid: int
    started: float
    token: str

    @classmethod
    def of_this_process(cls) -> "Owner":
        """Return this process, with a new token."""
        import psutil

        started = psutil.Process().create_time()
        return cls(platform.node(), _machine(), os.getpid(), started, secrets.token_hex(16))

    @classmethod
    def parse(cls, raw: bytes) -> "Owner | None":
        """Return the owner that an object names; None if it names none."""
        try:
            owner = cls(**json.loads(raw))
        except (ValueError, TypeError, RecursionError):
            return None
        types = {"host": str, "machine": str, "pid": int, "started": float, "token": str}
        right = all(isinstance(getattr(owner, name), kind) for name, kind in types.items())
        return owner if right else None

    def content(self) -> bytes:
        """Return the content of the object."""
        return json.dumps(asdict(self)).encode()

    @property
    def is_this_process(self) -> bool:
        """Whether it is the process that asks."""
        return (self.machine, self.pid) == (_machine(), os.getpid()) and not self.is_gone

    @property
    def is_gone(self) -> bool:
        """Whether it was a process of this machine that does not run any more."""
        import psutil

        if self.machine != _machine():
            return False
        try:
            process = psutil.Process(self.pid)
            is_other = abs(process.create_time() - self.started) > 1
            return bool(is_other or process.status() == psutil.STATUS_ZOMBIE)
        except psutil.NoSuchProcess:
            return True
        except psutil.Error:
            return False


def _machine() -> str:
    """Return what no other machine, and no other table of processes, has."""
    parts = [platform.node()]
    with suppress(OSError), open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        parts.append(file.read().strip())
    with suppress(OSError):
        parts.append(os.readlink("/proc/self/ns/pid"))
    return " ".join(parts)
