"""Options of bench. Imports little, since `--help` needs them."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

from ppcli.errors import UsageError
from ppcli.models.families.family_registry import PUBLISHED_SIZES, family_of_size
from ppcli.models.model_choices import Dtype, Weights
from ppcli.options import Option, Options, listed
from ppcli.store.output_options import Overwrite

BENCH_IMAGES = 16


def parse_batch_sizes(text: str) -> tuple[int, ...]:
    """Parse batch sizes that commas separate.

    Raises:
        UsageError: one is not a positive number.
    """
    parts = text.split(",")
    if not all(part.strip().isdecimal() and int(part) for part in parts):
        raise UsageError(f"--batch-sizes is {text!r}; write whole numbers like 1,8")
    return tuple(sorted({int(part) for part in parts}))


@dataclass(frozen=True, slots=True)
class RandomModelOptions(Options):
    """A model with random weights, instead of a model directory.

    Attributes:
        random_weights: a published size; None to use the model directory.
        layers: layers of each transformer; the times of the others are extrapolated. None for all.
        dtype: of weights and activations; None for one that suits the device.
        weights: whether matrices are quantized; None for not.

    Raises:
        UsageError: the size is unknown, or another option needs `random_weights`.
    """

    panel: ClassVar = "Model"

    random_weights: Annotated[
        str | None,
        Option(
            f"Use a model of this size with random weights: {', '.join(PUBLISHED_SIZES)}.",
            metavar="SIZE",
        ),
    ] = None
    layers: Annotated[
        int | None,
        Option(
            "Random weights: run this many layers of each transformer and extrapolate the others.",
            metavar="N",
            min=1,
        ),
    ] = None
    dtype: Annotated[
        Dtype | None,
        Option(
            f"Random weights: data type, {listed(Dtype)}. Default: float32 on the CPU, bfloat16 on "
            "CUDA.",
            metavar="TYPE",
        ),
    ] = None
    weights: Annotated[
        Weights | None,
        Option("Random weights: quantize the matrices of the language model. Default: float."),
    ] = None

    def __post_init__(self) -> None:
        Options.__post_init__(self)
        if self.random_weights is not None:
            family_of_size(self.random_weights)
        elif any(one is not None for one in (self.layers, self.dtype, self.weights)):
            raise UsageError("--layers, --dtype and --weights are for --random-weights")


@dataclass(frozen=True, slots=True)
class MeasureOptions(Options):
    """What bench measures.

    Attributes:
        prompt: question about each page.
        new_tokens: tokens to generate for each answer.
        batch_sizes: requests to process at once; None for sizes that suit the device.
        repeats: measured runs of each page, after a warm-up run.
        price_per_hour: of all servers together; None if it is unknown.
    """

    panel: ClassVar = "Measurement"

    prompt: Annotated[str, Option("Question about each page.", metavar="TEXT")] = (
        "What does this page say?"
    )
    new_tokens: Annotated[
        int, Option("Tokens to generate for each answer.", metavar="N", min=2)
    ] = 32
    batch_sizes: Annotated[
        tuple[int, ...] | None,
        Option(
            "Batch sizes to measure. Default: 1,8; with CUDA 1,8,32.",
            metavar="N,N",
            parse=parse_batch_sizes,
        ),
    ] = None
    repeats: Annotated[
        int, Option("Measured runs of each page, after a warm-up run.", metavar="N", min=1)
    ] = 3
    price_per_hour: Annotated[
        float | None,
        Option(
            "Price of the servers per hour; also gives the cost of 1,000 pages.",
            metavar="PRICE",
            min=0,
        ),
    ] = None


@dataclass(frozen=True, slots=True)
class BenchOutputOptions(Options):
    """Where figures are written.

    Attributes:
        output: a `.json` file, `-` for standard output, or None.
        overwrite: replace an existing file.
    """

    panel: ClassVar = "Output"

    output: Annotated[
        str | None,
        Option(
            ".json file for all figures, or - for standard output.",
            flags=("--output", "-o"),
            metavar="OUT",
        ),
    ] = None
    overwrite: Overwrite = False
