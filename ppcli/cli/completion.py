"""Completion in shells, as Typer installs it, with what it lacks."""

import os
from contextlib import suppress

OPTION = "--install-completion"
_AT_ONCE = (
    "\n# the shell reads this file when the key is first pressed: complete then too\n"
    '[ "$funcstack[1]" = "_pixelprune" ] && _pixelprune_completion "$@"\n'
)


def mend_installed() -> None:
    """Let zsh complete at the first press of the key; otherwise it takes a second one."""
    path = os.path.join(os.path.expanduser("~"), ".zfunc", "_pixelprune")
    with suppress(OSError), open(path, "r+", encoding="utf-8") as file:
        if _AT_ONCE not in file.read():
            file.write(_AT_ONCE)
