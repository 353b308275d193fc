"""Which matrix gives the logits: the embedding, or one of its own."""

from ppcli.errors import ModelError
from ppcli.models.families.qwen3_vl.configuration import CONFIG
from ppcli.models.families.qwen3_vl.decoder_graph import EMBEDDING, HEAD
from ppcli.models.model_choices import Head
from ppcli.models.onnx.checkpoint import Checkpoint


def head_is_tied(checkpoint: Checkpoint, said: list[bool], head: Head | None) -> bool:
    """Whether the logits come from the embedding.

    A flag that says so and a matrix that is there and differs contradict each other, and programs
    do not agree on which of them counts.

    Args:
        checkpoint: its weights.
        said: by its configuration: the flag that counts, and others.
        head: what was asked for; None goes by the checkpoint.

    Raises:
        ModelError: when the checkpoint contradicts itself, or lacks what was asked for.
    """
    if head is Head.TIED:
        return True
    tied = any(said[:1])
    if HEAD not in checkpoint:
        if EMBEDDING not in checkpoint:  # nor most others, which is told together
            return tied
        if head is Head.OWN or not tied:
            raise ModelError(
                f"{checkpoint.folder} has no tensor {HEAD}; with --head tied the logits come from "
                f"{EMBEDDING}"
            )
        return True
    if head is Head.OWN:
        return False
    both = EMBEDDING in checkpoint and any(said)
    if both and not checkpoint.same(HEAD, EMBEDDING):
        raise ModelError(
            f"{checkpoint.folder}: tie_word_embeddings in {CONFIG} says that {HEAD} is "
            f"{EMBEDDING}, but the weights hold both, and they differ; --head own takes the "
            "first, as transformers does, --head tied the second"
        )
    return tied
