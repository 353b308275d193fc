"""Whole files of web servers in pieces, from those that send parts and those that do not."""

import pytest
import xxhash

from ppcli.filesystems.objects import state_at
from ppcli.filesystems.pieces import digest_of, pieces_of
from ppcli.filesystems.store_faults import FaultKind, StoreError
from tests.image_server import image_server

CONTENT = b"0123456789abcde\n" * (10 << 16)  # more than one piece


@pytest.mark.parametrize("with_parts", [True, False])
def test_pieces_are_the_file(with_parts: bool) -> None:
    with image_server() as server:
        server.files["a"], server.with_parts = CONTENT, with_parts
        url = f"{server.url}/a"
        state = state_at(url)
        assert state is not None
        pieces = list(pieces_of(url, state))
        assert digest_of(url, state) == xxhash.xxh3_128_hexdigest(CONTENT)
        assert digest_of(url, state) != xxhash.xxh3_128_hexdigest(CONTENT[1:])
    assert len(pieces) > 1
    assert b"".join(pieces) == CONTENT


def test_a_large_file_that_comes_whole_only_is_refused_before_it_is_read() -> None:
    with image_server() as server:
        url = f"{server.url}/huge"
        state = state_at(url)
        assert state is not None
        assert state.size == 1 << 40
        with pytest.raises(StoreError, match="its server sends whole files only") as raised:
            next(pieces_of(url, state))
    assert raised.value.kind is FaultKind.OTHER


def test_a_file_that_shrinks_meanwhile() -> None:
    with image_server() as server:
        server.files["a"], server.with_parts = CONTENT, True
        url = f"{server.url}/a"
        state = state_at(url)
        assert state is not None
        server.files["a"] = CONTENT[:-1]
        with pytest.raises(StoreError, match="the file changed while it was being read"):
            digest_of(url, state)
