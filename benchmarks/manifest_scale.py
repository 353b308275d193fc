"""Measures what a dataset of very many shards costs the process that writes its manifest.

`python benchmarks/manifest_scale.py [--shards N] [--folder DIR]` records N shards in an
empty dataset on this machine, without their files, ends the dataset, and reads it again.
Seconds are those of the processor.
"""

import argparse
import json
import os
import resource
import sys
import time
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import xxhash

from ppcli.store.manifest import MANIFEST, Manifest, ManifestWriter, Recorded
from ppcli.store.places.place import place_of
from ppcli.store.rows import PATCHES, STATS
from ppcli.store.shards import FileRecord, Shard, new_token

_ROWS = 10_000


def record(number: int) -> Shard:
    """Return the record of a shard with distinct digests, of usual sizes."""
    digests = (xxhash.xxh3_128_hexdigest(f"{number} {kind}".encode()) for kind in range(3))
    inputs_digest, stats, patches = digests
    files = {
        PATCHES: FileRecord(3_000_000_000 + number, patches),
        STATS: FileRecord(2_000_000 + number, stats),
    }
    return Shard(_ROWS, inputs_digest, _ROWS, 3, _ROWS - 3, 2_900_000_000 + number, files)


def peak() -> int:
    """Return the most memory that this process has used so far, in bytes."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most << 10


def measure(folder: Path, shards: int) -> dict[str, float]:
    """Record shards, end the dataset and read it again."""
    root, before = place_of(os.fspath(folder)), peak()
    manifest = Manifest({"patches": True})
    manifest.write(root)
    started, slowest = time.process_time(), 0.0
    with closing(ManifestWriter(root, manifest)) as writer:
        for number in range(shards):
            begun = time.process_time()
            writer.record(Recorded(number, record(number), new_token()))
            slowest = max(slowest, time.process_time() - begun)
        recorded = time.process_time() - started
        kept = peak() - before
        begun = time.process_time()
        writer.checkpoint(finished=True)
        ended = time.process_time() - begun
    begun = time.process_time()
    assert len(Manifest.read(root).shards) == shards
    return {
        "shards": shards,
        "record_seconds": recorded,
        "slowest_record_seconds": slowest,
        "peak_bytes_per_shard": kept / shards,
        "end_seconds": ended,
        "manifest_bytes_per_shard": (folder / MANIFEST).stat().st_size / shards,
        "read_seconds": time.process_time() - begun,
        "peak_bytes_per_shard_after_reading": (peak() - before) / shards,
    }


def main() -> None:
    """Measure and print the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shards", type=int, default=100_000)
    parser.add_argument("--folder", help="where the dataset is written; by default a temporary one")
    options = parser.parse_args()
    with TemporaryDirectory(dir=options.folder) as folder:
        sys.stdout.write(json.dumps(measure(Path(folder), options.shards), indent=1) + "\n")


if __name__ == "__main__":
    main()
