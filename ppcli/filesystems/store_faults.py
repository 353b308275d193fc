"""What went wrong at a store: the exceptions of all drivers, as kinds and sentences.

Drivers are not imported for that: their exceptions are told by the names of their classes, by
status codes, and by the codes of S3.
"""

from collections.abc import Iterator
from enum import Enum, auto
from typing import Any

from ppcli.errors import ErrorCode, ExitCode, ImageError, PixelpruneError, bounded
from ppcli.filesystems.schemes import SCHEMES, scheme_of, shown_url


class FaultKind(Enum):
    """What went wrong."""

    MISSING = auto()
    NO_BUCKET = auto()
    NO_CREDENTIALS = auto()
    DENIED = auto()
    THROTTLED = auto()
    TIMEOUT = auto()
    CUT = auto()
    UNREACHABLE = auto()
    EXISTS = auto()
    FULL = auto()
    OTHER = auto()


_PASSING = frozenset({FaultKind.THROTTLED, FaultKind.TIMEOUT, FaultKind.CUT, FaultKind.UNREACHABLE})
_CODES = {
    FaultKind.MISSING: ErrorCode.NOT_FOUND,
    FaultKind.NO_BUCKET: ErrorCode.NOT_FOUND,
    FaultKind.TIMEOUT: ErrorCode.TIMEOUT,
}
_SENTENCES = {
    FaultKind.MISSING: "there is no such file",
    FaultKind.DENIED: "access is denied",
    FaultKind.THROTTLED: "the store answers too many requests with a refusal; try again later",
    FaultKind.TIMEOUT: "the store did not answer in time",
    FaultKind.CUT: "the connection to the store was cut",
    FaultKind.UNREACHABLE: "the store cannot be reached",
    FaultKind.EXISTS: "it exists already",
    FaultKind.FULL: "the store is full",
}
_CREDENTIALS = {
    "s3": "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY or AWS_PROFILE, or "
    "FSSPEC_S3_ANON=true for a public bucket",
    "gcs": "run gcloud auth application-default login, or set GOOGLE_APPLICATION_CREDENTIALS",
    "azure": "set AZURE_STORAGE_ACCOUNT_NAME, and AZURE_STORAGE_ACCOUNT_KEY or another "
    "credential; AZURE_STORAGE_ANON=true for a public container",
    "": "log in with hf auth login, or set HF_TOKEN",
    "sftp": "add a key to the SSH agent",
}
_BY_S3_CODE = {
    "NoSuchBucket": FaultKind.NO_BUCKET,
    "InvalidBucketName": FaultKind.NO_BUCKET,
    "NoSuchKey": FaultKind.MISSING,
    "NoSuchVersion": FaultKind.MISSING,
    "AccessDenied": FaultKind.DENIED,
    "AllAccessDisabled": FaultKind.DENIED,
    "InvalidAccessKeyId": FaultKind.NO_CREDENTIALS,
    "SignatureDoesNotMatch": FaultKind.NO_CREDENTIALS,
    "ExpiredToken": FaultKind.NO_CREDENTIALS,
    "InvalidToken": FaultKind.NO_CREDENTIALS,
    "SlowDown": FaultKind.THROTTLED,
    "Throttling": FaultKind.THROTTLED,
    "ThrottlingException": FaultKind.THROTTLED,
    "TooManyRequests": FaultKind.THROTTLED,
    "RequestLimitExceeded": FaultKind.THROTTLED,
    "ServiceUnavailable": FaultKind.THROTTLED,
    "RequestTimeout": FaultKind.TIMEOUT,
    "InternalError": FaultKind.CUT,
    "PreconditionFailed": FaultKind.EXISTS,
    "ConditionalRequestConflict": FaultKind.EXISTS,
    "QuotaExceeded": FaultKind.FULL,
    "XMinioStorageFull": FaultKind.FULL,
    # of Azure
    "ContainerNotFound": FaultKind.NO_BUCKET,
    "BlobNotFound": FaultKind.MISSING,
    "AuthenticationFailed": FaultKind.NO_CREDENTIALS,
    "NoAuthenticationInformation": FaultKind.NO_CREDENTIALS,
    "ServerBusy": FaultKind.THROTTLED,
}
_BY_STATUS = {
    401: FaultKind.NO_CREDENTIALS,
    403: FaultKind.DENIED,
    404: FaultKind.MISSING,
    408: FaultKind.TIMEOUT,
    410: FaultKind.MISSING,
    412: FaultKind.EXISTS,
    429: FaultKind.THROTTLED,
    500: FaultKind.CUT,
    502: FaultKind.CUT,
    503: FaultKind.THROTTLED,
    504: FaultKind.TIMEOUT,
    507: FaultKind.FULL,
}
# The first that matches counts: subclasses come before their bases.
_BY_CLASS = {
    "NoCredentialsError": FaultKind.NO_CREDENTIALS,
    "PartialCredentialsError": FaultKind.NO_CREDENTIALS,
    "CredentialRetrievalError": FaultKind.NO_CREDENTIALS,
    "ProfileNotFound": FaultKind.NO_CREDENTIALS,
    "ParamValidationError": FaultKind.NO_BUCKET,  # no bucket can have such a name
    "TokenRetrievalError": FaultKind.NO_CREDENTIALS,
    "SSOError": FaultKind.NO_CREDENTIALS,
    "GoogleAuthError": FaultKind.NO_CREDENTIALS,
    "ClientAuthenticationError": FaultKind.NO_CREDENTIALS,
    "AuthenticationException": FaultKind.NO_CREDENTIALS,
    "LocalTokenNotFoundError": FaultKind.NO_CREDENTIALS,
    "GatedRepoError": FaultKind.DENIED,
    "RepositoryNotFoundError": FaultKind.NO_BUCKET,
    "RevisionNotFoundError": FaultKind.NO_BUCKET,
    "EntryNotFoundError": FaultKind.MISSING,
    "ConnectTimeoutError": FaultKind.UNREACHABLE,
    "EndpointConnectionError": FaultKind.UNREACHABLE,
    "ClientConnectorError": FaultKind.UNREACHABLE,
    "ConnectError": FaultKind.UNREACHABLE,
    "ConnectTimeout": FaultKind.UNREACHABLE,
    "ServiceRequestError": FaultKind.UNREACHABLE,
    "NoValidConnectionsError": FaultKind.UNREACHABLE,
    "gaierror": FaultKind.UNREACHABLE,
    "ConnectionRefusedError": FaultKind.UNREACHABLE,
    "OfflineModeIsEnabled": FaultKind.UNREACHABLE,
    "ReadTimeoutError": FaultKind.TIMEOUT,
    "ReadTimeout": FaultKind.TIMEOUT,
    "ServiceResponseTimeoutError": FaultKind.TIMEOUT,
    "ServerTimeoutError": FaultKind.TIMEOUT,
    "FSTimeoutError": FaultKind.TIMEOUT,
    "TimeoutError": FaultKind.TIMEOUT,
    "ClientPayloadError": FaultKind.CUT,
    "ResponseStreamingError": FaultKind.CUT,
    "IncompleteReadError": FaultKind.CUT,
    "IncompleteRead": FaultKind.CUT,
    "ConnectionClosedError": FaultKind.CUT,
    "HTTPClientError": FaultKind.CUT,
    "ResponseParserError": FaultKind.CUT,
    "ServerDisconnectedError": FaultKind.CUT,
    "ClientConnectionError": FaultKind.CUT,
    "ServiceResponseError": FaultKind.CUT,
    "TransportError": FaultKind.CUT,
    "ConnectionError": FaultKind.CUT,
    "EOFError": FaultKind.CUT,
    "FileNotFoundError": FaultKind.MISSING,
    "NotADirectoryError": FaultKind.MISSING,
    "FileExistsError": FaultKind.EXISTS,
    "PermissionError": FaultKind.DENIED,
}


class StoreError(PixelpruneError):
    """A store did not do what it was asked.

    Attributes:
        kind: what went wrong.
        reason: the same in words, without the URL.
        exit_code: of a command that cannot go on.
    """

    def __init__(self, kind: FaultKind, reason: str, url: str) -> None:
        super().__init__(f"{shown_url(url)}: {reason}")
        self.kind = kind
        self.reason = bounded(reason)
        self._url = shown_url(url)
        self.exit_code = ExitCode.SERVER if self.is_passing else ExitCode.USAGE

    def __reduce__(self) -> tuple[type["StoreError"], tuple[FaultKind, str, str]]:
        return type(self), (self.kind, self.reason, self._url)

    @property
    def is_passing(self) -> bool:
        """Whether the same request may succeed soon."""
        return self.kind in _PASSING

    def as_image_error(self) -> ImageError:
        """Return the error of the row of a file."""
        return ImageError(_CODES.get(self.kind, ErrorCode.UNREADABLE), self.reason)


def store_fault(kind: FaultKind, url: str) -> StoreError:
    """Return the error for a kind of fault that has a sentence of its own."""
    return StoreError(kind, _SENTENCES[kind], url)


def passing_fault(status: int) -> FaultKind | None:
    """Return what a status of HTTP means if the same request may succeed soon; else None."""
    kind = _BY_STATUS.get(status)
    return kind if kind in _PASSING else None


def as_store_error(error: Exception, url: str) -> StoreError:
    """Return what an exception of a driver means.

    Args:
        error: what the driver raised.
        url: what was asked for.
    """
    if isinstance(error, StoreError):  # of a request, which does not know all of the URL
        return StoreError(error.kind, error.reason, url)
    kind = kind_of_fault(error)
    return StoreError(kind, _reason(kind, error, url), url)


def kind_of_fault(error: BaseException) -> FaultKind:
    """Return what an exception of a driver, or its cause, means.

    A built-in class such as `FileNotFoundError` tells less than the exception that caused it.
    """
    chain = list(_chain(error))
    exact = [one for one in chain if type(one).__module__ != "builtins"]
    found = (kind for one in (*exact, *chain) for kind in _kinds(one))
    return next(found, FaultKind.OTHER)


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    one: BaseException | None = error
    while one is not None and id(one) not in seen:
        seen.add(id(one))
        yield one
        one = one.__cause__ or (None if one.__suppress_context__ else one.__context__)


def _kinds(error: BaseException) -> Iterator[FaultKind]:
    code, status = _code_of(error), _status_of(error)
    if code in _BY_S3_CODE:
        yield _BY_S3_CODE[code]
        return
    names = [kind.__name__ for kind in type(error).__mro__]
    for name in names:
        if name in _BY_CLASS:
            yield _BY_CLASS[name]
            return
    if status in _BY_STATUS:
        yield _BY_STATUS[status]
    elif isinstance(error, ValueError) and "account_name" in str(error):  # adlfs
        yield FaultKind.NO_CREDENTIALS


def _code_of(error: BaseException) -> str:
    """Return the code of S3 or Azure that an exception carries; empty without one."""
    answer: Any = getattr(error, "response", None)
    if isinstance(answer, dict):
        return str(answer.get("Error", {}).get("Code", ""))
    return str(getattr(error, "error_code", "") or "")


def _status_of(error: BaseException) -> int:
    """Return the status of HTTP that an exception carries; 0 without one."""
    answer: Any = getattr(error, "response", None)
    if isinstance(answer, dict):
        found = answer.get("ResponseMetadata", {}).get("HTTPStatusCode")
    else:
        found = getattr(answer, "status_code", None)
    for name in ("status_code", "status", "code"):
        found = found or getattr(error, name, None)
    text = str(found)
    return int(text) if text.isascii() and text.isdigit() else 0


def _reason(kind: FaultKind, error: BaseException, url: str) -> str:
    known = SCHEMES.get(scheme_of(url))
    store = "store" if known is None else known.store
    if kind is FaultKind.NO_BUCKET:
        return f"there is no such {store}"
    if kind is FaultKind.NO_CREDENTIALS:
        advice = _CREDENTIALS.get("" if known is None else known.extra, "")
        return f"the store has no valid credentials from here{advice and '; '}{advice}"
    if kind in _SENTENCES:
        return _SENTENCES[kind]
    said = str(error).strip() or type(error).__name__
    return f"the store says: {bounded(said.splitlines()[0])}"
