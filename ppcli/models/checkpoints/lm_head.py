"""Decides which matrix gives the logits: the token embeddings, or a matrix of its own."""

from ppcli.errors import ModelError
from ppcli.models.checkpoints.checkpoint_weights import CheckpointWeights
from ppcli.models.families.base import Family
from ppcli.models.model_choices import Head
from ppcli.models.model_files import CONFIG


def is_head_tied(
    weights: CheckpointWeights, family: Family, flags: list[bool], head: Head | None
) -> bool:
    """Whether the logits come from the token embeddings.

    A checkpoint contradicts itself if a flag ties the two matrices, and both are stored with
    different values. Programs disagree about which to use then, so the user has to choose.

    Args:
        weights: of the checkpoint.
        family: names the two matrices.
        flags: what `config.json` says: first the flag that transformers reads, then others.
        head: the user's choice; None follows the checkpoint.

    Raises:
        ModelError: if the checkpoint contradicts itself, or lacks the chosen matrix.
    """
    own, embedding = family.head_tensor, family.embedding_tensor
    if head is Head.TIED:
        return True
    tied = any(flags[:1])
    if own not in weights:
        if embedding not in weights:  # then other tensors are missing too; reported together
            return tied
        if head is Head.OWN or not tied:
            raise ModelError(
                f"{weights.folder} has no tensor {own}; --head tied takes the logits from "
                f"{embedding}"
            )
        return True
    if head is Head.OWN:
        return False
    both = embedding in weights and any(flags)
    if both and not weights.are_equal(own, embedding):
        raise ModelError(
            f"{weights.folder}: tie_word_embeddings in {CONFIG} says that {own} is {embedding}, "
            "but the weights have both, and they differ; --head own takes the first, as "
            "transformers does, --head tied the second"
        )
    return tied
