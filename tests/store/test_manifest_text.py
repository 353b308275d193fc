"""The text of a manifest, which is made piece by piece, is that of its content as a whole."""

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ppcli.store import manifest_text
from ppcli.store.journal import canonical_json, content_digest
from ppcli.store.manifest import MANIFEST, Manifest
from ppcli.store.shards import FileRecord, Shard, StagedShard, new_token

COUNTS = st.integers(0, (1 << 63) - 1)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=9)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
)


@st.composite
def shards(draw: st.DrawFn) -> Shard:
    rows = draw(COUNTS)
    some = st.integers(0, rows)
    files = {
        kind: FileRecord(draw(COUNTS), draw(TEXT))
        for kind in draw(st.permutations(["stats", "patches"]))
    }
    return Shard(draw(some), draw(TEXT), rows, draw(some), draw(some), draw(COUNTS), files)


@pytest.mark.parametrize("at_a_time", [1, 2, 1000])
@given(
    config=st.dictionaries(TEXT.map("x".__add__), VALUES), some=st.lists(shards()), data=st.data()
)
def test_it_is_the_canonical_text(at_a_time: int, config, some, data) -> None:
    waiting: list[StagedShard] = []
    for shard in data.draw(st.lists(shards(), max_size=2)):
        first = max([sum(one.inputs for one in some), *(one.end for one in waiting)])
        waiting.append(StagedShard(first, new_token(), shard))
    manifest = Manifest(config | {"patches": True}, some, data.draw(st.booleans()), "1", waiting)
    with pytest.MonkeyPatch.context() as patch, TemporaryDirectory() as folder:
        patch.setattr(manifest_text, "_AT_A_TIME", at_a_time)
        digest = manifest.write(folder)
        assert digest == content_digest(manifest.content)
        raw = Path(folder, MANIFEST).read_bytes()
        assert raw == canonical_json(manifest.content, indent=1)
        assert (b'\n "staged": [' in raw) == bool(waiting)
        if all(one.first < 1 << 63 for one in waiting):
            assert Manifest.read(folder) == manifest
