"""A shard that waits, and whose copy in a store has its final name already."""

from pathlib import Path

from ppcli.store.manifest import Manifest
from ppcli.store.shards import shard_name, staged_name
from ppcli.store.verify import verify
from tests.store.small_run import make_inputs
from tests.store.staged_run import accept_all, killed, listed, opened, stage_all


def test_it_is_one_shard(tmp_path: Path) -> None:
    """As after a kill between copy and delete, in a run that updates a dataset."""
    inputs, out = listed(make_inputs(tmp_path / "in")), tmp_path / "out"
    with killed(out) as dataset:
        staged = stage_all(dataset.area(), inputs)
        accept_all(dataset, staged[2:3])
    for kind in ("patches", "stats"):
        waiting = out / kind / staged_name(staged[2].token)
        (out / kind / shard_name(0)).write_bytes(waiting.read_bytes())
    with opened(out) as dataset:
        assert dataset.inputs_placed == staged[2].shard.inputs
        assert dataset.staged == []
    manifest = Manifest.read(str(out))
    assert (len(manifest.shards), manifest.staged) == (1, [])
    report = verify(str(out), data=True)
    assert (report.damage, report.rows) == ([], staged[2].shard.rows)
    assert not list(out.rglob("*.staged"))
