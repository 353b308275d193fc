"""Images on servers: what is fetched, and what each fault becomes."""

import pickle
from collections.abc import Iterator
from ipaddress import ip_address

import pytest

from ppcli.errors import ErrorCode, ImageError
from ppcli.inputs import http_fetch
from ppcli.inputs.http_file import HttpFile
from ppcli.inputs.image_fields import ImageFolder
from tests.image_server import ImageServer, image_server

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256))


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ImageServer]:
    monkeypatch.setattr(http_fetch, "_WAIT_SECONDS", 0.01)
    with image_server() as running:
        running.files["a.png"] = PNG
        running.marks["a.png"] = '"one"'
        yield running


def test_the_bytes_come_once_and_the_state_is_that_of_the_server(server: ImageServer) -> None:
    file = pickle.loads(pickle.dumps(HttpFile.of(f"{server.url}/a.png#part")))
    assert (file.name, file.local_path) == (f"{server.url}/a.png", None)
    here = file.fetch()
    for _ in range(2):
        with here.open() as opened:
            assert opened.read() == PNG
            assert opened.state == here.state() == file.state()
    assert server.asked == ["/a.png"] * 3, "the bytes once, and the state twice"
    assert here.state().size == len(PNG)


def test_another_mark_or_size_is_another_state(server: ImageServer) -> None:
    file = HttpFile.of(f"{server.url}/a.png")
    states = [file.state()]
    server.marks["a.png"] = '"two"'
    states.append(file.state())
    server.files["a.png"] += b"."
    states.append(file.state())
    del server.marks["a.png"]
    states.append(file.state())
    server.with_length = False
    states.append(file.state())
    assert len(set(states)) == 5
    assert states[-1] == file.fetch().state() == (-1, -1, 0), "the server tells nothing"
    del server.files["a.png"]
    assert file.state() is None


def test_redirects_are_followed_and_what_fails_once_is_asked_again(server: ImageServer) -> None:
    for path in ("/redirect/5/a.png", "/flaky"):
        assert HttpFile.of(server.url + path).fetch().content == PNG
    assert {one.get("Cookie") for one in server.headers} == {None}
    assert {one["Accept-Encoding"] for one in server.headers} == {"identity"}


@pytest.mark.parametrize(
    ("path", "code", "words"),
    [
        ("/missing", ErrorCode.NOT_FOUND, "answered 404"),
        ("/410", ErrorCode.NOT_FOUND, "answered 410"),
        ("/403", ErrorCode.UNREADABLE, "answered 403; it asks for a permission"),
        ("/500", ErrorCode.UNREADABLE, "answered 500"),
        ("/cut", ErrorCode.UNREADABLE, "the connection to the server failed"),
        ("/huge", ErrorCode.TOO_LARGE, "sends more than 128 MiB"),
        ("/bomb", ErrorCode.UNREADABLE, "compressed it (gzip)"),
        ("/loop", ErrorCode.UNREADABLE, "redirects more than 5 times"),
        ("/redirect/6/a.png", ErrorCode.UNREADABLE, "redirects more than 5 times"),
        ("/to-file", ErrorCode.UNREADABLE, "redirects to file:///etc/hostname, not to http(s)"),
        ("/to-nowhere", ErrorCode.UNREADABLE, "the server"),
        ("/html", ErrorCode.NOT_AN_IMAGE, "a web page, not an image"),
        ("/text", ErrorCode.NOT_AN_IMAGE, "a web page, not an image"),
    ],
)
def test_each_fault_has_its_sentence(
    server: ImageServer, path: str, code: ErrorCode, words: str
) -> None:
    with pytest.raises(ImageError) as caught:
        HttpFile.of(server.url + path).fetch()
    assert caught.value.code is code
    assert words in caught.value.message


@pytest.mark.parametrize("path", ["/slow", "/slow-header"])
def test_a_server_that_dawdles_is_left(
    server: ImageServer, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_fetch, "MOST_SECONDS", 0.5)
    with pytest.raises(ImageError, match="within 0\\.5 seconds") as caught:
        HttpFile.of(server.url + path).fetch()
    assert caught.value.code is ErrorCode.TIMEOUT


def test_a_body_without_an_end_is_left(
    server: ImageServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_fetch, "MOST_BYTES", 1 << 20)
    with pytest.raises(ImageError, match="more than 1 MiB") as caught:
        HttpFile.of(f"{server.url}/endless").fetch()
    assert caught.value.code is ErrorCode.TOO_LARGE


def test_no_server_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_fetch, "_WAIT_SECONDS", 0.01)
    with pytest.raises(ImageError, match="the connection to the server failed"):
        HttpFile.of("http://127.0.0.1:1/a.png").fetch()
    with pytest.raises(ImageError):
        HttpFile.of(f"http://{'a' * 70}.invalid/a.png").fetch()


@pytest.mark.parametrize(
    ("first", "then", "words"),
    [
        ("169.254.169.254", None, "from which nothing is fetched"),
        ("fe80::1", None, "from which nothing is fetched"),
        ("::ffff:169.254.169.254", None, "from which nothing is fetched"),
        ("fd00:ec2::254", None, "from which nothing is fetched"),
        ("8.8.8.8", "127.0.0.1", "redirects to a private address"),
        ("8.8.8.8", "10.0.0.1", "redirects to a private address"),
        ("8.8.8.8", "::ffff:192.168.0.1", "redirects to a private address"),
        ("8.8.8.8", "9.9.9.9", ""),
        ("10.0.0.1", "127.0.0.1", ""),
        ("10.0.0.1", "8.8.8.8", ""),
    ],
)
def test_addresses(first: str, then: str | None, words: str) -> None:
    guard = http_fetch._AddressGuard()
    said = guard._refusal(http_fetch._plain(first))
    if then is not None:
        assert said == ""
        guard.is_redirected = True
        said = guard._refusal(http_fetch._plain(then))
    assert (words in said) if words else (said == "")


def test_an_address_is_refused_before_anything_is_sent(
    server: ImageServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_fetch, "_OF_CLOUDS", {ip_address("127.0.0.1")})
    with pytest.raises(ImageError, match="from which nothing is fetched"):
        HttpFile.of(f"{server.url}/a.png").fetch()
    assert server.asked == []


@pytest.mark.parametrize(
    "url", ["http://", "https:///a.png", "http://h:99999/a", "http://[::1/a", "http://h/a\n"]
)
def test_urls_that_lead_nowhere(url: str) -> None:
    with pytest.raises(ValueError, match="the URL of an image is invalid"):
        HttpFile.of(url)


def test_no_secret_of_a_url_is_shown() -> None:
    file = HttpFile.of("https://h/a.png?signature=secret")
    assert file.name.startswith("https://h/a.png?…")
    assert "secret" not in repr(file) + file.name
    assert file.name != HttpFile.of("https://h/a.png?signature=other").name
    with pytest.raises(ValueError, match="contains a user") as caught:
        HttpFile.of("https://me:secret@h/a.png")
    assert "secret" not in str(caught.value)


def test_what_is_allowed() -> None:
    for allowed, words in ((None, "only paths, file:// and data:"), (False, "--allow-http")):
        with pytest.raises(ValueError, match=words):
            ImageFolder("", allow_http=allowed).named("http://h/a.png")
    for url in ("http://h/a.png", "HTTPS://h/a.png"):
        assert ImageFolder("", allow_http=True).named(url).image_id == url.lower()
    with pytest.raises(ValueError, match="only paths"):
        ImageFolder("", allow_http=True).named("s3://h/a.png")


@pytest.mark.parametrize("allow_http", [None, False, True])
@pytest.mark.parametrize(
    "url",
    [
        "https://user:s3cret@host/a.png?sig=s3cret",
        "https://user:s3cret@host:port/a.png?sig=s3cret",
        "ftp://user:s3cret@host/a.png?sig=s3cret",
    ],
)
def test_a_url_that_is_not_fetched_is_shown_without_its_secrets(
    url: str, allow_http: bool | None
) -> None:
    with pytest.raises(ValueError, match=r"the image|of an image") as caught:
        ImageFolder("", allow_http=allow_http).named(url)
    assert "s3cret" not in str(caught.value)
