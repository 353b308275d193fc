"""Opens file systems by URL, with the settings that users of their drivers know.

Credentials, endpoints and regions come from where each driver looks for them: its variables, its
configuration files, and the variables and files of fsspec (`FSSPEC_S3_KEY`, `~/.config/fsspec`).
"""

import importlib.util
import logging
import os
import threading
from functools import cache
from typing import TYPE_CHECKING, Any

from ppcli.errors import MissingDependencyError, bounded
from ppcli.filesystems.schemes import SFTP_SCHEMES, known_scheme, scheme_of, shown_url
from ppcli.filesystems.store_faults import as_store_error

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

CONNECT_SECONDS = 10.0
SILENCE_SECONDS = 20.0  # a store that sends nothing for this long is not waited for
_CONNECTIONS = 32
_LOGGERS = ("adlfs", "aiobotocore", "azure", "botocore", "fsspec", "gcsfs", "paramiko", "s3fs")
_lock = threading.RLock()  # of two threads, one connects


def filesystem_of(url: str) -> tuple["AbstractFileSystem", str]:
    """Return the file system of a URL, and the path of the file in it.

    It may be called from several threads; the same settings give the same instance. A worker
    process opens its own, so that handles carry URLs, never file systems.

    Raises:
        UsageError: the scheme is unknown.
        MissingDependencyError: its driver is not installed.
        StoreError: the server does not take a connection.
    """
    driver = known_scheme(url)
    if importlib.util.find_spec(driver.driver) is None:
        raise _missing(url, driver.driver, driver.extra)
    import fsspec

    _silence()
    name = scheme_of(url)
    url = name + url[len(name) :]  # drivers know schemes in lower case only
    with _lock:
        try:
            kind = fsspec.get_filesystem_class(name)
            own = kind._get_kwargs_from_urls(url)
            settings = {**_settings(name), **own}
            path = str(kind._strip_protocol(url))
            fs = kind(**settings)
            if name in SFTP_SCHEMES:
                fs.ftp.get_channel().settimeout(SILENCE_SECONDS)
                path = path or "/"  # the names below the empty path are empty
            return fs, path
        except ImportError as error:
            raise _missing(url, bounded(str(error)), driver.extra) from error
        except Exception as error:
            raise as_store_error(error, url) from error


@cache
def _silence() -> None:
    """Keep drivers from writing to standard error: what they say is in our own errors."""
    for name in _LOGGERS:
        logging.getLogger(name).addHandler(logging.NullHandler())


def _missing(url: str, missing: str, extra: str) -> MissingDependencyError:
    part = f"pixelprune[{extra}]" if extra else "pixelprune"
    return MissingDependencyError(
        f"{shown_url(url)} needs a driver that is not installed ({missing}); "
        f"install it with: pip install '{part}'"
    )


def _settings(scheme: str) -> dict[str, Any]:
    """Return the time limits of a driver; what users set in fsspec's configuration wins."""
    from fsspec.config import conf

    chosen = dict(conf.get(scheme, {}))
    ours: dict[str, Any] = {}
    match scheme:
        case "s3" | "s3a":
            ours = {"use_listings_cache": False, "config_kwargs": _s3_config(), **_s3_endpoint()}
        case "gs" | "gcs":
            ours = {"use_listings_cache": False, "requests_timeout": SILENCE_SECONDS}
        case "az" | "abfs" | "abfss":
            ours = {"connection_timeout": CONNECT_SECONDS, "read_timeout": SILENCE_SECONDS}
        case "http" | "https":
            ours = {"client_kwargs": {"timeout": _http_timeout()}}
        case "sftp" | "ssh":
            from ppcli.filesystems.sftp_hosts import KnownHosts

            ours = dict.fromkeys(("timeout", "banner_timeout", "auth_timeout"), CONNECT_SECONDS)
            ours["host_key_policy"] = KnownHosts
            ours["channel_timeout"] = SILENCE_SECONDS
    for name, value in chosen.items():
        both = isinstance(value, dict) and isinstance(ours.get(name), dict)
        ours[name] = {**ours[name], **value} if both else value
    return ours


def _s3_config() -> dict[str, Any]:
    """Return the settings of botocore. It tries once: s3fs, and we, try again."""
    return {
        "connect_timeout": CONNECT_SECONDS,
        "read_timeout": SILENCE_SECONDS,
        "max_pool_connections": _CONNECTIONS,
        "retries": {"total_max_attempts": 1},
    }


def _s3_endpoint() -> dict[str, Any]:
    """Return the endpoint of the environment, so that another one is another file system."""
    for name in ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"):
        if os.environ.get(name):
            return {"endpoint_url": os.environ[name]}
    return {}


def _http_timeout() -> Any:  # noqa: ANN401
    import aiohttp

    return aiohttp.ClientTimeout(
        total=None, sock_connect=CONNECT_SECONDS, sock_read=SILENCE_SECONDS
    )
