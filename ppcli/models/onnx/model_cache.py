"""Model directories at URLs: each is copied once into a cache on this machine.

The name of a copy is a digest of its manifest, which has the digests of all files. So the same
model at two URLs is stored once, and one that was replaced is copied anew. A copy appears whole.
"""

import hashlib
import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import BinaryIO

import xxhash
from filelock import FileLock, Timeout

from ppcli.errors import ModelError, with_subject
from ppcli.files import FileState
from ppcli.filesystems.objects import start_reading, state_at, wait_for
from ppcli.filesystems.pieces import digest_of, pieces_of
from ppcli.filesystems.schemes import is_url, shown_url, without_secrets
from ppcli.filesystems.store_faults import FaultKind, StoreError
from ppcli.jit.cache import user_folder
from ppcli.models.model_files import MAX_JSON_BYTES, parse_json
from ppcli.models.onnx.directory import MANIFEST, ModelDirectory, ModelManifest
from ppcli.store.atomic import sync_folder

logger = logging.getLogger("pixelprune")

_LOCK, _PARTIAL = ".lock", ".partial"
_POLL_SECONDS = 0.2
_UPLOAD_AGAIN = "upload the model directory again"


def open_model(model: str) -> ModelDirectory:
    """Open a model directory at a path, or at a URL, from which it is copied into the cache.

    Raises:
        ModelError: it is not one, a file is missing or damaged, or the cache cannot be written.
        StoreError: it cannot be read.
        UsageError: the scheme of the URL is unknown.
        MissingDependencyError: the driver of the URL is not installed.
    """
    if not is_url(model):
        return ModelDirectory.open(model)
    folder = _FarModel.at(model).local_copy()
    try:
        return ModelDirectory.open(folder)
    except ModelError as error:
        raise ModelError(with_subject(without_secrets(model), str(error))) from error


def is_model_url(url: str) -> bool:
    """Return whether there is a model directory at a URL.

    Raises:
        StoreError: the store does not tell.
    """
    return not url.lower().endswith(".parquet") and state_at(_below(url, MANIFEST)) is not None


def changed_files_at(url: str) -> list[str]:
    """Compare the files of a model directory at a URL with their digests; all of them are read.

    Returns:
        A sentence for each file that differs or is missing.

    Raises:
        ModelError: the manifest is invalid.
        StoreError: a file cannot be read.
    """
    found = []
    for file in _FarModel.at(url).files:
        try:
            if digest_of(file.url, file.state()) != file.digest:
                found.append(f"{file} has changed since it was exported")
        except ModelError as error:
            found.append(str(error))
    return found


def cache_folder() -> str:
    """Return the folder of all copies, which need not exist."""
    chosen = os.environ.get("PIXELPRUNE_CACHE") or user_folder()
    return os.path.join(os.path.abspath(chosen), "models")


@dataclass(frozen=True, slots=True)
class _FarFile:
    """A file of a model directory at a URL, and what the manifest says of it."""

    url: str = field(repr=False)
    name: str
    size: int
    digest: str

    def __str__(self) -> str:
        return without_secrets(self.url)

    def state(self) -> FileState:
        """Return its state.

        Raises:
            ModelError: it is missing, or has another size.
        """
        state = state_at(self.url)
        if state is None:
            raise ModelError(f"{self} is missing; {_UPLOAD_AGAIN}")
        if state.size == -1:  # a web server does not tell; the digest does
            return state._replace(size=self.size)
        if state.size != self.size:
            raise ModelError(
                f"{self} has {state.size:,} bytes, but {self.size:,} were exported; {_UPLOAD_AGAIN}"
            )
        return state

    def copy_to(self, folder: str) -> None:
        """Copy it into a folder, durably.

        Raises:
            ModelError: it is missing, or has other content.
            OSError: the copy cannot be written.
        """
        state, digest = self.state(), xxhash.xxh3_128()
        with open(os.path.join(folder, self.name), "xb", opener=_owner_only) as copy:
            for piece in pieces_of(self.url, state):
                digest.update(piece)
                copy.write(piece)
            _sync(copy)
        if digest.hexdigest() != self.digest:
            raise ModelError(f"{self} has other content than was exported; {_UPLOAD_AGAIN}")


@dataclass(frozen=True, slots=True)
class _FarModel:
    """A model directory at a URL.

    Attributes:
        url: the URL.
        content: its manifest.
        files: what the manifest names.
    """

    url: str = field(repr=False)
    content: bytes = field(repr=False)
    files: list[_FarFile]

    @classmethod
    def at(cls, url: str) -> "_FarModel":
        """Read the manifest at a URL.

        Raises:
            ModelError: there is none, or it is invalid.
            StoreError: it cannot be read.
        """
        at, shown = _below(url, MANIFEST), without_secrets(_below(url, MANIFEST))
        try:
            content = wait_for(start_reading(at, None), at).content
        except StoreError as error:
            if error.kind is FaultKind.MISSING:
                raise ModelError(
                    f"{shown_url(url)} is not a model directory: it has no {MANIFEST}; "
                    "upload all that pixelprune export wrote"
                ) from error
            raise
        if content is None or len(content) > MAX_JSON_BYTES:
            raise ModelError(f"{shown} has more than {MAX_JSON_BYTES:,} bytes")
        manifest = ModelManifest.of(parse_json(content, shown), without_secrets(url), shown)
        files = [
            _FarFile(_below(url, name), name, size, digest)
            for name, (size, digest) in manifest.files.items()
        ]
        return cls(url, content, files)

    def local_copy(self) -> str:
        """Return the folder of the copy, which is made first unless it is there.

        Of several processes one makes it; the others wait.

        Raises:
            ModelError: the model is damaged, or the cache cannot be written.
            StoreError: a file cannot be read.
        """
        name = hashlib.blake2b(self.content, digest_size=16).hexdigest()
        cache = cache_folder()
        folder = os.path.join(cache, name)
        try:
            if not self._is_copied(folder):
                os.makedirs(cache, mode=0o700, exist_ok=True)
                with _locked(folder, shown_url(self.url)):
                    if not self._is_copied(folder):
                        _remove_leftovers(cache, name)
                        self._copy(cache, folder)
        except (OSError, NotImplementedError) as error:
            reason = getattr(error, "strerror", None) or error
            raise ModelError(
                f"{shown_url(self.url)} cannot be copied into the cache {cache}: {reason}; "
                "PIXELPRUNE_CACHE names another folder"
            ) from error
        return folder

    def _is_copied(self, folder: str) -> bool:
        """Return whether a folder has the manifest, and files of the right names and sizes."""
        expected = {file.name: file.size for file in self.files} | {MANIFEST: len(self.content)}
        try:
            with os.scandir(folder) as entries:
                sizes = {one.name: one.stat().st_size for one in entries if one.is_file()}
            with open(os.path.join(folder, MANIFEST), "rb") as file:
                return sizes == expected and file.read() == self.content
        except (FileNotFoundError, NotADirectoryError):
            return False

    def _copy(self, cache: str, folder: str) -> None:
        size = sum(file.size for file in self.files)
        if os.path.lexists(folder):
            logger.warning("the copy of %s in the cache is damaged", shown_url(self.url))
            _remove(folder)
        if shutil.disk_usage(cache).free < size:
            raise OSError(f"{size:,} bytes do not fit on the disk")
        logger.info("copying %s (%s bytes) into %s", shown_url(self.url), f"{size:,}", folder)
        partial = folder + _PARTIAL
        os.mkdir(partial, 0o700)
        try:
            for file in self.files:
                file.copy_to(partial)
            with open(os.path.join(partial, MANIFEST), "xb", opener=_owner_only) as manifest:
                manifest.write(self.content)
                _sync(manifest)
            sync_folder(partial)
            os.rename(partial, folder)
        except BaseException:
            with suppress(OSError):
                _remove(partial)
            raise
        sync_folder(cache)


@contextmanager
def _locked(folder: str, model: str) -> Iterator[None]:
    """Hold the lock of a copy; the system releases it when the process dies."""
    lock = FileLock(folder + _LOCK, timeout=0, mode=0o600)
    try:
        lock.acquire()
    except Timeout:
        logger.info("waiting for another process that copies %s", model)
        lock.acquire(timeout=-1, poll_interval=_POLL_SECONDS)
    try:
        yield
    finally:
        lock.release()


def _remove_leftovers(cache: str, own: str) -> None:
    """Remove the parts of copies that killed processes left.

    Args:
        cache: the folder of all copies.
        own: name of the copy whose lock this process holds.
    """
    for name in os.listdir(cache):
        if not name.endswith(_PARTIAL):
            continue
        path, copy = os.path.join(cache, name), name.removesuffix(_PARTIAL)
        if copy == own:
            _remove(path)
            continue
        with suppress(Timeout), FileLock(os.path.join(cache, copy + _LOCK), 0, mode=0o600):
            _remove(path)


def _remove(path: str) -> None:
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    else:
        os.unlink(path)


def _owner_only(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _sync(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


def _below(url: str, name: str) -> str:
    """Return the URL of a file in a folder; on a web server, the query of the folder holds."""
    scheme, separator, path = url.partition("://")
    query = ""
    if scheme.lower() in ("http", "https"):
        path, mark, rest = path.partition("?")
        query = mark + rest
    return f"{scheme}{separator}{path.rstrip('/')}/{name}{query}"
