"""Faults of a store, as errors of an output."""

from collections.abc import Iterator
from contextlib import contextmanager

from ppcli.errors import OutputError
from ppcli.filesystems.schemes import without_secrets
from ppcli.filesystems.store_faults import FaultKind, StoreError


@contextmanager
def as_far_output(url: str, held: bool = True) -> Iterator[None]:
    """Convert the error of a store into one of an output; a missing object is an `OSError`.

    Args:
        url: what is written or read.
        held: the run writes this dataset; otherwise other errors stay as they are.
    """
    try:
        yield
    except StoreError as error:
        if error.kind is FaultKind.MISSING:
            raise FileNotFoundError(without_secrets(url)) from error
        if not held:
            raise
        advice = "; finished shards are kept" if error.is_passing else ""
        raise OutputError(f"{without_secrets(url)}: {error.reason}{advice}") from error
