import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from ppcli.errors import ExitCode, MissingDependencyError, UsageError
from ppcli.filesystems.opening import filesystem_of
from ppcli.filesystems.schemes import SCHEMES, is_url, scheme_of, shown_url, without_secrets
from tests.object_store import ObjectStore, forget_filesystems


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("s3://bucket/key", True),
        ("S3://bucket/key", True),
        ("memory://a", True),
        ("file:///tmp/a", False),
        ("s3:/bucket", False),
        ("folder/s3://bucket", False),
        ("C:\\folder", False),
        ("a.png", False),
        ("", False),
    ],
)
def test_urls_are_told_from_paths(text: str, found: bool) -> None:
    assert is_url(text) is found


def test_an_unknown_scheme_is_refused_with_the_nearest_one() -> None:
    with pytest.raises(UsageError, match=re.escape("s3n:// cannot be opened. Did you mean 's3")):
        filesystem_of("s3n://bucket/key")


def test_a_missing_driver_is_named_with_its_pip_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(MissingDependencyError, match=re.escape("'pixelprune[s3]'")) as raised:
        filesystem_of("s3://bucket/key")
    assert raised.value.exit_code is ExitCode.MISSING_DEPENDENCY


def test_schemes_may_have_capitals(s3: ObjectStore) -> None:
    fs, path = filesystem_of(
        s3.bucket("capitals", {"Key": b"content"}).replace("s3", "S3") + "/Key"
    )
    assert (path, fs.cat_file(path)) == ("capitals/Key", b"content")


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("s3://bucket/a?b#c", "s3://bucket/a?b#c"),
        ("s3://key:secret@bucket/a", "s3://…@bucket/a"),
        ("sftp://me:secret@host:22/a@b", "sftp://…@host:22/a@b"),
        ("https://host/a?sign=secret#part", "https://host/a"),
        ("https://me:secret@host/a", "https://…@host/a"),
        ("abfs://container@account.dfs.core.windows.net/a", None),
        ("hf://datasets/me/set@main/a.png", None),
    ],
)
def test_secrets_are_never_shown(url: str, shown: str | None) -> None:
    assert without_secrets(url) == (shown or url)
    assert "secret" not in shown_url(url)


def test_a_query_of_an_unknown_scheme_is_not_shown() -> None:
    assert shown_url("odd://host/a?secret") == "odd://host/a"


def test_every_driver_opens(s3: ObjectStore) -> None:
    fs, path = filesystem_of("s3://bucket/folder/a.png")
    assert path == "bucket/folder/a.png"
    assert fs.endpoint_url == s3.endpoint
    assert filesystem_of("s3://other/b")[0] is fs
    fs, path = filesystem_of("memory://folder/a.png")
    assert path == "/folder/a.png"
    assert {scheme_of(f"{name}://a") for name in SCHEMES} == set(SCHEMES)


def test_what_users_configure_in_fsspec_wins(
    s3: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fsspec.config import conf

    monkeypatch.setitem(conf, "s3", {"anon": True, "config_kwargs": {"read_timeout": 1}})
    fs, _ = filesystem_of("s3://bucket/key")
    assert fs.anon
    assert fs.config_kwargs["read_timeout"] == 1
    assert fs.config_kwargs["connect_timeout"] == 10


def test_threads_share_one_file_system(s3: ObjectStore) -> None:
    bucket = s3.bucket("threads", {f"{number}": b"%d" % number for number in range(20)})
    forget_filesystems()

    def read(number: int) -> bytes:
        fs, path = filesystem_of(f"{bucket}/{number}")
        return bytes(fs.cat_file(path))

    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(read, range(20))) == [b"%d" % number for number in range(20)]


def test_no_driver_is_imported_for_local_images() -> None:
    code = (
        "import sys, ppcli.cli.main, ppcli.inputs.listing, ppcli.jobs.analyze\n"
        "print([name for name in ('fsspec', 's3fs', 'aiohttp') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert done.stdout.split() == [b"[]"]
