"""Size and version of files in stores, from what drivers tell about them."""

from typing import Any

import xxhash

from ppcli.files import FileState

# The first that a driver tells counts: a digest of the content, or else a time.
_VERSIONS = (
    *("ETag", "etag", "blob_id", "content_md5", "md5Hash", "generation"),
    *("LastModified", "last_modified", "mtime", "updated", "modified", "created"),
)


def state_from(info: dict[str, Any]) -> FileState:
    """Return the state of a file.

    Args:
        info: what the driver tells: `size`, and an etag or a time by one of several names.

    Returns:
        The size, and a digest of the etag or the time; -1 for what is missing.
    """
    told = next((info[name] for name in _VERSIONS if info.get(name)), None)
    size = info.get("size")
    mark = str(told).strip('"').encode()
    version = -1 if told is None else xxhash.xxh3_64_intdigest(mark) >> 1
    return FileState(-1 if size is None else int(size), version)
