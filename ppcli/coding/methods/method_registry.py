"""The registry of pruning methods."""

from enum import StrEnum

from ppcli.coding.methods.conncomp import Conncomp
from ppcli.coding.methods.interface import PruningMethod
from ppcli.coding.methods.left_or_above import LeftOrAbove
from ppcli.coding.methods.left_or_above_flat import LeftOrAboveFlat
from ppcli.coding.methods.pred_2d import Pred2D
from ppcli.coding.methods.pred_2d_flat import Pred2DFlat
from ppcli.coding.methods.random import Random
from ppcli.coding.methods.raster import Raster
from ppcli.coding.methods.serpentine import Serpentine


class Method(StrEnum):
    """The pruning methods; a new one is one line here.

    A member is the name of a method as text, and carries what implements it.

    Attributes:
        implementation: selection, decoding and options of the method.
    """

    implementation: PruningMethod

    def __new__(cls, implementation: PruningMethod | str) -> "Method":
        """Make a member; `Method("raster")` is a lookup, which does not come here."""
        assert isinstance(implementation, PruningMethod)
        member = str.__new__(cls, implementation.name)
        member._value_ = implementation.name
        member.implementation = implementation
        return member

    PRED_2D = Pred2D()
    PRED_2D_FLAT = Pred2DFlat()
    LEFT_OR_ABOVE = LeftOrAbove()
    LEFT_OR_ABOVE_FLAT = LeftOrAboveFlat()
    RASTER = Raster()
    SERPENTINE = Serpentine()
    CONNCOMP = Conncomp()
    RANDOM = Random()
