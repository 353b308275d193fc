"""The choices of this stop, apart from the code that needs onnxruntime: `--help` shows them."""

from enum import StrEnum

DEFAULT_MAX_NEW_TOKENS = 256


class Device(StrEnum):
    """Where the model runs."""

    AUTO = "auto"
    CUDA = "cuda"
    CPU = "cpu"


class Weights(StrEnum):
    """How the matrices of the language model are kept."""

    FLOAT = "float"
    INT8 = "int8"
    INT4 = "int4"


class Head(StrEnum):
    """Where logits come from, if a checkpoint contradicts itself."""

    TIED = "tied"
    OWN = "own"


class Dtype(StrEnum):
    """The type of a model's weights and activations."""

    FLOAT32 = "float32"
    FLOAT16 = "float16"
    BFLOAT16 = "bfloat16"


class ModelSize(StrEnum):
    """A published size of model."""

    QWEN3_VL_2B = "qwen3-vl-2b"
    QWEN3_VL_4B = "qwen3-vl-4b"
    QWEN3_VL_8B = "qwen3-vl-8b"


class Think(StrEnum):
    """What becomes of the thinking in an answer."""

    KEEP = "keep"
    SPLIT = "split"
    DROP = "drop"
