import io
import os
import signal
import sys

import pytest

from ppcli.errors import ExitCode, OutputError
from ppcli.store.atomic import atomic_file


def test_a_file_appears_only_when_it_is_whole(tmp_path) -> None:
    target = tmp_path / "a"
    with atomic_file(str(target)) as file:
        file.write(b"new")
        assert not target.exists()
    assert target.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["a"]


def test_an_error_leaves_what_was_there(tmp_path) -> None:
    target = tmp_path / "a"
    target.write_bytes(b"old")
    with pytest.raises(KeyboardInterrupt), atomic_file(str(target)) as file:
        file.write(b"new")
        raise KeyboardInterrupt
    assert target.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a"]


def test_the_bytes_are_on_disk_before_the_name(tmp_path, monkeypatch) -> None:
    steps = []
    real_sync, real_replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda fd: (steps.append("sync"), real_sync(fd)))
    monkeypatch.setattr(os, "replace", lambda a, b: (steps.append("rename"), real_replace(a, b)))
    with atomic_file(str(tmp_path / "a")) as file:
        file.write(b"new")
    assert steps == ["sync", "rename", "sync"]


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX limits")
def test_a_full_disk_is_an_output_error(tmp_path) -> None:
    import resource

    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limit[1]))
    try:
        with pytest.raises(OutputError, match="File too large") as caught:
            write_much(str(tmp_path / "a"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        signal.signal(signal.SIGXFSZ, before)
    assert caught.value.exit_code == ExitCode.OUTPUT
    assert os.listdir(tmp_path) == []


def write_much(path: str) -> None:
    with atomic_file(path) as file:
        for _ in range(100):
            file.write(b"x" * 1000)


def test_a_missing_folder_is_an_output_error(tmp_path) -> None:
    with pytest.raises(OutputError, match="No such file"), atomic_file(str(tmp_path / "b" / "a")):
        pass


def test_a_file_that_has_come_into_being_meanwhile_is_left_alone(tmp_path) -> None:
    target = tmp_path / "a"
    with (
        pytest.raises(OutputError, match="was created during the run"),
        atomic_file(str(target), False) as file,
    ):
        file.write(b"new")
        target.write_bytes(b"theirs")
    assert target.read_bytes() == b"theirs"
    assert os.listdir(tmp_path) == ["a"]


def test_without_second_names_a_free_name_is_taken(tmp_path, monkeypatch) -> None:
    def link(*_: str) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", link)
    with atomic_file(str(tmp_path / "a"), replace=False) as file:
        file.write(b"new")
    assert (tmp_path / "a").read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["a"]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_disk_is_noticed_when_bytes_are_flushed(tmp_path, monkeypatch) -> None:
    real = io.FileIO
    monkeypatch.setattr("ppcli.store.atomic.io.FileIO", lambda *_: real("/dev/full", "wb"))
    with (
        pytest.raises(OutputError, match="No space left"),
        atomic_file(str(tmp_path / "a")) as file,
    ):
        file.write(b"a little")
        file.flush()
