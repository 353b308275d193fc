"""Manifests of strangers: whatever they claim, a sentence comes back, and nothing is believed."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ppcli import read_patch_sets
from ppcli.errors import DamagedError, OutputError, PixelpruneError
from ppcli.inputs.listing import Listing
from ppcli.jobs.report import figures_of
from ppcli.jobs.stored_images import StoredImages, is_dataset
from ppcli.store.dataset import dataset_output
from ppcli.store.journal import canonical_json
from ppcli.store.manifest import JOURNAL, MANIFEST, Manifest
from ppcli.store.verify import verify
from tests.store import small_run

Change = Callable[[dict[str, Any]], Any]
HUGE = 1 << 62


@pytest.fixture
def out(made: Path, tmp_path: Path) -> Path:
    return shutil.copytree(made / "out", tmp_path / "out")


def forge(out: Path, change: Change) -> None:
    """Change the manifest, and its digest with it."""
    content = json.loads((out / MANIFEST).read_bytes())
    del content["digest"]
    change(content)
    (out / MANIFEST).write_bytes(canonical_json(content, indent=1))


def put(*places: str | int, value: Any) -> Change:
    """Set what is at a place of the manifest."""

    def change(content: Any) -> None:
        for place in places[:-1]:
            content = content[place]
        content[places[-1]] = value

    return change


def resume(made: Path, out: Path) -> None:
    config = small_run.OPTIONS.as_config()
    with dataset_output(str(out), config) as sink:
        list(sink.previous_shards(iter(Listing((str(made / "in"),)))))


def deep(levels: int) -> list:
    value: list = []
    for _ in range(levels):
        value = [value]
    return value


NO_COUNTS = [-1, True, 1.5, "3", None, 1 << 63, 10**30, [], {}]
COUNTS = ["inputs", "rows", "failed", "patch_sets", "patch_bytes"]
SETTINGS = [
    ("rows", "../x"),
    ("rows", ["stats"]),
    ("rows", "patches"),
    ("patches", "yes"),
    ("fit", "squeeze"),
    ("fit", {}),
    ("patch_size", 0),
    ("merge_size", -2),
    ("min_pixels", "1"),
    ("max_pixels", 1.5),
    ("threshold", "0"),
    ("threshold", -1),
    ("threshold", float("nan")),
    ("threshold", 10**400),
    ("threshold", True),
    ("method", 5),
    ("frames", "some"),
    ("frames", []),
    ("pages", "x"),
    ("pages", 7),
    ("pages", "9" * 5_000),
    ("keep_columns", {"n": "int64"}),
    ("keep_columns", [["n"]]),
    ("keep_columns", [["n", 7]]),
    ("answer_column", "image_id"),
    ("answer_column", 7),
]


def staged(*changes: Change) -> Change:
    """Let the last shard wait, then change what is said of it."""

    def change(content: Any) -> None:
        one = {"first": 5, "token": "0" * 16, "shard": content["shards"].pop()}
        content["staged"] = [one]
        for of_one in changes:
            of_one(content["staged"])

    return change


TOKENS = [
    "",
    "0" * 15,
    "0" * 17,
    "../../../secrets",
    "A" * 16,
    "0" * 15 + "\n",
    5,
    None,
    ["0" * 16],
]
FORGERIES = [
    *(staged(put(0, "first", value=value)) for value in [*NO_COUNTS, 4]),
    *(staged(put(0, "token", value=value)) for value in TOKENS),
    staged(put(0, "shard", value=None)),
    staged(put(0, "shard", "rows", value=-1)),
    staged(put(0, "shard", "files", value={})),
    staged(put(0, "other", value=1)),
    staged(put(0, value="part")),
    staged(lambda waiting: waiting.append({**waiting[0], "token": "1" * 16})),
    staged(lambda waiting: waiting.append({**waiting[0], "first": 7})),
    staged(lambda waiting: waiting.append({**waiting[0], "first": 1, "token": "1" * 16})),
    put("staged", value={}),
    put("staged", value=None),
    *(put("shards", 0, name, value=value) for name in COUNTS for value in NO_COUNTS),
    *(put("shards", 0, "files", "stats", "size", value=value) for value in NO_COUNTS),
    *(put("config", name, value=value) for name, value in SETTINGS),
    put("shards", 0, "files", "stats", "digest", value=5),
    put("shards", 0, "files", "stats", value=[1, 2]),
    put("shards", 0, "files", "../../stats", value={"size": 1, "digest": ""}),
    put("shards", 0, "files", value=[]),
    put("shards", 0, "files", value={}),
    put("shards", 0, "inputs_digest", value=5),
    put("shards", 0, "inputs_digest", value="\ud800"),
    put("shards", 0, "unknown", value=5),
    put("shards", 0, value="part-00000"),
    put("shards", 0, value=None),
    put("shards", value={}),
    put("shards", value="none"),
    put("finished", value=1),
    put("finished", value="yes"),
    put("version", value=2),
    put("version", value=["0.1.0"]),
    put("version", value="9" * 1_000_000),
    put("kind", value=["pixelprune dataset"]),
    put("config", value=[]),
    put("config", value="x"),
    lambda content: content.pop("config"),
    lambda content: content.pop("shards"),
]
READERS: dict[str, Callable[[Path], Any]] = {
    "report": lambda out: figures_of(str(out), None),
    "infer": lambda out: StoredImages(str(out)).check(small_run.OPTIONS.fit, prune=True),
    "reconstruct": lambda out: list(read_patch_sets(out)),
}


@pytest.mark.parametrize("number", range(len(FORGERIES)))
def test_values_that_cannot_be_are_a_sentence(made: Path, out: Path, number: int) -> None:
    forge(out, FORGERIES[number])
    with pytest.raises(DamagedError, match=r"manifest\.json is not a manifest"):
        Manifest.read(str(out))
    [said] = verify(str(out)).damage
    assert len(said) < 1_000
    with pytest.raises(OutputError, match=r"move .* away or use another folder"):
        resume(made, out)
    for read in READERS.values():
        with pytest.raises(PixelpruneError):
            read(out)


@pytest.mark.parametrize("name", ["fit", "threshold", "method", "patch_size", "max_pixels"])
def test_a_setting_that_is_missing_is_a_sentence_where_it_is_needed(out: Path, name: str) -> None:
    forge(out, lambda content: content["config"].pop(name))
    for reader in ("report", "infer"):
        with pytest.raises(DamagedError, match=f"lacks {name}"):
            READERS[reader](out)
    assert verify(str(out)).damage  # the files know better


def test_a_shard_that_waits_for_files_that_are_not_there(made: Path, out: Path) -> None:
    forge(out, staged())
    assert verify(str(out)).damage == []  # a killed run could have renamed them
    for kind in ("stats", "patches"):
        (out / kind / "part-00003.parquet").unlink()
    assert len(verify(str(out)).damage) == 2
    assert READERS["report"](out)
    with pytest.raises(OutputError, match=r"part-00003.parquet is missing; run pixelprune verify"):
        resume(made, out)


def test_an_untouched_one_passes_the_same_readers(made: Path, out: Path) -> None:
    forge(out, lambda content: None)
    assert verify(str(out)).damage == []
    for read in READERS.values():
        read(out)
    resume(made, out)


@pytest.mark.parametrize(
    "change",
    [
        lambda shard: shard.update(inputs=1),
        lambda shard: shard.update(rows=3),
        lambda shard: shard.update(rows=HUGE, inputs=HUGE),
        lambda shard: shard.update(rows=HUGE, inputs=HUGE, failed=HUGE, patch_sets=HUGE),
        lambda shard: shard.update(patch_bytes=0),
        lambda shard: shard["files"]["stats"].update(size=HUGE),
        lambda shard: shard["files"]["patches"].update(size=HUGE),
    ],
)
def test_counts_that_the_files_do_not_have(made: Path, out: Path, change: Change) -> None:
    forge(out, lambda content: change(content["shards"][0]))
    assert verify(str(out)).damage
    with pytest.raises(OutputError, match="run pixelprune verify for details"):
        resume(made, out)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"[]",
        b"5",
        b"null",
        b"\xff\xfe",
        b"[" * 200_000,
        json.dumps({"kind": "pixelprune dataset", "config": deep(900)}).encode(),
        b'{"kind": "pixelprune dataset", "shards": ' + b"9" * 5_000 + b"}",
    ],
)
def test_what_is_no_manifest_at_all(made: Path, out: Path, raw: bytes) -> None:
    (out / MANIFEST).write_bytes(raw)
    assert verify(str(out)).damage
    with pytest.raises(OutputError):
        resume(made, out)
    (out / MANIFEST).unlink()
    (out / MANIFEST).mkdir()
    assert verify(str(out)).damage
    assert not is_dataset(str(out))


def test_a_journal_of_other_values(made: Path, out: Path) -> None:
    for raw in (b"[]\n", b"5\n", b'{"after": 5}\n', b"[" * 100_000 + b"\n", b"\xff\n"):
        (out / JOURNAL).write_bytes(raw * 2)
        with pytest.raises(DamagedError, match="was changed after it was written"):
            Manifest.read(str(out))
        with pytest.raises(OutputError):
            resume(made, out)
