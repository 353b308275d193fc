"""Repairs the shell completion that Typer installs for zsh."""

import os
from contextlib import suppress

OPTION = "--install-completion"
_AT_ONCE = (
    "\n# the shell reads this file when the key is first pressed: complete then too\n"
    '[ "$funcstack[1]" = "_pixelprune" ] && _pixelprune_completion "$@"\n'
)


def mend_installed() -> None:
    """Make zsh complete when Tab is first pressed; without this, only the second press does."""
    path = os.path.join(os.path.expanduser("~"), ".zfunc", "_pixelprune")
    with suppress(OSError), open(path, "r+", encoding="utf-8") as file:
        if _AT_ONCE not in file.read():
            file.write(_AT_ONCE)
