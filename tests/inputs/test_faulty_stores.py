"""Stores that fail, on the command line: every row once, or one sentence; never a hang."""

import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ppcli.errors import ExitCode
from ppcli.filesystems import patience
from tests.command import pixelprune, pixelprune_process
from tests.faulty_proxy import FaultyProxy, faulty_proxy
from tests.object_store import ObjectStore, environment_of, variables

_NEVER_EQUAL = ("path", "fingerprint")


def rows(output: bytes) -> list[dict[str, Any]]:
    """Return rows without times and paths."""
    return [
        {
            name: value
            for name, value in json.loads(line).items()
            if not name.endswith("_ms") and name not in _NEVER_EQUAL
        }
        for line in output.splitlines()
    ]


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Little patience, so that tests of its end are short."""
    monkeypatch.setattr(patience.PATIENCE, "wait", 0.01)
    monkeypatch.setattr(patience.PATIENCE, "seconds", 2.0)
    yield


@pytest.fixture
def far(s3: ObjectStore, folder: Path, request: pytest.FixtureRequest) -> str:
    """A bucket with the files of `folder`."""
    name = request.node.name.replace("_", "-").replace("[", "-").replace("]", "").replace(" ", "-")
    return s3.upload(folder, name.lower()[:60].strip("-"))


def test_a_bucket_gives_the_rows_of_a_folder(far: str, folder: Path) -> None:
    local = pixelprune("analyze", folder, "-o", "-")
    remote = pixelprune("analyze", far, "-o", "-")
    assert remote.returncode == local.returncode == ExitCode.INPUTS_FAILED
    assert rows(remote.stdout) == rows(local.stdout)
    paths = [json.loads(line)["path"] for line in remote.stdout.splitlines()]
    assert paths[0] == f"{far}/a.png"


@pytest.mark.parametrize("workers", ["0", "2"])
def test_every_row_is_there_once_behind_a_faulty_proxy(
    s3: ObjectStore, folder: Path, workers: str
) -> None:
    for number in range(30):
        (folder / f"more-{number:02d}.png").write_bytes((folder / "a.png").read_bytes())
    far = s3.upload(folder, f"faulty-{workers}")
    local = pixelprune("analyze", folder, "-o", "-")
    with faulty_proxy(s3.endpoint, every=3) as proxy, variables(environment_of(proxy.endpoint)):
        remote = pixelprune("analyze", far, "-o", "-", "--workers", workers)
    assert rows(remote.stdout) == rows(local.stdout)
    assert proxy.failed > 10


def test_small_objects_take_one_request_each(s3: ObjectStore, far: str) -> None:
    with faulty_proxy(s3.endpoint) as proxy, variables(environment_of(proxy.endpoint)):
        pixelprune("analyze", far, "-o", "-", "--include", "*.png")
    got = [one for one in proxy.asked if one.startswith("GET") and one.endswith(".png")]
    assert len(got) == len(set(got)) == 3
    assert not [one for one in proxy.asked if one.startswith("HEAD") and one.endswith(".png")]


def _proxied(s3: ObjectStore, fault: str) -> Any:
    return faulty_proxy(s3.endpoint, every=1, faults=(fault,))


@pytest.mark.parametrize(
    ("fault", "code", "said"),
    [
        ("slow down", ExitCode.SERVER, b"too many requests"),
        ("denied", ExitCode.USAGE, b"access is denied"),
        ("silent", ExitCode.SERVER, b"within 2 seconds"),
        ("close", ExitCode.SERVER, b"cut"),
    ],
)
def test_a_store_that_always_fails_ends_the_command_with_a_sentence(
    s3: ObjectStore,
    hasty: None,
    monkeypatch: pytest.MonkeyPatch,
    fault: str,
    code: ExitCode,
    said: bytes,
) -> None:
    if fault in ("slow down", "close"):  # s3fs itself tries a few times
        monkeypatch.setattr(patience.PATIENCE, "seconds", 10.0)
        monkeypatch.setattr(patience.PATIENCE, "tries", 1)
    with _proxied(s3, fault) as proxy, variables(environment_of(proxy.endpoint)):
        done = pixelprune("analyze", "s3://whatever/folder/", "-o", "-")
    assert done.returncode == code
    assert said in done.stderr
    assert done.stderr.count(b"\n") == 1
    assert b"Traceback" not in done.stderr


class _FailsForObjects(FaultyProxy):
    """Fails for objects, never for listings."""

    fault = "cut"

    def next_fault(self, request: str) -> str | None:
        super().next_fault(request)
        return self.fault if request.endswith((".png", ".jpg")) else None


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ("slow down", "unreadable"),
        ("cut", "unreadable"),
        ("denied", "unreadable"),
        ("silent", "timeout"),
        ("stalled", "timeout"),
    ],
)
def test_objects_that_cannot_be_read_are_error_rows(
    s3: ObjectStore, far: str, hasty: None, fault: str, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.faulty_proxy.FaultyProxy", _FailsForObjects)
    monkeypatch.setattr(_FailsForObjects, "fault", fault)
    # enough for the listing on a busy machine
    monkeypatch.setattr(patience.PATIENCE, "seconds", 5.0 if code == "timeout" else 30.0)
    with faulty_proxy(s3.endpoint) as proxy, variables(environment_of(proxy.endpoint)):
        done = pixelprune("analyze", far, "-o", "-")
    assert done.returncode == ExitCode.INPUTS_FAILED
    assert [row["error_code"] for row in rows(done.stdout)] == [code] * 4


def test_no_credentials(s3: ObjectStore, far: str) -> None:
    environment = s3.environment
    del environment["AWS_ACCESS_KEY_ID"], environment["AWS_SECRET_ACCESS_KEY"]
    with variables(environment):
        done = pixelprune("analyze", far, "-o", "-")
    assert done.returncode == ExitCode.USAGE
    assert b"AWS_PROFILE" in done.stderr


def test_no_such_bucket_and_an_empty_one(s3: ObjectStore) -> None:
    done = pixelprune("analyze", "s3://no-such-bucket-here", "-o", "-")
    assert done.returncode == ExitCode.USAGE
    assert b"there is no such bucket" in done.stderr
    done = pixelprune("analyze", s3.bucket("nothing-in-it"), "-o", "-")
    assert done.returncode == ExitCode.NOTHING_TO_DO
    assert b"no image among the inputs" in done.stderr


def test_an_unreachable_store_and_an_unknown_scheme(hasty: None) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with variables(environment_of(f"http://127.0.0.1:{taken.getsockname()[1]}")):
            done = pixelprune("analyze", "s3://bucket/a", "-o", "-")
    assert done.returncode == ExitCode.SERVER
    assert b"cannot be reached" in done.stderr
    done = pixelprune("analyze", "s3x://me:secret@bucket/a?secret", "-o", "-")
    assert done.returncode == ExitCode.USAGE
    assert b"Did you mean 's3'" in done.stderr
    assert b"secret" not in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("every", [0, 7])
def test_the_corpus_in_a_bucket_gives_the_rows_of_the_folder(
    s3: ObjectStore, corpus: Path, tmp_path: Path, every: int
) -> None:
    """Hostile files and real ones; once through a proxy that fails now and then."""
    tree = tmp_path / "in"
    tree.mkdir()
    os.symlink(corpus / "hostile", tree / "hostile")
    chosen = [path for kind in ("gui", "document", "pdf") for path in _some(corpus, kind)]
    files = [*sorted((corpus / "hostile").iterdir()), *chosen]
    flat = tmp_path / "flat"
    flat.mkdir()
    for path in files:
        if path.is_file():
            (flat / path.name).write_bytes(path.read_bytes())
    far = s3.upload(flat, f"corpus-{every}")
    options = ("--no-patches", "--workers", "2")
    local = pixelprune_process("analyze", flat, "-o", "-", *options)
    with faulty_proxy(s3.endpoint, every) as proxy:
        environment = environment_of(proxy.endpoint)
        remote = pixelprune_process("analyze", far, "-o", "-", *options, **environment)
    assert remote.returncode == local.returncode
    assert rows(remote.stdout) == rows(local.stdout)
    assert len(rows(local.stdout)) > 80


def _some(corpus: Path, kind: str) -> list[Path]:
    return sorted(path for path in (corpus / "images" / kind).iterdir() if path.is_file())[:10]
