"""A light server of S3 for measurements: one folder is one bucket, and each answer waits a while.

It answers GET and HEAD of objects and ListObjectsV2 over several connections at a time, and needs a
tenth of a millisecond of processor time for an object.
"""

import asyncio
import hashlib
import sys
from pathlib import Path
from urllib.parse import parse_qs, quote, unquote, urlsplit

_PAGE = 1000


class _Bucket:
    def __init__(self, folder: Path) -> None:
        paths = (path for path in folder.rglob("*") if path.is_file())
        self.objects = {
            path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(paths)
        }
        self.etags = {key: hashlib.md5(one).hexdigest() for key, one in self.objects.items()}  # noqa: S324

    def page(self, prefix: str, delimiter: str, start: str, most: int) -> bytes:
        """Return one page of a listing, as XML."""
        keys, folders, last = [], dict[str, None](), ""
        for key in sorted(self.objects):
            if not key.startswith(prefix) or key <= start or (start and key.startswith(start)):
                continue
            if len(keys) + len(folders) >= most:
                break
            rest = key[len(prefix) :]
            if delimiter and delimiter in rest:
                last = prefix + rest.split(delimiter)[0] + delimiter
                folders[last] = None
            else:
                keys.append(key)
                last = key
        else:
            last = ""
        contents = "".join(
            f"<Contents><Key>{quote(key)}</Key><Size>{len(self.objects[key])}</Size>"
            f"<ETag>&quot;{self.etags[key]}&quot;</ETag></Contents>"
            for key in keys
        )
        inner = "".join(
            f"<CommonPrefixes><Prefix>{quote(one)}</Prefix></CommonPrefixes>" for one in folders
        )
        more = f"<NextContinuationToken>{quote(last)}</NextContinuationToken>" if last else ""
        text = (
            "<ListBucketResult><EncodingType>url</EncodingType>"
            f"<IsTruncated>{'true' if last else 'false'}</IsTruncated>{more}{contents}{inner}"
            "</ListBucketResult>"
        )
        return text.encode()


class _Connection(asyncio.Protocol):
    def __init__(self, bucket: _Bucket, latency: float) -> None:
        self._bucket, self._latency, self._bytes = bucket, latency, b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._bytes += data
        while b"\r\n\r\n" in self._bytes:
            head, self._bytes = self._bytes.split(b"\r\n\r\n", 1)
            method, target, _ = head.split(b"\r\n", 1)[0].decode().split(" ")
            asyncio.get_running_loop().call_later(self._latency, self._answer, method, target)

    def _answer(self, method: str, target: str) -> None:
        url = urlsplit(target)
        key = unquote(url.path.strip("/").partition("/")[2])
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        if not key:
            content = self._bucket.page(
                query.get("prefix", ""),
                query.get("delimiter", ""),
                unquote(query.get("continuation-token", "")),
                int(query.get("max-keys", _PAGE)),
            )
            self._write(method, b"200 OK", content, "")
        elif key in self._bucket.objects:
            self._write(method, b"200 OK", self._bucket.objects[key], self._bucket.etags[key])
        else:
            self._write(method, b"404 Not Found", b"", "")

    def _write(self, method: str, status: bytes, content: bytes, etag: str) -> None:
        lines = [b"HTTP/1.1 " + status, b"Content-Length: %d" % len(content)]
        if etag:
            lines.append(f'ETag: "{etag}"'.encode())
        self._transport.write(b"\r\n".join(lines) + b"\r\n\r\n")  # type: ignore[attr-defined]
        if method != "HEAD":
            self._transport.write(content)  # type: ignore[attr-defined]


async def _serve(folder: Path, latency: float) -> None:
    bucket = _Bucket(folder)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Connection(bucket, latency), "127.0.0.1", 0)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve(Path(sys.argv[1]), float(sys.argv[2])))
