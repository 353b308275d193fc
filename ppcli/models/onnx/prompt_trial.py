"""What one prompt tells of a checkpoint, so that it need not be found out at the first request."""

from ppcli.errors import ModelError, UsageError, bounded
from ppcli.models.families.qwen3_vl.configuration import CONFIG, ModelConfig
from ppcli.models.generation_config import GENERATION, Generation
from ppcli.models.text.chat_prompts import Prompter, message_of


def try_prompts(
    folder: str, prompter: Prompter, config: ModelConfig, generation: Generation
) -> list[str]:
    """Write prompts with no image, with one and with two, as requests will.

    Args:
        folder: of the checkpoint.
        prompter: of its tokenizer and chat template.
        config: of its model.
        generation: of its answers.

    Returns:
        A sentence for each thing that a user should know.

    Raises:
        ModelError: when a request with an image could not be answered.
    """
    if not prompter.has(config.image_token):
        raise ModelError(
            f"the tokenizer of {folder} has no token {config.image_token}, which stands for images"
        )
    for images in (1, 0):
        _try(folder, prompter, config, images)
    told = _about_ends(folder, prompter, config, generation)
    try:
        _try(folder, prompter, config, 2)
    except ModelError as error:
        told.append(f"requests with several images will fail: {error}")
    return told


def _try(folder: str, prompter: Prompter, config: ModelConfig, images: int) -> None:
    try:
        ids = prompter.ids(message_of("?", images))
    except UsageError as error:
        raise ModelError(f"{folder}: {error}") from error
    token, found = config.image_token, ids.count(config.image_token)
    if found != images:
        text = prompter.text(message_of("?", images))
        raise ModelError(
            f"{folder}: its chat template makes {found} image tokens where there are to be "
            f"{images}; image_token_id in {CONFIG} is {token} ({prompter.word(token)}), and a "
            f"prompt with so many images is written {bounded(text)!r}"
        )
    if max(ids, default=0) >= config.text.vocab_size:
        raise ModelError(
            f"{folder}: its chat template writes token {max(ids)} ({prompter.word(max(ids))}), "
            f"and the model has {config.text.vocab_size:,} tokens"
        )


def _about_ends(
    folder: str, prompter: Prompter, config: ModelConfig, generation: Generation
) -> list[str]:
    ends = generation.end_tokens
    unknown = {end for end in ends if end >= config.text.vocab_size or not prompter.has(end)}
    if ends and unknown == ends:
        raise ModelError(
            f"{folder}: no answer would end: the model has no token {_listed(unknown)}, which "
            f"eos_token_id names in {GENERATION} or {CONFIG}"
        )
    if not ends:
        return [
            f"neither {GENERATION} nor {CONFIG} has an eos_token_id: every answer goes on until "
            "--max-new-tokens"
        ]
    told = []
    if unknown:
        told.append(f"eos_token_id names token {_listed(unknown)}, which the model does not have")
    if generation.borrowed_ends:
        told.append(
            f"{GENERATION} has no eos_token_id: answers end at token {_listed(ends)}, that of "
            f"{CONFIG}; in transformers they would go on"
        )
    return told


def _listed(tokens: set[int] | frozenset[int]) -> str:
    return ", ".join(map(str, sorted(tokens)))
