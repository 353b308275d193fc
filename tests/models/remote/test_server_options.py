"""URLs of servers, as users write them."""

import pytest

from ppcli.errors import UsageError
from ppcli.models.remote.server_options import ServerOptions, base_url


@pytest.mark.parametrize(
    ("given", "base"),
    [
        ("http://localhost:8000", "http://localhost:8000/v1"),
        ("http://localhost:8000/", "http://localhost:8000/v1"),
        ("http://localhost:8000/v1", "http://localhost:8000/v1"),
        ("https://host/v1/", "https://host/v1"),
        ("https://host/api/v3", "https://host/api/v3"),
        ("http://[::1]:8000", "http://[::1]:8000/v1"),
    ],
)
def test_a_bare_host_gets_the_version(given: str, base: str) -> None:
    assert base_url(given) == base


@pytest.mark.parametrize(
    "given", ["localhost:8000", "ftp://host", "http://", "", "http://h:99999", "/v1"]
)
def test_what_is_no_url_is_refused(given: str) -> None:
    with pytest.raises(UsageError, match="not a URL"):
        base_url(given)


@pytest.mark.parametrize("given", ["http://user:s3cret@host/v1", "http://host/v1?key=s3cret"])
def test_keys_in_a_url_are_refused_and_not_repeated(given: str) -> None:
    with pytest.raises(UsageError, match="OPENAI_API_KEY") as caught:
        base_url(given)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("given", ["http://user:s3cret@host:port", "host:8000?key=s3cret"])
def test_keys_in_what_is_no_url_are_not_repeated(given: str) -> None:
    with pytest.raises(UsageError, match="not a URL") as caught:
        base_url(given)
    assert "s3cret" not in str(caught.value)


def test_one_server_twice_is_refused() -> None:
    with pytest.raises(UsageError, match="twice"):
        ServerOptions(server=("http://host:1", "http://host:1/v1/"))


@pytest.mark.parametrize(
    "options", [{"served_model": "m"}, {"in_flight": 2}, {"request_timeout": 5}]
)
def test_options_of_a_server_need_one(options: dict) -> None:
    with pytest.raises(UsageError, match="need --server"):
        ServerOptions(**options)
