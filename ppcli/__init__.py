"""pixelprune: finds the repeated patches of documents and screenshots before a VLM sees them.

Names load on first use, so that importing the package costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from ppcli.version import __version__

if TYPE_CHECKING:
    from ppcli.api import (
        analyze,
        bench,
        evaluate,
        export,
        infer,
        reconstruct,
        report,
        sweep,
        verify,
        view,
    )
    from ppcli.coding.coder_options import CoderOptions
    from ppcli.coding.patchset import PatchSet
    from ppcli.coding.prune import keep_mask, prune
    from ppcli.models.integrations.pruned_inputs import PrunedInputs, pruned_inputs
    from ppcli.models.integrations.transformers.collator import PrunedCollator
    from ppcli.store.patch_sets import read_patch_sets

__all__ = [
    "CoderOptions",
    "PatchSet",
    "PrunedCollator",
    "PrunedInputs",
    "__version__",
    "analyze",
    "bench",
    "evaluate",
    "export",
    "infer",
    "keep_mask",
    "prune",
    "pruned_inputs",
    "read_patch_sets",
    "reconstruct",
    "report",
    "sweep",
    "verify",
    "view",
]

_HOMES = {
    "CoderOptions": "ppcli.coding.coder_options",
    "PatchSet": "ppcli.coding.patchset",
    "PrunedCollator": "ppcli.models.integrations.transformers.collator",
    "PrunedInputs": "ppcli.models.integrations.pruned_inputs",
    "analyze": "ppcli.api",
    "bench": "ppcli.api",
    "evaluate": "ppcli.api",
    "export": "ppcli.api",
    "infer": "ppcli.api",
    "keep_mask": "ppcli.coding.prune",
    "prune": "ppcli.coding.prune",
    "pruned_inputs": "ppcli.models.integrations.pruned_inputs",
    "read_patch_sets": "ppcli.store.patch_sets",
    "reconstruct": "ppcli.api",
    "report": "ppcli.api",
    "sweep": "ppcli.api",
    "verify": "ppcli.api",
    "view": "ppcli.api",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
