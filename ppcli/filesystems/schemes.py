"""The schemes of URLs that can be opened, and how URLs are shown. Imports no driver."""

import re
from dataclasses import dataclass

from ppcli.errors import UsageError, bounded, did_you_mean

_URL = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]*)://", re.IGNORECASE)
_LONGEST_SHOWN = 80


@dataclass(frozen=True, slots=True)
class Scheme:
    """A kind of URL.

    Attributes:
        driver: the module that opens it.
        extra: the extra of pixelprune that installs the driver; empty if it is always there.
        store: what holds the files, in words.
        has_user: whether what stands before an `@` in the host is a user, perhaps with a password.
        takes_datasets: whether datasets can be written there: objects appear whole, and can be
            copied and deleted.
        lists_folders: whether it tells what is in a folder.
    """

    driver: str
    extra: str
    store: str
    has_user: bool = True
    takes_datasets: bool = False
    lists_folders: bool = True


_S3 = Scheme("s3fs", "s3", "bucket", takes_datasets=True)
_GCS = Scheme("gcsfs", "gcs", "bucket", takes_datasets=True)
_AZURE = Scheme("adlfs", "azure", "container", has_user=False, takes_datasets=True)
_HTTP = Scheme("aiohttp", "http", "server", lists_folders=False)
_SFTP = Scheme("paramiko", "sftp", "server")
SFTP_SCHEMES = frozenset({"sftp", "ssh"})
SCHEMES = {
    "s3": _S3,
    "s3a": _S3,
    "gs": _GCS,
    "gcs": _GCS,
    "az": _AZURE,
    "abfs": _AZURE,
    "abfss": _AZURE,
    "hf": Scheme("huggingface_hub", "", "repository"),
    "http": _HTTP,
    "https": _HTTP,
    "sftp": _SFTP,
    "ssh": _SFTP,
    "memory": Scheme("fsspec", "", "memory", takes_datasets=True),
}


def scheme_of(text: str) -> str:
    """Return the scheme of a URL, in lower case; empty if the text is not a URL with `://`."""
    match = _URL.match(text)
    return "" if match is None else match["scheme"].lower()


def is_url(text: str) -> bool:
    """Return whether a text is a URL that names a file or a folder on another machine.

    A `file://` URL names one on this machine. `memory://` counts as another machine: only the
    process that wrote it has it.
    """
    return scheme_of(text) not in ("", "file")


def known_scheme(url: str) -> Scheme:
    """Return what is known about the scheme of a URL.

    Raises:
        UsageError: it cannot be opened.
    """
    name = scheme_of(url)
    if name not in SCHEMES:
        near = did_you_mean(name, SCHEMES) or "."
        raise UsageError(
            f"{shown_url(url)}: URLs with {bounded(name, 80)}:// cannot be opened{near} "
            f"Known are {', '.join(f'{one}://' for one in SCHEMES)} and file://"
        )
    return SCHEMES[name]


def without_secrets(url: str) -> str:
    """Return a URL without user and password; one of http also without its query.

    In an object store a `?` or a `#` is part of the name of an object.
    """
    scheme, separator, rest = url.partition("://")
    if scheme.lower() in ("http", "https"):
        rest = rest.partition("?")[0].partition("#")[0]
    known = SCHEMES.get(scheme.lower())
    host, slash, path = rest.partition("/")
    if "@" in host and (known is None or known.has_user):
        host = f"…@{host.rpartition('@')[2]}"
    return scheme + separator + host + slash + path


def shown_url(url: str) -> str:
    """Return a URL for messages, without secrets and shortened."""
    plain = without_secrets(url)
    if scheme_of(url) not in SCHEMES:  # a query of an unknown kind may hold a secret
        plain = plain.partition("?")[0].partition("#")[0]
    return bounded(plain, _LONGEST_SHOWN)
