"""Who may write to a dataset in a store, and how a run finds out that it may no more."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import fsspec
import pytest

from ppcli.errors import OutputError
from ppcli.filesystems.changes import put
from ppcli.store.dataset import dataset_output
from ppcli.store.places import object_lock
from ppcli.store.places.lock_owner import Owner
from ppcli.store.places.object_lock import ObjectLock
from ppcli.store.verify import verify
from tests.object_store import ObjectStore
from tests.store import small_run
from tests.store.places import far_run

CONFIG = small_run.OPTIONS.as_config()
ELSEWHERE = replace(Owner.of_this_process(), host="web-7", machine="web-7 another boot")


@pytest.fixture
def url() -> Iterator[str]:
    """A folder in the memory of this process."""
    memory = fsspec.filesystem("memory")
    memory.store.clear()
    yield "memory://bucket/out"
    memory.store.clear()


def objects(url: str) -> dict[str, bytes]:
    memory = fsspec.filesystem("memory")
    return {name.partition("/out/")[2]: memory.cat_file(name) for name in memory.find(url)}


def held_by(owner: Owner, url: str, number: int = 1) -> None:
    put(f"{url}/.lock/{number:06d}.json", owner.content())


def a_process_that_is_gone() -> Owner:
    done = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True
    )
    return replace(Owner.of_this_process(), pid=int(done.stdout), token="another")


def test_a_second_run_is_refused_and_the_first_goes_on(url: str, made: Path) -> None:
    refused = pytest.raises(
        OutputError,
        match=rf"another run is writing to {url} \(process {os.getpid()} on .*, last seen .*; wait",
    )
    with dataset_output(url, CONFIG), refused:
        far_run.run(made / "in", url)
    far_run.run(made / "in", url)
    assert far_run.rows_of(url) == small_run.rows_of(made / "out")
    assert not [name for name in objects(url) if "lock" in name]


def test_a_run_of_another_machine_is_refused_while_it_lives(url: str, made: Path) -> None:
    held_by(ELSEWHERE, url)
    words = r"\(process \d+ on web-7, last seen \d seconds ago\); wait .* for 90 seconds"
    with pytest.raises(OutputError, match=words):
        far_run.run(made / "in", url)
    assert list(objects(url)) == [".lock/000001.json"]


def test_a_run_of_another_machine_that_gives_no_sign_of_life_is_overtaken(
    url: str, made: Path, monkeypatch
) -> None:
    held_by(ELSEWHERE, url, number=41)
    put(f"{url}/.lock/now-of-a-killed-run", b"")
    monkeypatch.setattr(object_lock, "STALE_SECONDS", 0.05)
    time.sleep(0.1)
    far_run.run(made / "in", url)
    assert verify(url, data=True).damage == []
    assert not [name for name in objects(url) if "lock" in name]


@pytest.mark.parametrize("raw", [b"", b"[]", b"\xff", b'{"host": 1}', b"[" * 100_000])
def test_a_lock_of_unknown_content_is_one_of_another_machine(
    url: str, made: Path, monkeypatch, raw: bytes
) -> None:
    put(f"{url}/.lock/000001.json", raw)
    with pytest.raises(OutputError, match="another run is writing"):
        far_run.run(made / "in", url)
    monkeypatch.setattr(object_lock, "STALE_SECONDS", 0.05)
    time.sleep(0.1)
    far_run.run(made / "in", url)


def test_a_process_of_this_machine_that_is_gone_is_overtaken_at_once(url: str, made: Path) -> None:
    held_by(a_process_that_is_gone(), url)
    far_run.run(made / "in", url)
    assert verify(url).damage == []


def test_another_process_with_the_number_of_one_that_is_gone(url: str, made: Path) -> None:
    here = Owner.of_this_process()
    held_by(replace(here, started="1", token="another"), url)
    far_run.run(made / "in", url)
    assert verify(url).damage == []


def test_a_lock_that_a_run_of_this_process_could_not_release(url: str, made: Path) -> None:
    held_by(replace(Owner.of_this_process(), token="another"), url)
    far_run.run(made / "in", url)
    assert verify(url).damage == []


def test_an_overtaken_run_writes_nothing_more(url: str, made: Path) -> None:
    refs, rows = [], []
    far_run.run(made / "in", f"{url}-other")
    with dataset_output(f"{url}-other", CONFIG) as sink:
        for shard in sink.previous_shards(iter(small_run.Listing((str(made / "in"),)))):
            refs += [one.ref for one in shard.inputs]
            rows += [one.rows for one in shard.inputs]
    before = {}
    with (
        pytest.raises(OutputError, match=r"another run has taken .* over"),
        dataset_output(url, CONFIG, rows_per_shard=1) as sink,
    ):
        for number, (ref, of_it) in enumerate(zip(refs, rows, strict=True)):
            if number == 2:
                held_by(ELSEWHERE, url, number=2)
                before = objects(url)
            for row in of_it:
                sink.add(row, None)
            sink.end_of_input(ref)
    assert objects(url) == before
    assert "stats/part-00001.parquet" in before


def test_a_lock_is_released_unless_it_is_lost(url: str) -> None:
    with ObjectLock(f"{url}/.lock", url) as lock:
        lock.check()
        assert list(objects(url)) == [".lock/000001.json"]
    assert objects(url) == {}
    with ObjectLock(f"{url}/.lock", url) as lock:
        fsspec.filesystem("memory").rm_file(f"{url}/.lock/000001.json")  # by one that has ended
        with pytest.raises(OutputError, match="has written nothing since"):
            lock.check()
        held_by(ELSEWHERE, url)
        with pytest.raises(OutputError, match="another run has taken"):
            lock.check()
    assert list(objects(url)) == [".lock/000001.json"]


def test_its_owner_gives_signs_of_life_until_it_is_overtaken(url: str, monkeypatch) -> None:
    monkeypatch.setattr(object_lock, "REFRESH_SECONDS", 0.01)
    name = f"{url}/.lock/000001.json"
    memory = fsspec.filesystem("memory")
    with ObjectLock(f"{url}/.lock", url):
        first = memory.modified(name)
        while memory.modified(name) == first:
            time.sleep(0.01)
        held_by(ELSEWHERE, url, number=2)
        while any(thread.name == "pixelprune-lock" for thread in threading.enumerate()):
            time.sleep(0.01)
    assert json.loads(objects(url)[".lock/000002.json"])["host"] == "web-7"


def test_of_many_that_begin_at_once_one_holds_the_lock(s3: ObjectStore) -> None:
    url = s3.bucket("many")
    start, held, refused = threading.Barrier(8), [], []
    end = threading.Event()

    def begin() -> None:
        start.wait()
        try:
            with ObjectLock(f"{url}/.lock", url) as lock:
                held.append(lock)
                end.wait()
                lock.check()
        except OutputError as error:
            refused.append(str(error))
        if len(refused) == 7:
            end.set()

    threads = [threading.Thread(target=begin) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(held), len(refused)) == (1, 7)
    assert s3.files("many") == {}
