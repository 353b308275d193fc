"""Resolves the images in requests and questions: paths, file:// URLs and data: URLs."""

import base64
import binascii
import os
import re
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import unquote_to_bytes

import xxhash

from ppcli.errors import UsageError, bounded
from ppcli.files import LocalFile, MemoryFile, PathKind, exists, is_folder
from ppcli.filesystems.schemes import (
    SCHEMES,
    is_url,
    known_scheme,
    scheme_of,
    shown_url,
    without_secrets,
)
from ppcli.inputs.containers.container_kinds import SEPARATOR
from ppcli.inputs.containers.expand import member_in, split_member
from ppcli.inputs.fields import read, text, whole, with_values
from ppcli.inputs.http_file import HttpFile, is_http
from ppcli.inputs.input_places import file_at, is_far, kind_at
from ppcli.inputs.names import path_of
from ppcli.inputs.refs import ImageRef, identity

_DATA_URL = re.compile(r"data:(?P<kind>[^,]*),(?P<data>.*)", re.IGNORECASE | re.DOTALL)
_OTHER_URL = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]*)://", re.IGNORECASE)
_ROOTS = frozenset(SCHEMES) - {"http", "https", "sftp", "ssh"}  # no links, no redirects
_BASE64 = ";base64"
_LONGEST_KIND = 40
_LAST_PAGE = 1_000_000_000
_LONGEST_PATH = 4_096  # of Linux; the limits of other systems are similar or lower


@dataclass(frozen=True, slots=True)
class ImageFolder:
    """Resolves the images that a file of requests or questions names.

    Attributes:
        folder: base of relative paths.
        root: folder that must contain all images, after links are followed, or the URL of one in a
            store, to which relative paths are then relative; None for no limit.
        allow_http: whether http:// and https:// URLs are fetched; None if no option allows it.
    """

    folder: str
    root: str | None = None
    allow_http: bool | None = None

    def image(self, given: Any) -> ImageRef:  # noqa: ANN401
        """Resolve the image in a field: a string, or an object with `image` and `page`.

        Raises:
            ValueError: the value is invalid, or the image is outside the root.
        """
        page = None
        if isinstance(given, dict):
            fields = with_values(given)
            if unknown := sorted(set(fields) - {"image", "page"}):
                raise ValueError(f"unknown fields in an image: {bounded(', '.join(unknown))}")
            given = fields.get("image")
            page = page_of(fields)
        if not isinstance(given, str) or not given:
            raise ValueError("an image is neither a path nor a URL")
        return self.named(read("image", given, text), page)

    def named(self, name: str, page: int | None = None) -> ImageRef:
        """Resolve a path or URL.

        Raises:
            ValueError: see `image`.
        """
        if (url := _DATA_URL.match(name)) is not None:
            return _of_data_url(url["kind"], url["data"], page)
        if len(name) > _LONGEST_PATH:
            raise ValueError(f"the path of an image is too long: {bounded(name, 80)}")
        try:
            path = path_of(name)
        except UsageError as error:
            raise ValueError(str(error)) from None
        if self.root is not None and is_far(self.root):
            return self._in_store(self.root, path, page)
        url = _OTHER_URL.match(path)
        if url is not None and not exists(os.path.join(self.folder, path)):
            if self.allow_http is not None and is_http(url["scheme"]):
                return self._on_server(path, page)
            raise ValueError(
                f"the image {shown_url(path)} is not a local file; "
                f"only paths, file:// and data: URLs are supported{_advice(url['scheme'])}"
            )
        split = split_member(os.path.join(self.folder, path))
        if split is not None:
            container, member = split
            file = LocalFile(self._within_root(container))
            shown = path[: -len(SEPARATOR + member)]
            return replace(member_in(file, shown, member), page=page)
        return ImageRef(LocalFile(self._within_root(path)), identity(path), page=page)

    def _in_store(self, root: str, path: str, page: int | None) -> ImageRef:
        top = root.rstrip("/") + "/"
        url = path if is_url(path) else top + path
        is_below = url.startswith(top) and not path.startswith("/")
        if not is_below or {".", ".."} & set(url[len(top) :].split("/")):
            raise ValueError(f"the image {shown_url(path)} is outside --root {shown_url(root)}")
        if (split := split_member(url, PathKind.FILE)) is not None:
            container, member = split
            shown = without_secrets(path[: -len(SEPARATOR + member)])
            return replace(member_in(file_at(container, PathKind.FILE), shown, member), page=page)
        return ImageRef(file_at(url, PathKind.FILE), identity(without_secrets(path)), page=page)

    def _on_server(self, url: str, page: int | None) -> ImageRef:
        if not self.allow_http:
            raise ValueError(f"the image {shown_url(url)} is on a server; --allow-http fetches it")
        file = HttpFile.of(url)
        return ImageRef(file, identity(file.name), page=page)

    def _within_root(self, path: str) -> str:
        whole = os.path.join(self.folder, path)
        if self.root is None:
            return whole
        try:
            real, root = os.path.realpath(whole), os.path.realpath(self.root)
            within = os.path.commonpath([real, root]) == root
        except ValueError:  # an invalid path, or another drive
            within = False
        if not within:
            raise ValueError(f"the image {bounded(path)} is outside --root {bounded(self.root)}")
        return real


def _advice(scheme: str) -> str:
    """Return how images of a store can be allowed, after the words that refuse them."""
    if scheme.lower() not in _ROOTS:
        return ""
    return f"; --root {scheme.lower()}://… allows those below a folder of a store"


def check_root(root: str) -> None:
    """Check that the root folder exists.

    Raises:
        UsageError: it does not exist, or its URL does not limit what lies below it.
        StoreError: its store does not tell.
    """
    if is_far(root):
        if known_scheme(root) and scheme_of(root) not in _ROOTS:
            raise UsageError(
                f"--root {shown_url(root)}: the root is a folder, or the URL of one in an object "
                "store; servers may lead elsewhere from there"
            )
        if kind_at(root) is not PathKind.FOLDER:
            raise UsageError(f"--root {shown_url(root)}: no such folder")
        return
    if not is_folder(root):
        raise UsageError(f"--root {root}: no such folder")


def page_of(fields: dict[str, Any]) -> int | None:
    """Return the page or frame (one-based) that the fields select, or None.

    Raises:
        ValueError: it is not a valid page number.
    """
    if "page" not in fields:
        return None
    page: int = read("page", fields["page"], whole)
    if not 1 <= page <= _LAST_PAGE:
        raise ValueError(f"page is {bounded(str(page))}; pages are counted from 1")
    return page


def _of_data_url(kind: str, data: str, page: int | None) -> ImageRef:
    """Return the image in a data: URL, named after the digest of its bytes."""
    content = unquote_to_bytes(data) if "%" in data else data.encode("utf-8", "replace")
    kind = "".join(kind.split())  # some writers add a space after each semicolon
    if is_base64 := kind.lower().endswith(_BASE64):
        content = b"".join(content.split()).rstrip(b"=")
        try:
            content = base64.b64decode(content + b"=" * (-len(content) % 4), validate=True)
        except binascii.Error:
            raise ValueError("the base64 data of an image is invalid") from None
    kind = bounded(kind[: -len(_BASE64)] if is_base64 else kind, 80)[:_LONGEST_KIND]
    digest = xxhash.xxh3_128_hexdigest(content)
    name = f"data:{kind}{_BASE64 if is_base64 else ''},…{digest}"
    return ImageRef(MemoryFile(name, content), name, page=page)
