"""Lets the torchvision of PyPI load beside a build of torch for CPUs.

Its compiled operators are for CUDA, and importing it fails on a machine without. Its Python part
is all that tests need, once these two names are defined. Not for production: with a GPU nothing of
this is needed.
"""

import sys
from importlib.abc import MetaPathFinder

_OPERATORS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)


class _Definer(MetaPathFinder):
    """Defines the operators when torchvision is about to be imported, and finds nothing."""

    def find_spec(self, name, path=None, target=None):
        if name == "torchvision":
            sys.meta_path.remove(self)
            import torch

            torch.torchvision_operators = torch.library.Library("torchvision", "DEF")
            for schema in _OPERATORS:
                torch.torchvision_operators.define(schema)


sys.meta_path.insert(0, _Definer())
