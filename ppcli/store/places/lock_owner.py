"""The process that holds the lock of a dataset in a store."""

import json
import os
import platform
import secrets
import uuid
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class Owner:
    """The process that holds a lock.

    Attributes:
        host: name of its machine, for people.
        machine: identifies the machine and its table of processes.
        pid: number of the process there.
        started: when the process started, as its system counts it.
        token: random.
    """

    host: str
    machine: str
    pid: int
    started: str
    token: str

    @classmethod
    def of_this_process(cls) -> "Owner":
        """Return this process, with a new token."""
        pid = os.getpid()
        started = _start_of(pid) or ""
        return cls(platform.node(), _machine(), pid, started, secrets.token_hex(16))

    @classmethod
    def parse(cls, raw: bytes) -> "Owner | None":
        """Return the owner that an object names; None if it names none."""
        try:
            owner = cls(**json.loads(raw))
        except (ValueError, TypeError, RecursionError):
            return None
        types = {"host": str, "machine": str, "pid": int, "started": str, "token": str}
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
        return self.machine == _machine() and _start_of(self.pid) not in (self.started, None)


def _start_of(pid: int) -> str | None:
    """Return when a process started; empty if it does not run, None if the system hides it.

    Linux counts from the start of the machine, so that a change of the clock changes nothing.
    """
    import psutil

    try:
        if not os.path.exists("/proc/self/stat"):
            return repr(psutil.Process(pid).create_time())
        with open(f"/proc/{pid}/stat", "rb") as file:
            state, *others = file.read().rpartition(b")")[2].split()
        return "" if state == b"Z" else others[18].decode()
    except (OSError, psutil.Error):
        return None if psutil.pid_exists(pid) else ""


def _machine() -> str:
    """Return what no other machine, and no other table of processes, has."""
    parts = [platform.node()]
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            parts.append(file.read().strip())
        parts.append(os.readlink("/proc/self/ns/pid"))
    except OSError:
        parts.append(f"{uuid.getnode():x}")
    return " ".join(parts)
