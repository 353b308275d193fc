"""Checks at export that prompts can be written, so that no request fails for that reason later."""

from ppcli.errors import ModelError, UsageError, bounded
from ppcli.models.families.base import ModelConfig
from ppcli.models.generation_config import GENERATION, Generation
from ppcli.models.model_files import CONFIG
from ppcli.models.text.chat_tokenizer import ChatTokenizer, chat_messages


def check_prompts(
    folder: str, chat_tokenizer: ChatTokenizer, config: ModelConfig, generation: Generation
) -> list[str]:
    """Write prompts with no image, with one and with two, as requests will.

    Args:
        folder: of the checkpoint.
        chat_tokenizer: its tokenizer and chat template.
        config: of the model.
        generation: its generation settings.

    Returns:
        Warnings for the user.

    Raises:
        ModelError: if no request with an image could be answered.
    """
    if not chat_tokenizer.has_token(config.image_token):
        raise ModelError(
            f"the tokenizer of {folder} has no token {config.image_token}, the image token"
        )
    for images in (1, 0):
        _check_prompt(folder, chat_tokenizer, config, images)
    warnings = _check_end_tokens(folder, chat_tokenizer, config, generation)
    try:
        _check_prompt(folder, chat_tokenizer, config, 2)
    except ModelError as error:
        warnings.append(f"requests with several images will fail: {error}")
    return warnings


def _check_prompt(
    folder: str, chat_tokenizer: ChatTokenizer, config: ModelConfig, images: int
) -> None:
    try:
        ids = chat_tokenizer.encode_messages(chat_messages("?", images))
    except UsageError as error:
        raise ModelError(f"{folder}: {error}") from error
    token, found = config.image_token, ids.count(config.image_token)
    if found != images:
        text = chat_tokenizer.render(chat_messages("?", images))
        raise ModelError(
            f"{folder}: its chat template writes {found} image tokens for a message with {images}; "
            f"image_token_id in {CONFIG} is {token} ({chat_tokenizer.token_text(token)}), and the "
            f"prompt is {bounded(text)!r}"
        )
    if max(ids, default=0) >= config.vocab_size:
        raise ModelError(
            f"{folder}: its chat template writes token {max(ids)} "
            f"({chat_tokenizer.token_text(max(ids))}), and the model has "
            f"{config.vocab_size:,} tokens"
        )


def _check_end_tokens(
    folder: str, chat_tokenizer: ChatTokenizer, config: ModelConfig, generation: Generation
) -> list[str]:
    ends = generation.end_tokens
    unknown = {end for end in ends if end >= config.vocab_size or not chat_tokenizer.has_token(end)}
    if ends and unknown == ends:
        raise ModelError(
            f"{folder}: no answer would end, because eos_token_id in {GENERATION} or {CONFIG} "
            f"names token {_listed(unknown)}, which the model does not have"
        )
    if not ends:
        return [
            f"neither {GENERATION} nor {CONFIG} has an eos_token_id: every answer runs to "
            "--max-new-tokens"
        ]
    warnings = []
    if unknown:
        warnings.append(
            f"eos_token_id names token {_listed(unknown)}, which the model does not have"
        )
    if generation.borrowed_ends:
        warnings.append(
            f"{GENERATION} has no eos_token_id: answers end at token {_listed(ends)} from "
            f"{CONFIG}; transformers would not end them"
        )
    return warnings


def _listed(tokens: set[int] | frozenset[int]) -> str:
    return ", ".join(map(str, sorted(tokens)))
