"""pixelprune: finds the repeated patches of documents and screenshots before a VLM sees them.

Names load on first use, so that importing the package costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from ppcli.version import __version__

if TYPE_CHECKING:
    from ppcli.coding.patchset import PatchSet
    from ppcli.coding.prune import keep_mask, prune
    from ppcli.models.integrations.collator import PrunedCollator
    from ppcli.models.integrations.pruned_inputs import PrunedInputs, pruned_inputs
    from ppcli.store.reader import read_patch_sets

__all__ = [
    "PatchSet",
    "PrunedCollator",
    "PrunedInputs",
    "__version__",
    "keep_mask",
    "prune",
    "pruned_inputs",
    "read_patch_sets",
]

_HOMES = {
    "PatchSet": "ppcli.coding.patchset",
    "PrunedCollator": "ppcli.models.integrations.collator",
    "PrunedInputs": "ppcli.models.integrations.pruned_inputs",
    "keep_mask": "ppcli.coding.prune",
    "prune": "ppcli.coding.prune",
    "pruned_inputs": "ppcli.models.integrations.pruned_inputs",
    "read_patch_sets": "ppcli.store.reader",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
