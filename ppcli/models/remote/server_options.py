"""Options of servers that answer requests. Imports little, since `--help` needs them."""

from dataclasses import dataclass
from typing import Annotated, ClassVar
from urllib.parse import urlsplit

from ppcli.errors import UsageError
from ppcli.options import Option, Options

MOST_IN_FLIGHT = 1_024
DEFAULT_TIMEOUT = 600.0  # seconds


@dataclass(frozen=True, slots=True)
class ServerOptions(Options):
    """Servers that answer, instead of a model in this process.

    Attributes:
        server: base URLs of servers that speak the OpenAI chat API; empty for none.
        served_model: name of the model there; None if the servers have only one.
        in_flight: requests at once to each server; None adapts it to the server.
        request_timeout: seconds that one answer may take.
    """

    panel: ClassVar = "Server"

    server: Annotated[
        tuple[str, ...],
        Option(
            "Ask this server (OpenAI chat API, such as vLLM) instead of a local model; repeatable. "
            "The key comes from OPENAI_API_KEY.",
            metavar="URL",
        ),
    ] = ()
    served_model: Annotated[
        str | None, Option("Name of the model on the server, if it has several.", metavar="NAME")
    ] = None
    in_flight: Annotated[
        int | None,
        Option(
            "Requests at once to each server. Default: as many as raise its throughput.",
            metavar="N",
            min=1,
            max=MOST_IN_FLIGHT,
        ),
    ] = None
    request_timeout: Annotated[
        float,
        Option("Seconds that one answer of a server may take.", metavar="SECONDS", min=0.1),
    ] = DEFAULT_TIMEOUT

    def __post_init__(self) -> None:
        Options.__post_init__(self)
        if len(set(self.urls)) < len(self.server):
            raise UsageError("--server names the same server twice")
        others = (self.served_model, self.in_flight, self.request_timeout)
        if not self.server and others != (None, None, DEFAULT_TIMEOUT):
            raise UsageError("--served-model, --in-flight and --request-timeout need --server URL")

    @property
    def urls(self) -> tuple[str, ...]:
        """The base URLs, which end with the version of the API."""
        return tuple(map(base_url, self.server))


def base_url(url: str) -> str:
    """Return the URL below which `/chat/completions` lies; `/v1` is added to a bare host.

    Raises:
        UsageError: it is not a URL of a server, or contains a key.
    """
    try:
        parts = urlsplit(url)
        port_is_valid = parts.port != 0
    except ValueError:
        parts, port_is_valid = urlsplit(""), False
    if parts.scheme not in ("http", "https") or not parts.hostname or not port_is_valid:
        shown = "…" if "@" in url else repr(url.partition("?")[0])
        raise UsageError(f"--server {shown} is not a URL such as http://localhost:8000")
    if parts.username is not None or parts.query or parts.fragment:
        raise UsageError(
            f"--server {parts.scheme}://{parts.hostname}…: the URL must not contain a user, a key "
            "or a query; keys come from the environment (OPENAI_API_KEY)"
        )
    path = parts.path.rstrip("/")
    return f"{parts.scheme}://{parts.netloc}{path or '/v1'}"
