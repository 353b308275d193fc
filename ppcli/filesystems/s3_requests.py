"""Requests to S3: pages of listings, heads, and objects with one request each.

s3fs has the client, with its credentials, region and endpoint. Only the bytes of objects go another
way where that is possible: over a URL that the client signs, which takes a quarter of the processor
time of a request through botocore.
"""

import asyncio
import atexit
from typing import TYPE_CHECKING, Any, NamedTuple

from ppcli.files import FileState
from ppcli.filesystems.opening import CONNECT_SECONDS, SILENCE_SECONDS
from ppcli.filesystems.states import state_from
from ppcli.filesystems.store_faults import FaultKind, passing_fault, store_fault

if TYPE_CHECKING:
    import aiohttp
    from s3fs import S3FileSystem

_SIGNED_SECONDS = 600
_sessions: dict[asyncio.AbstractEventLoop, "aiohttp.ClientSession"] = {}
_unsigned_ways: set[str] = set()  # buckets that do not take signed URLs, such as another region's


class Got(NamedTuple):
    """An object, or a part of it.

    Attributes:
        content: the bytes; None if there are more than asked for.
        state: of the whole object.
    """

    content: bytes | None
    state: FileState


async def get_object(
    fs: "S3FileSystem", path: str, most: int, span: tuple[int, int] | None = None
) -> Got:
    """Read an object with one request.

    Args:
        fs: has the client.
        path: bucket and key.
        most: bytes; those of a larger object are not read.
        span: first byte, and the one behind the last; None for all.
    """
    bucket, key, version = fs.split_path(path)
    request = {"Bucket": bucket, "Key": key, **fs.req_kw}
    if version is not None:
        request["VersionId"] = version
    headers = {"Accept-Encoding": "identity"}
    if span is not None:
        headers["Range"] = request["Range"] = f"bytes={span[0]}-{span[1] - 1}"
    is_plain = not (fs.req_kw or fs.s3_additional_kwargs or bucket in _unsigned_ways)
    if is_plain and (got := await _get_signed(fs, request, headers, most)) is not None:
        return got
    answer = await fs._call_s3("get_object", **request)
    if is_plain:
        _unsigned_ways.add(bucket)
    body, size = answer["Body"], answer.get("ContentLength")
    try:
        content = None if (size or 0) > most else await body.read()
    finally:
        body.close()
    if size is None:  # sent in chunks, which are checked on the way
        size = answer["ContentLength"] = len(content or b"")
    return _whole(content, size, _state_of(answer))


async def _get_signed(
    fs: "S3FileSystem", request: dict[str, Any], headers: dict[str, str], most: int
) -> Got | None:
    """Read an object over a signed URL; None if botocore shall ask, which knows all answers."""
    from yarl import URL

    await fs.set_session()
    client = await fs.get_s3(request["Bucket"])
    url = await client.generate_presigned_url(
        "get_object", Params=request, ExpiresIn=_SIGNED_SECONDS
    )
    async with _session().get(URL(url, encoded=True), headers=headers) as response:
        if (fault := passing_fault(response.status)) is not None:
            raise store_fault(fault, f"s3://{request['Bucket']}")
        length = response.content_length
        if response.status not in (200, 206) or length is None:
            return None
        whole = response.headers.get("Content-Range", "").rpartition("/")[2]
        size = int(whole) if whole.isdigit() else length
        state = state_from({"size": size, "ETag": response.headers.get("ETag")})
        return _whole(None if length > most else await response.read(), length, state)


def _whole(content: bytes | None, size: int, state: FileState) -> Got:
    if content is not None and len(content) != size:
        raise store_fault(FaultKind.CUT, "s3://")
    return Got(content, state)


def _session() -> "aiohttp.ClientSession":
    """Return the session of the running loop; all objects share its connections."""
    import aiohttp

    loop = asyncio.get_running_loop()
    if loop not in _sessions:
        timeout = aiohttp.ClientTimeout(
            total=None, connect=None, sock_connect=CONNECT_SECONDS, sock_read=SILENCE_SECONDS
        )
        _sessions[loop] = aiohttp.ClientSession(
            timeout=timeout, auto_decompress=False, trust_env=True
        )
    return _sessions[loop]


@atexit.register
def _close_sessions() -> None:
    for loop, session in _sessions.items():
        if loop.is_running():
            asyncio.run_coroutine_threadsafe(session.close(), loop).result(1)
    _sessions.clear()


def _state_of(answer: dict[str, Any]) -> FileState:
    whole = str(answer.get("ContentRange", "")).rpartition("/")[2]
    size = int(whole) if whole.isdigit() else answer["ContentLength"]
    return state_from({"size": size, "ETag": answer.get("ETag")})


async def head_object(fs: "S3FileSystem", path: str) -> FileState | None:
    """Return the state of an object; None if there is none."""
    bucket, key, version = fs.split_path(path)
    if not key or key.endswith("/"):
        return None
    more = {} if version is None else {"VersionId": version}
    try:
        answer = await fs._call_s3("head_object", Bucket=bucket, Key=key, **more)
    except FileNotFoundError:
        return None
    return _state_of(answer)


async def list_page(
    fs: "S3FileSystem", bucket: str, prefix: str, token: str | None, most: int = 1000
) -> dict[str, Any]:
    """Return one page of the entries directly below a prefix."""
    more = {} if token is None else {"ContinuationToken": token}
    page: dict[str, Any] = await fs._call_s3(
        "list_objects_v2", Bucket=bucket, Prefix=prefix, Delimiter="/", MaxKeys=most, **more
    )
    return page
