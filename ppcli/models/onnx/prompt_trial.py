"""What one prompt tells of a checkpoint, so that it need not be found out at the first request."""

from ppcli.errors import ModelError, UsageError, bounded
from ppcli.models.families.qwen3_vl.configuration import CONFIG, ModelConfig
from ppcli.models.generation_config import GENERATION, Generation
from ppcli.models.text.chat_tokenizer import ChatTokenizer, chat_messages


def try_prompts(
    folder: str, chat_tokenizer: ChatTokenizer, config: ModelConfig, generation: Generation
) -> list[str]:
    """Write prompts with no image, with one and with two, as requests will.

    Args:
        folder: of the checkpoint.
        chat_tokenizer: of its tokenizer and chat template.
        config: of its model.
        generation: of its answers.

    Returns:
        A sentence for each thing that a user should know.

    Raises:
        ModelError: when a request with an image could not be answered.
    """
    if not chat_tokenizer.has_token(config.image_token):
        raise ModelError(
            f"the tokenizer of {folder} has no token {config.image_token}, which stands for images"
        )
    for images in (1, 0):
        _try(folder, chat_tokenizer, config, images)
    told = _about_ends(folder, chat_tokenizer, config, generation)
    try:
        _try(folder, chat_tokenizer, config, 2)
    except ModelError as error:
        told.append(f"requests with several images will fail: {error}")
    return told


def _try(folder: str, chat_tokenizer: ChatTokenizer, config: ModelConfig, images: int) -> None:
    try:
        ids = chat_tokenizer.encode_messages(chat_messages("?", images))
    except UsageError as error:
        raise ModelError(f"{folder}: {error}") from error
    token, found = config.image_token, ids.count(config.image_token)
    if found != images:
        text = chat_tokenizer.render(chat_messages("?", images))
        raise ModelError(
            f"{folder}: its chat template makes {found} image tokens where there are to be "
            f"{images}; image_token_id in {CONFIG} is {token} "
            f"({chat_tokenizer.token_text(token)}), and a prompt with so many images is "
            f"written {bounded(text)!r}"
        )
    if max(ids, default=0) >= config.text.vocab_size:
        raise ModelError(
            f"{folder}: its chat template writes token {max(ids)} "
            f"({chat_tokenizer.token_text(max(ids))}), and the model has "
            f"{config.text.vocab_size:,} tokens"
        )


def _about_ends(
    folder: str, chat_tokenizer: ChatTokenizer, config: ModelConfig, generation: Generation
) -> list[str]:
    ends = generation.end_tokens
    unknown = {
        end for end in ends if end >= config.text.vocab_size or not chat_tokenizer.has_token(end)
    }
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
