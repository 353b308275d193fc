"""Shards that tasks make for a dataset in a store."""

import sys
from pathlib import Path

import pytest

from ppcli.errors import OutputError
from tests.object_store import ObjectStore
from tests.store import small_run
from tests.store.places import far_run
from tests.store.staged_run import accept_all, flow, killed, listed, opened, stage, stage_all

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the store needs fork")


def keys(store: ObjectStore, bucket: str) -> list[str]:
    return [name for name in store.files(bucket) if name.endswith(".staged")]


def test_they_make_the_dataset_of_a_local_run(s3: ObjectStore, made: Path) -> None:
    inputs, url = listed(made / "in"), s3.bucket("staging")
    with killed(url) as dataset:
        staged = stage_all(dataset.area(), inputs)
        assert len(keys(s3, "staging")) == 8
        accept_all(dataset, [staged[3], staged[1]])
    with opened(url) as dataset:
        assert [one.first for one in dataset.staged] == [2, 5]
        assert len(keys(s3, "staging")) == 4
        accept_all(dataset, [*stage(dataset.area(), inputs, 4, 5)])
        accept_all(dataset, [*stage(dataset.area(), inputs, 0, 2)])
        assert dataset.inputs_placed == 7
        stage(dataset.area(), inputs, 0, 2)
        dataset.clean()
    far_run.assert_whole(s3, "staging", made / "out")


def test_a_local_run_finishes_it_and_tasks_try_again(s3: ObjectStore, tmp_path: Path) -> None:
    folder, url = small_run.make_inputs(tmp_path / "in"), s3.bucket("staging-again")
    with killed(url) as dataset:
        accept_all(dataset, stage_all(dataset.area(), listed(folder))[2:])
    assert far_run.run(folder, url) == 3
    small_run.mend(folder)
    with opened(url) as dataset, flow(retry=True) as rows:
        work = dataset.area().previous_shard(0, dataset.records[0], iter(listed(folder)))
        rows.resume(work.shard)
        assert work.staged is not None
        dataset.replace(0, work.staged)
    small_run.run(folder, tmp_path / "made")
    far_run.assert_whole(s3, "staging-again", tmp_path / "made")


def test_a_store_that_is_not_there_is_a_sentence(s3: ObjectStore, made: Path) -> None:
    with killed(s3.bucket("staging-gone")) as dataset:
        area = dataset.area()
        for name in s3.files("staging-gone"):
            s3.client.delete_object(Bucket="staging-gone", Key=name)
        s3.client.delete_bucket(Bucket="staging-gone")
        with pytest.raises(OutputError, match=r"s3://staging-gone/patches/[0-9a-f]{16}\.staged"):
            stage(area, listed(made / "in"), 0, 2)
