"""Members of sequential containers get their bytes in order, and few of them are held at a time."""

import io
import tarfile
import threading
from contextlib import closing
from pathlib import Path

import pytest

from ppcli.engine import attaching as module
from ppcli.engine.arrivals import Arrivals
from ppcli.engine.attaching import Attaching
from ppcli.inputs.containers.attached import AttachedFile
from ppcli.inputs.containers.tar_streams import ForwardStream
from ppcli.inputs.listing import Listing
from tests.processes import eventually

SIZE, NUMBER = 1000, 200


@pytest.fixture
def inputs(tmp_path, monkeypatch) -> tuple[str, ...]:
    """A plain file, and two archives of members of one size."""
    monkeypatch.chdir(tmp_path)
    Path("plain.png").write_bytes(b"x")
    for name in ("a.tar.gz", "b.tgz"):
        with tarfile.open(name, "w:gz") as archive:
            for number in range(NUMBER):
                info = tarfile.TarInfo(f"{number}.png")
                info.size = SIZE
                archive.addfile(info, io.BytesIO(bytes([number]) * SIZE))
    return "plain.png", "a.tar.gz", "b.tgz"


def test_bytes_come_in_order_and_are_bounded(inputs, monkeypatch) -> None:
    monkeypatch.setattr(module, "_MOST_BYTES", 10 * SIZE)
    read = 0
    read_member = ForwardStream.read_member

    def counted(self: ForwardStream, offset: int, size: int) -> bytes:
        nonlocal read
        read += 1
        return read_member(self, offset, size)

    monkeypatch.setattr(ForwardStream, "read_member", counted)
    names = []
    with Arrivals(iter(Listing(inputs))) as arrivals, closing(Attaching(arrivals)) as attaching:
        for number, ref in enumerate(attaching):
            if number:
                assert isinstance(ref.file, AttachedFile)
                assert ref.file.content.data == bytes([(number - 1) % NUMBER]) * SIZE
            assert read <= number + 11
            attaching.finished()
            names.append(ref.image_id)
    assert len(names) == 1 + 2 * NUMBER
    assert read == 2 * NUMBER


def test_a_member_larger_than_the_bound_passes_alone(inputs, monkeypatch) -> None:
    monkeypatch.setattr(module, "_MOST_BYTES", SIZE - 1)
    with Arrivals(iter(Listing(inputs))) as arrivals, closing(Attaching(arrivals)) as attaching:
        seen = 0
        for _ in attaching:
            attaching.finished()
            seen += 1
    assert seen == 1 + 2 * NUMBER


def test_plain_inputs_start_no_thread(inputs) -> None:
    before = threading.active_count()
    with Arrivals(iter(Listing(("plain.png",)))) as arrivals:
        attaching = Attaching(arrivals)
        assert [ref.image_id for ref in attaching] == ["plain.png"]
        attaching.close()
        assert threading.active_count() <= before + 1


def test_closing_early_ends_the_thread(inputs, monkeypatch) -> None:
    monkeypatch.setattr(module, "_MOST_BYTES", SIZE)
    before = threading.active_count()
    with Arrivals(iter(Listing(inputs))) as arrivals, closing(Attaching(arrivals)) as attaching:
        next(attaching)
        next(attaching)
    assert eventually(lambda: threading.active_count() <= before)
