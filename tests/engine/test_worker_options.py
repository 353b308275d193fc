"""Sizes as the options of workers spell them."""

import pytest

from ppcli.engine.worker_options import parse_size


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1.5GB", 1_500_000_000),
        ("2000 mb", 2_000_000_000),
        ("64k", 64_000),
        ("12", 12),
        ("1T", 10**12),
    ],
)
def test_sizes_are_decimal(text: str, size: int) -> None:
    assert parse_size(text) == size
