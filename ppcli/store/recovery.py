"""A dataset folder as a run finds it: claimed, emptied, or brought back after a kill."""

import json
import os
import re
from contextlib import suppress
from itertools import chain

from ppcli.errors import DamagedError, OutputError, bounded
from ppcli.store.atomic import TEMPORARY_SUFFIX, as_output_error, file_digest
from ppcli.store.formats import Config
from ppcli.store.manifest import JOURNAL, MANIFEST, FileRecord, Manifest, Shard, shard_path
from ppcli.store.reader import shard_record
from ppcli.store.rows import PATCHES
from ppcli.store.shard_writer import NEW_SUFFIX

LOCK = ".lock"
NOTE = "target.json"  # beside a manifest: of a dataset that is to become one file
_MOST_SHOWN = 8
_PART = re.compile(rf"part-([0-9]{{5,9}})\.parquet({re.escape(NEW_SUFFIX)})?")


def require_own_folder(root: str) -> None:
    """See that a folder holds nothing but a dataset, if it is there at all.

    Raises:
        OutputError: when it holds other things, or is no folder.
    """
    try:
        found = os.listdir(root)
    except FileNotFoundError:
        return
    except OSError as error:
        raise OutputError(f"{root} cannot be used as a folder: {error.strerror}") from error
    ours = [name for name in found if name in (LOCK, NOTE) or name.endswith(TEMPORARY_SUFFIX)]
    if len(found) > len(ours) and MANIFEST not in found:
        raise OutputError(f"{root} holds other things than a dataset; use another folder")


def prepare_folder(root: str, config: Config, overwrite: bool, resume: bool) -> Manifest:
    """The manifest to go on from; the folder is as that manifest says.

    Args:
        root: the dataset folder, whose lock is held.
        config: of the run.
        overwrite: whether what is there is removed first.
        resume: whether to go on with what is there.

    Raises:
        OutputError: when the folder belongs to another configuration, or cannot be written.
    """
    manifest = _earlier_manifest(root)
    if manifest is not None and overwrite:
        _remove(root, manifest)
        manifest = None
    if manifest is None:
        manifest = Manifest(config)
        manifest.write(root)
    _refuse_other_configuration(root, manifest, config)
    if manifest.shards and not resume:
        raise OutputError(f"{root} holds an earlier run; use --overwrite or another folder")
    with as_output_error(root):
        for kind in manifest.kinds:
            os.makedirs(os.path.join(root, kind), exist_ok=True)
        _recover(root, manifest)
    return manifest


def _earlier_manifest(root: str) -> Manifest | None:
    try:
        return Manifest.read(root)
    except FileNotFoundError:
        return None
    except DamagedError as error:
        raise OutputError(f"{error}; move {root} away or use another folder") from error


def _refuse_other_configuration(root: str, manifest: Manifest, config: Config) -> None:
    differing = [
        f"{bounded(name)}: {_shown(manifest.config, name)} there and {_shown(config, name)} here"
        for name in sorted({*manifest.config, *config})
        if manifest.config.get(name) != config.get(name)
    ]
    if differing:
        others = f", and {len(differing) - _MOST_SHOWN} more" if differing[_MOST_SHOWN:] else ""
        shown = ", ".join(differing[:_MOST_SHOWN]) + others
        raise OutputError(
            f"{root} was made with another configuration ({shown}); "
            "use --overwrite or another folder"
        )


def _shown(config: Config, name: str) -> str:
    return bounded(json.dumps(config[name])) if name in config else "nothing"


def _remove(root: str, manifest: Manifest) -> None:
    """Remove all shards, also those that the manifest does not name, the last one first.

    The manifest stays until another takes its place: a run that is killed in between leaves
    what `--overwrite` can go on removing.
    """
    if os.path.exists(os.path.join(root, JOURNAL)):
        manifest.write(root)
    found = (_numbered(os.path.join(root, kind)) for kind in manifest.kinds)
    for number in sorted({*chain(*found)}, reverse=True):
        _remove_shard(root, number, manifest)
    for kind in manifest.kinds:
        with suppress(OSError):
            os.rmdir(os.path.join(root, kind))


def remove_dataset(root: str) -> None:
    """Remove a dataset whose lock is held, all but the lock; files of others stay.

    Raises:
        OutputError: when a file cannot be removed, or the manifest is unreadable.
    """
    manifest = _earlier_manifest(root)
    if manifest is not None:
        with as_output_error(root):
            _sweep(root, manifest)
            _remove(root, manifest)
            os.unlink(os.path.join(root, MANIFEST))


def _remove_shard(root: str, number: int, manifest: Manifest) -> None:
    for kind in reversed(manifest.kinds):  # the main rows first: without them there is no shard
        for suffix in ("", NEW_SUFFIX):
            path = shard_path(root, kind, number) + suffix
            with as_output_error(path), suppress(FileNotFoundError, NotADirectoryError):
                os.unlink(path)


def _numbered(folder: str) -> set[int]:
    """The numbers of the shards that have a file in a folder."""
    try:
        names = os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return set()
    return {int(match[1]) for name in names if (match := _PART.fullmatch(name))}


def _sweep(root: str, manifest: Manifest) -> None:
    """Remove the temporary files of a killed run."""
    for folder in (root, *(os.path.join(root, kind) for kind in manifest.kinds)):
        with suppress(FileNotFoundError):
            for name in os.listdir(folder):
                if name.endswith(TEMPORARY_SUFFIX):
                    os.unlink(os.path.join(folder, name))


def _recover(root: str, manifest: Manifest) -> None:
    """Bring the files of a killed run into the state that its manifest speaks of."""
    _sweep(root, manifest)
    for number, shard in enumerate(manifest.shards):
        settle_replacement(root, number, shard)
    named = len(manifest.shards)
    while adopted := _shard_beyond_manifest(root, len(manifest.shards), manifest):
        manifest.shards.append(adopted)
    if len(manifest.shards) > named or os.path.exists(os.path.join(root, JOURNAL)):
        manifest.write(root)
    _remove_shard(root, len(manifest.shards), manifest)


def settle_replacement(root: str, number: int, shard: Shard) -> None:
    """Finish a replacement that the manifest records already; drop one that it does not."""
    for kind, record in shard.files.items():
        path = shard_path(root, kind, number)
        if os.path.exists(path + NEW_SUFFIX):
            if FileRecord(*file_digest(path + NEW_SUFFIX)) == record:
                os.replace(path + NEW_SUFFIX, path)
            else:
                os.unlink(path + NEW_SUFFIX)


def _shard_beyond_manifest(root: str, number: int, manifest: Manifest) -> Shard | None:
    """A shard that was put in place just before the run was killed, if it is whole."""
    path = shard_path(root, manifest.main_kind, number)
    if not os.path.exists(path):
        return None
    try:
        shard = shard_record(path, manifest.config)
        if manifest.has_patches:
            found = FileRecord(*file_digest(shard_path(root, PATCHES, number)))
            if shard.files.get(PATCHES) != found:
                return None
    except (DamagedError, FileNotFoundError):
        return None
    shard.files[manifest.main_kind] = FileRecord(*file_digest(path))
    return shard
