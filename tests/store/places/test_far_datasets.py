"""Datasets in a store of objects: what they have, and how they survive a kill at any request."""

import signal
import sys
from itertools import count
from pathlib import Path

import pytest

from tests.object_store import ObjectStore
from tests.store.places import far_run

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs fork and SIGKILL")
_BUCKETS = count()
KILLED = -signal.SIGKILL


def buckets(store: ObjectStore, steps: range) -> str:
    """Make a bucket for each step; return the URL of them, with {} for the step."""
    name = f"far-{next(_BUCKETS)}-{{}}"
    for step in steps:
        store.bucket(name.replace("{}", str(step)))
    return f"s3://{name}"


def test_a_dataset_in_a_store_is_that_on_a_disk(s3: ObjectStore, made: Path) -> None:
    url = s3.bucket("equal")
    assert far_run.run(made / "in", url) == 0
    far_run.assert_whole(s3, "equal", made / "out")
    assert far_run.run(made / "in", url) == 7
    far_run.assert_whole(s3, "equal", made / "out")


def test_a_killed_run_is_resumed(s3: ObjectStore, made: Path) -> None:
    steps = range(7, 40, 11)
    url = buckets(s3, steps)
    assert far_run.killed(s3, made / "in", url, steps) == [KILLED] * len(steps)
    for step in steps:
        here = url.replace("{}", str(step))
        far_run.run(made / "in", here)
        far_run.assert_whole(s3, here.removeprefix("s3://"), made / "out")


@pytest.mark.slow
def test_a_run_that_is_killed_at_any_request_is_resumed(s3: ObjectStore, made: Path) -> None:
    steps = range(50)
    url = buckets(s3, steps)
    codes = far_run.killed(s3, made / "in", url, steps)
    last = codes.index(0)
    assert codes == [KILLED] * last + [0] * (len(codes) - last)
    assert last > 40
    before = set()
    for step in steps:
        here = url.replace("{}", str(step))
        before.add(far_run.run(made / "in", here))
        far_run.assert_whole(s3, here.removeprefix("s3://"), made / "out")
    assert before == {0, 2, 4, 5, 7}
