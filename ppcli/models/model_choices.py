"""Choices of model options. `--help` lists them, so this module does not import onnxruntime."""

from enum import StrEnum

DEFAULT_MAX_NEW_TOKENS = 256


class Device(StrEnum):
    """Where a model runs; `auto` uses CUDA if it works."""

    AUTO = "auto"
    CUDA = "cuda"
    CPU = "cpu"


class Weights(StrEnum):
    """How the matrices of the language model are stored."""

    FLOAT = "float"
    INT8 = "int8"
    INT4 = "int4"


class Head(StrEnum):
    """Which matrix gives the logits, if a checkpoint contradicts itself."""

    TIED = "tied"
    OWN = "own"


class Dtype(StrEnum):
    """Type of weights and activations."""

    FLOAT32 = "float32"
    FLOAT16 = "float16"
    BFLOAT16 = "bfloat16"


class Think(StrEnum):
    """What to do with the thinking in an answer."""

    KEEP = "keep"
    SPLIT = "split"
    DROP = "drop"
