"""Running the installed command as a user does."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path


def pixelprune(
    *args: str | Path, stdin: bytes | None = None, cwd: Path | None = None, **environment: str
) -> subprocess.CompletedProcess[bytes]:
    """Run the command in a process of its own, without a terminal."""
    return subprocess.run(
        command_line(args),
        check=False,
        input=stdin,
        stdin=None if stdin is not None else subprocess.DEVNULL,
        capture_output=True,
        cwd=cwd,
        env=os.environ | environment,
    )


def command_line(args: Sequence[str | Path]) -> list[str]:
    """What runs `pixelprune` with these arguments."""
    return [sys.executable, "-W", "error", "-m", "ppcli", *map(os.fspath, args)]
