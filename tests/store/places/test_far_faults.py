"""Datasets in stores that fail: now and then, or so that a run cannot go on."""

import tempfile
from collections.abc import Iterator
from functools import partial
from itertools import count
from pathlib import Path

import pytest
from s3fs import S3FileSystem

from ppcli.errors import ExitCode, OutputError
from ppcli.filesystems import patience
from ppcli.filesystems.store_faults import StoreError
from ppcli.store.verify import verify
from tests import faulty_proxy as proxies
from tests.command import pixelprune
from tests.faulty_proxy import FaultyProxy, faulty_proxy
from tests.object_store import ObjectStore, environment_of, variables
from tests.store.places import far_run

_BUCKETS = count()
slow = partial(pytest.param, marks=pytest.mark.slow)


@pytest.fixture
def bucket(s3_of_session: ObjectStore) -> str:
    name = f"faults-{next(_BUCKETS)}"
    s3_of_session.bucket(name)
    return name


@pytest.fixture(autouse=True)
def impatient(monkeypatch) -> None:
    """Wait less, so that tests do; still try as often."""
    monkeypatch.setattr(patience.PATIENCE, "wait", 0.001)
    monkeypatch.setattr(patience.PATIENCE, "seconds", 20)
    monkeypatch.setattr(S3FileSystem, "retries", 1)


def assert_whole(store: ObjectStore, bucket: str, made: Path) -> None:
    with variables(store.environment):
        far_run.assert_whole(store, bucket, made)


@pytest.mark.parametrize("every", [slow(2), 3, slow(7)])
def test_faults_that_pass_change_nothing(
    s3_of_session: ObjectStore, bucket: str, made: Path, every: int
) -> None:
    with faulty_proxy(s3_of_session.endpoint, every) as proxy:
        with variables(environment_of(proxy.endpoint)):
            assert far_run.run(made / "in", f"s3://{bucket}") == 0
            assert far_run.run(made / "in", f"s3://{bucket}") == 7
            report = verify(f"s3://{bucket}", data=True)
        assert (report.damage, report.rows, report.rasters) == ([], 8, 7)
        assert proxy.failed > 10
    assert_whole(s3_of_session, bucket, made / "out")


class Failing:
    """A proxy that fails in one way from the N-th request that has some words, on."""

    def __init__(self, store: ObjectStore, fault: str, words: str, at: int = 0) -> None:
        self.fault, self.words, self.left = fault, words, at
        self._proxy = faulty_proxy(store.endpoint)

    def __enter__(self) -> FaultyProxy:
        proxy = self._proxy.__enter__()
        proxy.next_fault = self._next  # type: ignore[method-assign]
        self._variables = variables(environment_of(proxy.endpoint))
        self._variables.__enter__()
        return proxy

    def __exit__(self, *error: object) -> None:
        self._variables.__exit__(None, None, None)
        self._proxy.__exit__(None, None, None)

    def _next(self, request: str) -> str | None:
        if self.words not in request:
            return None
        self.left -= 1
        return self.fault if self.left < 0 else None


@pytest.mark.parametrize(
    ("fault", "words", "said"),
    [
        slow("slow down", "PUT", "answers too many requests with a refusal.*shards are kept"),
        ("close", "PUT", "connection to the store was cut; finished shards are kept"),
        ("denied", "PUT", "access is denied"),
        slow("full", "PUT", "the store is full"),
        slow("denied", "GET", "access is denied"),
        slow("internal", "GET", "connection to the store was cut"),
    ],
)
@pytest.mark.parametrize("at", [slow(0), 9])
def test_a_store_that_fails_for_good_is_a_sentence(
    s3_of_session: ObjectStore, bucket: str, made: Path, fault: str, words: str, said: str, at: int
) -> None:
    with (
        Failing(s3_of_session, fault, words, at),
        pytest.raises(OutputError, match=rf"s3://{bucket}.*: .*{said}") as caught,
    ):
        far_run.run(made / "in", f"s3://{bucket}")
    assert caught.value.exit_code is ExitCode.OUTPUT
    assert "secret" not in str(caught.value)
    with variables(s3_of_session.environment):
        far_run.run(made / "in", f"s3://{bucket}")
    assert_whole(s3_of_session, bucket, made / "out")


def test_a_store_that_is_silent_is_not_waited_for(
    s3_of_session: ObjectStore, bucket: str, made: Path, monkeypatch
) -> None:
    monkeypatch.setattr(patience.PATIENCE, "seconds", 1)
    with (
        Failing(s3_of_session, "silent", "PUT", 6),
        pytest.raises(OutputError, match="did not answer within 1 seconds"),
    ):
        far_run.run(made / "in", f"s3://{bucket}")


@pytest.mark.slow
def test_readers_say_that_a_store_fails_and_not_that_it_is_damaged(
    s3_of_session: ObjectStore, bucket: str, made: Path
) -> None:
    with variables(s3_of_session.environment):
        far_run.run(made / "in", f"s3://{bucket}")
    for at in (0, 4, 8):
        with (
            Failing(s3_of_session, "close", "GET", at),
            pytest.raises(StoreError, match="connection to the store was cut") as caught,
        ):
            verify(f"s3://{bucket}")
        assert caught.value.exit_code is ExitCode.SERVER


def _without_condition(handler: proxies._Handler, sent: bytes) -> None:
    """Do what a store does that does not know conditional writes."""
    del handler.headers["If-None-Match"]
    handler.answer(*handler.upstream_answer(sent))


def _refused_condition(handler: proxies._Handler, sent: bytes) -> None:
    if handler.headers["If-None-Match"]:
        handler.refuse(501, "NotImplemented")
    else:
        handler.answer(*handler.upstream_answer(sent))


def _full(handler: proxies._Handler, sent: bytes) -> None:
    handler.refuse(507, "XMinioStorageFull")


@pytest.fixture(autouse=True)
def more_faults(monkeypatch) -> Iterator[None]:
    for name, fault in {
        "without": _without_condition,
        "refused": _refused_condition,
        "full": _full,
    }.items():
        monkeypatch.setitem(proxies.FAULTS, name, fault)
    return


@pytest.mark.parametrize("fault", [slow("without"), "refused"])
def test_a_store_without_conditional_writes_is_used_with_a_warning(
    s3_of_session: ObjectStore, bucket: str, made: Path, caplog, fault: str
) -> None:
    with Failing(s3_of_session, fault, "PUT"):
        far_run.run(made / "in", f"s3://{bucket}")
    [said] = [line for line in caplog.messages if "conditional" in line]
    assert said.startswith(f"the store of s3://{bucket} has no conditional writes")
    assert_whole(s3_of_session, bucket, made / "out")


def test_a_temporary_folder_that_takes_nothing(
    s3: ObjectStore, bucket: str, made: Path, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    with pytest.raises(OutputError, match=r"temporary folder .*gone \(TMPDIR .* No such file"):
        far_run.run(made / "in", f"s3://{bucket}")
    assert s3.files(bucket) == {}


def command(environment: dict[str, str], *words: str) -> tuple[int, str]:
    """Run a command; return its exit code and what a person reads."""
    with variables(environment):
        done = pixelprune(*words)
    said = done.stderr.decode()
    assert "Traceback" not in said
    assert ":secret" not in said
    return done.returncode, said


def test_what_people_read(s3_of_session: ObjectStore, bucket: str, made: Path) -> None:
    image, place = str(made / "in" / "0.png"), f"s3://{bucket}/out"
    right = s3_of_session.environment
    nobody = {**right, "AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}
    cases = [
        (right, place, 0, f"written to {place}"),
        (right, "s3://no-such-bucket-here/out", 5, "there is no such bucket"),
        (nobody, place, 5, "credentials from here; set AWS_ACCESS_KEY_ID"),
        (right, "s3://b/x.csv", 2, "single files are written only to local paths"),
        (right, "https://user:secret@host/out", 2, "only to local paths and to s3://"),
    ]
    for environment, output, expected, words in cases:
        code, said = command(environment, "analyze", image, "-o", output)
        assert (code, words in said) == (expected, True), said
    code, said = command(right, "verify", "--data", place)
    assert (code, said.count("0 faults")) == (0, 1)
    code, said = command(nobody, "verify", place)
    assert (code, "credentials" in said) == (2, True)
    code, said = command(right, "verify", "s3://no-such-bucket-here/out")
    assert (code, "there is no such bucket" in said) == (2, True)
