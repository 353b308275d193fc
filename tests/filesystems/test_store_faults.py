"""Exceptions that the drivers raise at real servers, and what they mean."""

import pickle
import socket
from collections.abc import Iterator

import pytest

from ppcli.errors import ErrorCode, ExitCode
from ppcli.filesystems.opening import filesystem_of
from ppcli.filesystems.store_faults import FaultKind, StoreError, as_store_error
from tests.object_store import ObjectStore, environment_of, variables


def _fault(url: str) -> StoreError:
    try:
        fs, path = filesystem_of(url)
        fs.cat_file(path)
    except Exception as error:
        return as_store_error(error, url)
    raise AssertionError("it was read")


@pytest.fixture
def closed_port() -> Iterator[int]:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


def test_no_such_object(s3: ObjectStore) -> None:
    fault = _fault(s3.bucket("faults-missing") + "/nothing.png")
    assert fault.kind is FaultKind.MISSING
    assert str(fault) == "s3://faults-missing/nothing.png: there is no such file"
    assert fault.as_image_error().code is ErrorCode.NOT_FOUND
    assert fault.exit_code is ExitCode.USAGE


def test_no_such_bucket(s3: ObjectStore) -> None:
    fault = _fault("s3://faults-no-bucket/a.png")
    assert (fault.kind, fault.reason) == (FaultKind.NO_BUCKET, "there is no such bucket")


@pytest.mark.parametrize("url", ["s3://me:secret@faults-own/a.png", "s3://B/a.png"])
def test_a_name_that_no_bucket_can_have(s3: ObjectStore, url: str) -> None:
    with variables(s3.environment):
        fault = _fault(url)
    assert (fault.kind, fault.reason) == (FaultKind.NO_BUCKET, "there is no such bucket")
    assert "secret" not in str(fault)


def test_no_credentials(s3: ObjectStore) -> None:
    environment = s3.environment
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        del environment[name]
    with variables(environment):
        fault = _fault("s3://faults-alone/a.png")
    assert fault.kind is FaultKind.NO_CREDENTIALS
    assert "AWS_PROFILE" in fault.reason


def test_an_unreachable_store(closed_port: int) -> None:
    with variables(environment_of(f"http://127.0.0.1:{closed_port}")):
        fault = _fault("s3://faults-nowhere/a.png")
    assert fault.kind is FaultKind.UNREACHABLE
    assert fault.is_passing
    assert fault.exit_code is ExitCode.SERVER


def test_a_missing_file_in_memory() -> None:
    assert _fault("memory://nothing/a.png").kind is FaultKind.MISSING


def test_an_unknown_exception_is_quoted() -> None:
    fault = as_store_error(ValueError("odd\nthings"), "s3://bucket/a")
    assert fault.kind is FaultKind.OTHER
    assert fault.reason == "the store says: odd"


def test_a_fault_of_a_request_names_what_was_asked_for() -> None:
    fault = as_store_error(StoreError(FaultKind.CUT, "cut", "s3://"), "s3://bucket/a")
    assert (fault.kind, str(fault)) == (FaultKind.CUT, "s3://bucket/a: cut")


def test_a_fault_travels_between_processes() -> None:
    fault = StoreError(FaultKind.CUT, "cut", "s3://me:secret@bucket/a")
    again = pickle.loads(pickle.dumps(fault))
    assert (again.kind, again.reason, str(again)) == (fault.kind, "cut", "s3://…@bucket/a: cut")
