"""Short forms of arguments: what a caller may pass instead of an options object."""

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING

from ppcli.inputs.input_options import InputOptions
from ppcli.models.model_options import ModelOptions
from ppcli.store.formats import ROWS_PER_SHARD
from ppcli.store.output_options import GrowingOutputOptions, OutputOptions

if TYPE_CHECKING:
    from ppcli.models.costs import NamedModel

Path = str | os.PathLike[str]
Inputs = InputOptions | Path | Iterable[Path]


def named_model(name: str) -> "NamedModel":
    """Return the model of a published size or a folder."""
    from ppcli.models.costs import NamedModel

    return NamedModel.of(name)


def input_options(inputs: Inputs) -> InputOptions:
    """Return the options that name one path, or several."""
    if isinstance(inputs, InputOptions):
        return inputs
    if isinstance(inputs, str | os.PathLike):
        return InputOptions((os.fspath(inputs),))
    return InputOptions(tuple(os.fspath(path) for path in inputs))


def output_options(
    output: OutputOptions | Path | None,
    rows_per_shard: int = ROWS_PER_SHARD,
    kind: type[OutputOptions] = GrowingOutputOptions,
) -> OutputOptions | None:
    """Return the options of a kind that name a path, with the shards of the job."""
    if output is None or isinstance(output, OutputOptions):
        return output
    return kind(os.fspath(output), rows_per_shard=rows_per_shard)


def model_options(model: ModelOptions | Path | None) -> ModelOptions:
    """Return the options that name a model directory; None for the small model."""
    if isinstance(model, ModelOptions):
        return model
    return ModelOptions(None if model is None else os.fspath(model))
