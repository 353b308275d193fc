"""Any sequence of adding, changing, removing, killing and updating ends in the right rows."""

import errno
import io
import os
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule
from PIL import Image

from ppcli.errors import OutputError
from ppcli.store import atomic
from ppcli.store.input_index import InputIndex
from ppcli.store.rows import without_page
from ppcli.store.verify import verify
from tests.conftest import blocks
from tests.store import small_run

NAMES = ("b.png", "c.png", "d.tif", "sub/e.png", "sub/f.tif", "z.png")
FIRST = "a.png"  # which is never removed: an update refuses to drop all rows


class DeadDisk:
    """Fails all calls that change files from the k-th on, as if the process had been killed."""

    def __init__(self, at: int) -> None:
        self.steps_left = at

    def install(self, patch: pytest.MonkeyPatch) -> None:
        disk = self

        class DeadFile(io.FileIO):
            def write(self, data) -> int:
                disk.step()
                return super().write(data)

        patch.setattr(atomic.io, "FileIO", DeadFile)
        for name in ("fsync", "replace", "unlink", "mkdir"):
            patch.setattr(os, name, self.guarded(getattr(os, name)))

    def step(self) -> None:
        self.steps_left -= 1
        if self.steps_left < 0:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    def guarded(self, call):
        def guarded(*args, **kwargs):
            self.step()
            return call(*args, **kwargs)

        return guarded


Rows = dict[str, list[dict[str, object]]]


def by_input(out: Path) -> Rows:
    """The rows of each input with their patch sets, without times."""
    stats, patches = small_run.rows_of(out)
    tiles = {row["image_id"]: row for row in patches}
    assert len(tiles) == len(patches) == sum(row["status"] == "ok" for row in stats)
    found: Rows = {}
    for row in stats:
        name = without_page(row["image_id"], row["page"])
        found.setdefault(name, []).append(row | {"patches": tiles.get(row["image_id"])})
    return found


def write(path: Path, seed: int, kind: str, time: int) -> None:
    """Write a file of one or several pages, or a broken one, with a time of its own."""
    path.parent.mkdir(exist_ok=True)
    pages = [Image.fromarray(blocks(33 + seed % 3, 32, seed=seed + n)) for n in range(3)]
    if path.suffix == ".tif":
        pages[0].save(path, save_all=True, append_images=pages[1 : 1 + seed % 3])
    else:
        pages[0].save(path)
    if kind == "broken":
        path.write_bytes(path.read_bytes()[:60])
    os.utime(path, ns=(time, time))


class UpdateMachine(RuleBasedStateMachine):
    """A folder that changes, and its dataset."""

    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp())
        self.folder, self.out = self.root / "in", self.root / "out"
        self.folder.mkdir()
        self.clock = 10**18
        self.versions: dict[
            str, list[list[dict[str, object]]]
        ] = {}  # rows that a run may have made
        self.order: list[str] = []  # of the last run that ended; empty if one was killed since
        self.put(FIRST, 0, "good")

    @rule(
        files=st.dictionaries(
            st.sampled_from((FIRST, *NAMES)),
            st.tuples(st.integers(0, 8), st.sampled_from(["good", "good", "broken"])),
            max_size=4,
        ),
        gone=st.sets(st.sampled_from(NAMES), max_size=2),
        drop=st.booleans(),
        killed_at=st.integers(0, 90),
    )
    def change(self, files, gone, drop, killed_at) -> None:
        """Add, change, repair and remove files; then update, and be killed at some step."""
        for name, (seed, kind) in files.items():
            self.put(name, seed, kind)
        for name in gone:
            (self.folder / name).unlink(missing_ok=True)
        self.remember()
        with pytest.MonkeyPatch.context() as patch:
            DeadDisk(killed_at).install(patch)
            try:
                small_run.run(self.folder, self.out, "drop" if drop else "update")
            except OutputError:
                self.order = []
        self.check_files()

    def put(self, name, seed, kind) -> None:
        self.clock += 10**9
        write(self.folder / name, seed, kind, self.clock)

    @rule(drop=st.booleans())
    def update(self, drop) -> None:
        """Update to the end, and compare with a run over the files as they are."""
        right = self.remember()
        small_run.run(self.folder, self.out, "drop" if drop else "update")
        found = by_input(self.out)
        assert {name: found.get(name) for name in right} == right
        for name in found.keys() - right.keys():
            assert not drop
            assert found[name] in self.versions[name]
        if drop:
            self.versions = {name: [rows] for name, rows in right.items()}
        kept = [name for name in self.order if name in found]
        assert list(found)[: len(kept)] == kept
        new = list(found)[len(kept) :]
        assert not self.order or new == [name for name in right if name in new]
        self.order = list(found)
        report = verify(str(self.out), data=True)
        assert (report.damage, report.leftovers, report.finished) == ([], 0, True)

    def remember(self) -> Rows:
        """Return the right rows of the files as they are now."""
        shutil.rmtree(self.root / "fresh", ignore_errors=True)
        small_run.run(self.folder, self.root / "fresh")
        right = by_input(self.root / "fresh")
        for name, rows in right.items():
            self.versions.setdefault(name, []).append(rows)
        return right

    def check_files(self) -> None:
        if (self.out / "manifest.json").exists():
            assert verify(str(self.out), data=True).damage == []

    def teardown(self) -> None:
        self.update(drop=True)
        shutil.rmtree(self.root)


TestUpdates = UpdateMachine.TestCase
TestUpdates.settings = settings(max_examples=10, stateful_step_count=8, deadline=None)


def test_the_machine_notices_a_stale_row() -> None:
    machine = UpdateMachine()
    machine.update(drop=False)
    machine.put(FIRST, 3, "good")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(InputIndex, "is_same", lambda *_: True)
        with pytest.raises(AssertionError):
            machine.update(drop=False)
    machine.teardown()
