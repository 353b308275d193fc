"""Declares a tensor that a graph carries from one run to the next."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CacheTensor:
    """A tensor that the decoder carries from one step to the next, for each sequence.

    The decoder graph reads it from the input `past_NAME` and writes it to the output
    `present_NAME`. Both are bound to the same memory, so no node may read the input after the
    output has been written.

    Attributes:
        name: unique within the model, such as `3.key`.
        shape: of one sequence; None marks the axis that has one row for each cached token.
        dtype: float32, float16 or bfloat16; None for the type of the model.
    """

    name: str
    shape: tuple[int | None, ...]
    dtype: str | None = None

    @property
    def past(self) -> str:
        """The name of the input that it is read from."""
        return f"past_{self.name}"

    @property
    def present(self) -> str:
        """The name of the output that it is written to."""
        return f"present_{self.name}"

    @property
    def grows(self) -> bool:
        """Whether its size depends on the number of cached tokens."""
        return None in self.shape

    def shape_for(self, capacity: int) -> list[int]:
        """The shape for one sequence, with room for `capacity` tokens."""
        return [capacity if size is None else size for size in self.shape]
