"""Whether a machine of a cluster can take part in a run: what it must have, and see."""

import os
import platform
from dataclasses import dataclass
from typing import Self

from ppcli.errors import bounded
from ppcli.version import __version__


@dataclass(frozen=True, slots=True)
class NodeCheck:
    """What a machine needs for the tasks of a run.

    Attributes:
        folder: the working folder of the command, from which relative paths start.
        reads: paths of this machine that the run reads.
        sees: a file that the command made in the output; empty for an output in a store.
        version: of pixelprune in the command.
    """

    folder: str
    reads: tuple[str, ...] = ()
    sees: str = ""
    version: str = __version__

    @classmethod
    def of(cls, reads: tuple[str, ...], sees: str) -> Self:
        """Return what machines need for a run that this process starts."""
        return cls(os.getcwd(), reads, sees)

    def problem(self) -> str:
        """Go to the working folder; return what is missing, or an empty text."""
        node = platform.node()
        if __version__ != self.version:
            return (
                f"{node} has pixelprune {__version__}, and this command is {self.version}; "
                "install the same version on all machines"
            )
        try:
            os.chdir(self.folder)
        except OSError:
            relative = [
                path for path in (*self.reads, self.sees) if path and not os.path.isabs(path)
            ]
            if relative:
                return (
                    f"{node} has no folder {bounded(self.folder)}, from which "
                    f"{bounded(relative[0])} starts; use absolute paths of a folder that all "
                    "machines share"
                )
        for path in self.reads:
            if not os.path.lexists(path):
                return (
                    f"{node} does not see {bounded(path)}; inputs must be in a folder that all "
                    "machines share, or in an object store"
                )
        if self.sees and not os.path.exists(self.sees):
            return (
                f"{node} does not see what is written to {bounded(os.path.dirname(self.sees))}; "
                "the output must be in a folder that all machines share, or in an object store"
            )
        return ""
