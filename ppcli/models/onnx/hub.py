"""A checkpoint by its name on the Hugging Face hub."""

import os

from huggingface_hub import constants, snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HFValidationError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils.tqdm import disable_progress_bars, enable_progress_bars

from ppcli.errors import ModelError

_FILES = ["*.json", "*.safetensors", "*.jinja", "merges.txt"]


def checkpoint_folder(
    model: str, revision: str | None = None, progress: bool = False
) -> tuple[str, str]:
    """The folder of a checkpoint: itself, or downloaded into the cache of the hub.

    A download that was cut goes on where it was; with HF_HUB_OFFLINE=1 only the cache is used.

    Args:
        model: a folder, or a name on the hub such as `Qwen/Qwen3-VL-2B-Instruct`.
        revision: a branch, tag or commit of a name on the hub.
        progress: whether bars are drawn on standard error.

    Returns:
        The folder, and the words for its source.

    Raises:
        ModelError: when there is no such folder or name, or it cannot be had.
    """
    if os.path.isdir(model):
        if revision is not None:
            raise ModelError(f"{model} is a folder, which has no revisions")
        return model, os.path.basename(os.path.abspath(model))
    try:
        (enable_progress_bars if progress else disable_progress_bars)()
        folder = snapshot_download(
            model, revision=revision, allow_patterns=_FILES, ignore_patterns="*/*"
        )
    except Exception as error:
        raise ModelError(_reason(model, revision, error)) from error
    return folder, f"{model}@{os.path.basename(folder)}"


def _reason(model: str, revision: str | None, error: Exception) -> str:
    if isinstance(error, HFValidationError):
        return f"{model}: there is no such folder, and this is no name on the Hugging Face hub"
    if isinstance(error, GatedRepoError):
        return f"{model} is gated: ask for access on its page, then log in with hf auth login"
    if isinstance(error, RepositoryNotFoundError):
        return f"{model}: there is no such folder, and no such model on the Hugging Face hub"
    if isinstance(error, RevisionNotFoundError):
        return f"{model} has no revision {revision}"
    if isinstance(error, LocalEntryNotFoundError):
        why = "HF_HUB_OFFLINE is set" if constants.HF_HUB_OFFLINE else "the hub cannot be reached"
        return (
            f"{model}: there is no such folder, {why}, and the model is not in the cache of "
            "the hub; download it where there is a network, or name a folder"
        )
    return f"{model} cannot be downloaded: {(str(error) or type(error).__name__).splitlines()[0]}"
