"""Finds a checkpoint by its name on the Hugging Face Hub."""

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
    """Return the folder of a checkpoint; one on the Hub is downloaded to the cache.

    An interrupted download is resumed. With HF_HUB_OFFLINE=1 only the cache is used.

    Args:
        model: a folder, or a name on the Hub such as `Qwen/Qwen3-VL-2B-Instruct`.
        revision: branch, tag or commit of a name on the Hub.
        progress: whether to draw progress bars on standard error.

    Returns:
        The folder, and the name that the manifest gives the checkpoint.

    Raises:
        ModelError: if there is no such folder or name, or the download fails.
    """
    if os.path.isdir(model):
        if revision is not None:
            raise ModelError(f"{model} is a folder; --revision is for names on the Hub")
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
        return f"{model}: there is no such folder, and this is not a name on the Hugging Face Hub"
    if isinstance(error, GatedRepoError):
        return f"{model} is gated: request access on its page, then log in with hf auth login"
    if isinstance(error, RepositoryNotFoundError):
        return f"{model}: there is no such folder, and no such model on the Hugging Face Hub"
    if isinstance(error, RevisionNotFoundError):
        return f"{model} has no revision {revision}"
    if isinstance(error, LocalEntryNotFoundError):
        offline = constants.HF_HUB_OFFLINE
        why = "HF_HUB_OFFLINE is set" if offline else "the Hub cannot be reached"
        return (
            f"{model}: there is no such folder, {why}, and the model is not in the local cache; "
            "download it on a machine with network access, or name a folder"
        )
    return f"{model} cannot be downloaded: {(str(error) or type(error).__name__).splitlines()[0]}"
