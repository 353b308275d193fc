"""Prepares a dataset folder for a run: recovers it after a crash, or removes its content.

A crash can leave a shard in one of four states. Files are put in place in a fixed order, so each
state has one right answer:

1. Temporary files only: delete them.
2. Patch sets without main rows: delete them; the shard does not exist yet.
3. All files, but no line in the journal: adopt the shard, which is described in the metadata of
   the file of main rows.
4. A replacement with `NEW_SUFFIX`: rename it if the journal records it already, else delete it.

A shard of a task on another machine is complete under the names `TOKEN.staged`. If the journal says
that it is the shard of a number, rename what still has these names. If the journal says that it
waits, and some of its files have been renamed, or all inputs before its own have shards by now, it
gets the next number. Delete the staged files that the journal does not name.
"""

import json
import re
from collections.abc import Sequence
from contextlib import suppress
from itertools import chain

from ppcli.errors import DamagedError, OutputError, bounded
from ppcli.store.atomic import TEMPORARY_SUFFIX, as_output_error
from ppcli.store.formats import Config
from ppcli.store.manifest import MANIFEST, Manifest, Recorded
from ppcli.store.places.place import LOCK, Place
from ppcli.store.reader import shard_record
from ppcli.store.rows import PATCHES
from ppcli.store.shard_writer import NEW_SUFFIX
from ppcli.store.shards import (
    STAGED_SUFFIX,
    FileRecord,
    Shard,
    shard_name,
    shard_path,
    staged_name,
)

NOTE = "target.json"  # beside the manifest of a dataset that becomes a single file
_MAX_SHOWN = 8
_PART = re.compile(rf"part-([0-9]{{5,9}})\.parquet({re.escape(NEW_SUFFIX)})?")


def require_own_folder(root: Place) -> None:
    """Check that a folder is missing, empty or a dataset.

    Raises:
        OutputError: it has other files, or is not a folder.
    """
    try:
        found = root.names()
    except FileNotFoundError:
        return
    except OSError as error:
        reason = error.strerror or error
        raise OutputError(f"{root} cannot be used as a folder: {reason}") from error
    ours = [name for name in found if name in (LOCK, NOTE) or name.endswith(TEMPORARY_SUFFIX)]
    if len(found) > len(ours) and MANIFEST not in found:
        raise OutputError(f"{root} contains files that are not a dataset; use another folder")


def prepare_folder(root: Place, config: Config, overwrite: bool, resume: bool) -> Manifest:
    """Bring a folder into the state of its manifest, and return the manifest.

    Args:
        root: the dataset folder, whose lock is held.
        config: configuration of the run.
        overwrite: remove an existing dataset first.
        resume: continue an existing dataset.

    Raises:
        OutputError: the dataset has another configuration, or the folder cannot be written.
    """
    manifest = _read_manifest(root)
    if manifest is not None and overwrite:
        _delete_all_shards(root, manifest)
        manifest = None
    if manifest is None:
        manifest = Manifest(config)
        manifest.write(root)
    _refuse_other_configuration(root, manifest, config)
    if (manifest.shards or manifest.staged) and not resume:
        raise OutputError(f"{root} contains an earlier run; use --overwrite or another folder")
    with as_output_error(root):
        for kind in manifest.kinds:
            (root / kind).make_folder()
        _recover(root, manifest)
    return manifest


def _read_manifest(root: Place) -> Manifest | None:
    try:
        return Manifest.read(root)
    except FileNotFoundError:
        return None
    except DamagedError as error:
        raise OutputError(f"{error}; move {root} away or use another folder") from error


def _refuse_other_configuration(root: Place, manifest: Manifest, config: Config) -> None:
    differing = [
        f"{bounded(name)}: {_shown(manifest.config, name)}, now {_shown(config, name)}"
        for name in sorted({*manifest.config, *config})
        if manifest.config.get(name) != config.get(name)
    ]
    if differing:
        others = f"; and {len(differing) - _MAX_SHOWN} more" if differing[_MAX_SHOWN:] else ""
        shown = "; ".join(differing[:_MAX_SHOWN]) + others
        raise OutputError(
            f"{root} was made with another configuration ({shown}); "
            "use --overwrite or another folder"
        )


def _shown(config: Config, name: str) -> str:
    return bounded(json.dumps(config[name])) if name in config else "not set"


def _delete_all_shards(root: Place, manifest: Manifest) -> None:
    """Delete all shards, also those that the manifest does not list, from the last to the first.

    The manifest stays until a new one replaces it, so that `--overwrite` can continue after a
    crash.
    """
    if root.journal().exists():
        manifest.write(root)
    if manifest.staged:  # before their files, which a run might look for after a crash
        manifest.staged.clear()
        manifest.write(root)
    found = _found(root, manifest)
    _delete_staged(root, Manifest(manifest.config), found)
    matches = (_PART.fullmatch(name) for name in chain(*found.values()))
    for number in sorted({int(match[1]) for match in matches if match}, reverse=True):
        _delete_shard(root, number, manifest, found)
    for kind in manifest.kinds:
        with suppress(OSError):
            (root / kind).remove_folder()


def remove_dataset(root: Place) -> None:
    """Delete a dataset whose lock is held, except the lock. Foreign files stay.

    Raises:
        OutputError: a file cannot be deleted, or the manifest is unreadable.
    """
    manifest = _read_manifest(root)
    if manifest is not None:
        with as_output_error(root):
            _delete_temporary(root, manifest)
            _delete_all_shards(root, manifest)
            (root / MANIFEST).delete()


def delete_unknown(root: Place, manifest: Manifest) -> None:
    """Delete temporary files, and staged ones that the manifest does not know."""
    _delete_temporary(root, manifest)
    _delete_staged(root, manifest, _found(root, manifest))


def _delete_staged(root: Place, manifest: Manifest, found: dict[str, set[str]]) -> None:
    known = {staged_name(one.token) for one in manifest.staged}
    for kind, names in found.items():
        for name in names - known:
            if name.endswith(STAGED_SUFFIX):
                with as_output_error(root / kind / name), suppress(FileNotFoundError):
                    (root / kind / name).delete()


def _delete_shard(root: Place, number: int, manifest: Manifest, found: dict[str, set[str]]) -> None:
    for kind in reversed(manifest.kinds):  # main rows first: without them the shard does not exist
        for suffix in ("", NEW_SUFFIX):
            if (name := shard_name(number) + suffix) in found[kind]:
                path = root / kind / name
                with as_output_error(path), suppress(FileNotFoundError, NotADirectoryError):
                    path.delete()


def _found(root: Place, manifest: Manifest) -> dict[str, set[str]]:
    """Return the names of the files in the folder of each kind."""
    return {kind: set(_names(root / kind)) for kind in manifest.kinds}


def _names(folder: Place) -> list[str]:
    try:
        return folder.names()
    except (FileNotFoundError, NotADirectoryError):
        return []


def _delete_temporary(root: Place, manifest: Manifest) -> None:
    """Delete the temporary files of a killed run."""
    for folder in (root, *(root / kind for kind in manifest.kinds)):
        folder.delete_temporary()


def _recover(root: Place, manifest: Manifest) -> None:
    """Bring the files of a killed run into the state of the manifest."""
    _delete_temporary(root, manifest)
    found = _found(root, manifest)
    _settle_replacements(root, manifest, found)
    named = len(manifest.shards)
    while (change := _next_shard(root, manifest, found)) is not None:
        manifest.apply(change)
    if len(manifest.shards) > named or root.journal().exists():
        manifest.write(root)
    _delete_shard(root, len(manifest.shards), manifest, found)
    _delete_staged(root, manifest, found)


def _next_shard(root: Place, manifest: Manifest, found: dict[str, set[str]]) -> Recorded | None:
    """Return the shard that a killed run was about to record next, with its files in place."""
    number = len(manifest.shards)
    if manifest.staged:
        first = manifest.staged[0]
        waiting = _kinds_of(first.token, manifest, found)
        if waiting != manifest.kinds or first.first == manifest.inputs:
            rename_staged(root, number, first.token, waiting)
            return Recorded(number, first.shard, first.token)
    if shard_name(number) in found[manifest.main_kind]:
        shard = _unrecorded_shard(root, number, manifest)
        if shard is None:
            return None
        # a kill in a store, between copy and delete, leaves a shard that waits under both names
        waits = bool(manifest.staged) and manifest.staged[0].shard == shard
        return Recorded(number, shard, manifest.staged[0].token if waits else "")
    return None


def _settle_replacements(root: Place, manifest: Manifest, found: dict[str, set[str]]) -> None:
    """Complete replacements that the manifest records; delete those that it does not record."""
    for number, token in manifest.renamed.items():
        rename_staged(root, number, token, _kinds_of(token, manifest, found))
    for kind, names in found.items():
        for name in names:
            match = _PART.fullmatch(name)
            if match is None or not match[2] or int(match[1]) >= len(manifest.shards):
                continue
            new, number = root / kind / name, int(match[1])
            if FileRecord(*new.digest()) == manifest.shards[number].files[kind]:
                new.replace(shard_path(root, kind, number))
            else:
                new.delete()


def complete_replacement(root: Place, number: int, shard: Shard) -> None:
    """Put the new files of a shard, which the manifest records, in place of the old ones."""
    for kind in shard.files:
        path = shard_path(root, kind, number)
        (path + NEW_SUFFIX).replace(path)


def _kinds_of(token: str, manifest: Manifest, found: dict[str, set[str]]) -> list[str]:
    """Return the kinds of the staged files that have not been renamed."""
    return [kind for kind in manifest.kinds if staged_name(token) in found[kind]]


def rename_staged(root: Place, number: int, token: str, kinds: Sequence[str]) -> None:
    """Give staged files the names of a shard, in the order of `kinds`."""
    for kind in kinds:
        (root / kind / staged_name(token)).replace(shard_path(root, kind, number))


def _unrecorded_shard(root: Place, number: int, manifest: Manifest) -> Shard | None:
    """Return a complete shard that the run put in place, but was killed before recording."""
    path = shard_path(root, manifest.main_kind, number)
    try:
        shard = shard_record(path, manifest.config)
        if manifest.has_patches:
            found = FileRecord(*shard_path(root, PATCHES, number).digest())
            if shard.files.get(PATCHES) != found:
                return None
    except (DamagedError, FileNotFoundError):
        return None
    shard.files[manifest.main_kind] = FileRecord(*path.digest())
    return shard
