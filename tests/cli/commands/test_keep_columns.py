"""`analyze` and `infer` with `--keep-columns`, over data sets that `datasets` writes."""

import json
from pathlib import Path

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from tests.cli.commands.answers import PROMPT, infer, lines, without_times
from tests.command import pixelprune
from tests.conftest import blocks
from tests.store.kept_run import pictures


@pytest.fixture
def pages(tmp_path: Path) -> pa.Table:
    """A data set of four images, of which one is broken."""
    images = [Image.fromarray(blocks(96, 64, seed=seed)) for seed in range(4)]
    features = datasets.Features(
        {
            "image": datasets.Image(),
            "label": datasets.ClassLabel(names=["form", "letter"]),
            "words": datasets.Sequence(datasets.Value("string")),
        }
    )
    rows = {"image": images, "label": [0, 1, 0, 1], "words": [["a"], [], ["b", "c"], ["d"]]}
    made = datasets.Dataset.from_dict(rows, features=features)
    made.to_parquet(tmp_path / "pages.parquet")
    table = pq.read_table(tmp_path / "pages.parquet")
    damaged = table["image"].to_pylist()
    damaged[2] |= {"bytes": damaged[2]["bytes"][:60]}
    images = pa.array(damaged, table.field("image").type)
    table = table.set_column(0, table.field("image"), images)
    pq.write_table(table, tmp_path / "pages.parquet")
    return table


def said(done) -> str:
    return " ".join(done.stderr.decode().replace("│", " ").split())


def test_infer_gives_the_data_set_back_with_the_answers(pages, model, tmp_path: Path) -> None:
    run = (tmp_path / "pages.parquet", "--model", model, *PROMPT)
    run += ("--keep-columns", "*", "--answer-column", "markdown")
    infer(*run, "-o", tmp_path / "out.parquet", code=3)
    infer(*run, "-o", tmp_path / "out", code=3)
    for path in (tmp_path / "out.parquet", tmp_path / "out" / "answers"):
        table = pq.read_table(path)
        assert table.select(pages.column_names).to_pylist() == pages.to_pylist()
        assert table.select(pages.column_names).schema.equals(pages.schema)
        assert table["status"].to_pylist() == ["ok", "ok", "error", "ok"]
    found = datasets.load_dataset(
        "parquet",
        data_files=str(tmp_path / "out.parquet"),
        split="train",
        cache_dir=str(tmp_path / "cache"),
    )
    assert isinstance(found.features["image"], datasets.Image)
    assert found.features["label"].names == ["form", "letter"]
    assert found[0]["image"].size == (96, 64)
    plain = infer(tmp_path / "pages.parquet", "--model", model, *PROMPT, code=3)
    assert found["markdown"][:] == [row["answer"] for row in lines(plain.stdout)]
    # what was written is a data set of images again
    again = pixelprune("analyze", tmp_path / "out.parquet", "-o", "-")
    assert len(lines(again.stdout)) == 4


def test_analyze_keeps_columns_and_resumes_with_the_same(pages, tmp_path: Path) -> None:
    run = ("analyze", tmp_path / "pages.parquet", "-o", tmp_path / "out", "--keep-columns", "label")
    for _ in range(2):
        assert pixelprune(*run, "--keep-columns", "words").returncode == 3
    table = pq.read_table(tmp_path / "out" / "stats")
    assert table.select(["label", "words"]).to_pylist() == pages.select([1, 2]).to_pylist()
    assert table.num_rows == 4
    assert pixelprune("verify", tmp_path / "out", "--data").returncode == 0
    done = pixelprune(*run)
    assert (done.returncode, "keep_columns" in said(done)) == (5, True)
    assert pixelprune(*run, "--keep-columns", "words", "--retry-failed").returncode == 3
    table = pq.read_table(tmp_path / "out" / "stats")
    assert table.select(["label", "words"]).to_pylist() == pages.select([1, 2]).to_pylist()


def test_text_has_the_values_as_json(pages, tmp_path: Path) -> None:
    args = ("analyze", tmp_path / "pages.parquet", "-o", "-", "--keep-columns", "words")
    rows = [json.loads(line) for line in pixelprune(*args).stdout.splitlines()]
    assert [row["words"] for row in rows] == pages["words"].to_pylist()
    without = pixelprune(*args[:4]).stdout
    for row in rows:
        del row["words"]
    assert without_times(rows) == without_times(lines(without))


def test_other_inputs_have_null(pages, tmp_path: Path) -> None:
    Image.fromarray(blocks(96, 64)).save(tmp_path / "a.png")
    inputs = (tmp_path / "a.png", tmp_path / "pages.parquet")
    args = ("--keep-columns", "label", "-o", tmp_path / "out.parquet")
    assert pixelprune("analyze", *inputs, *args).returncode == 3
    labels = pq.read_table(tmp_path / "out.parquet")["label"].to_pylist()
    assert labels == [None, 0, 1, 0, 1]


@pytest.mark.parametrize(
    ("one", "other", "both"),
    [
        (pa.int32(), pa.int64(), pa.int64()),
        (pa.uint8(), pa.int16(), pa.int16()),
        (pa.float32(), pa.float64(), pa.float64()),
        (pa.string(), pa.large_string(), pa.large_string()),
        (pa.null(), pa.list_(pa.string()), pa.list_(pa.string())),
        (pa.list_(pa.int8()), pa.list_(pa.int32()), pa.list_(pa.int32())),
        (pa.int64(), pa.float64(), None),
        (pa.int64(), pa.uint64(), None),
        (pa.int64(), pa.string(), None),
        (pa.string(), pa.binary(), None),
        (pa.struct([("a", pa.int64())]), pa.struct([("a", pa.float64())]), None),
    ],
)
def test_files_may_differ_in_the_width_of_a_type(one, other, both, tmp_path: Path) -> None:
    files = [tmp_path / "a.parquet", tmp_path / "b.parquet"]
    for path, kind in zip(files, (one, other), strict=True):
        value = pa.array([[1] if kind == pa.list_(pa.int8()) else None], kind)
        pq.write_table(pa.table({"i": pictures(1), "n": value}), path)
    args = ("analyze", *files, "--keep-columns", "n", "-o", tmp_path / "out.parquet")
    done = pixelprune(*args)
    if both is None:
        assert done.returncode == 2
        assert f"it is {one} in" in said(done)
        assert f"but {other} in" in said(done)
    else:
        assert done.returncode == 0, done.stderr
        assert pq.read_table(tmp_path / "out.parquet").schema.field("n").type == both


def test_two_columns_of_one_name_are_not_kept(tmp_path: Path) -> None:
    table = pa.Table.from_arrays([pictures(1), [1], [2]], names=["i", "n", "n"])
    pq.write_table(table, tmp_path / "in.parquet")
    run = ("analyze", tmp_path / "in.parquet", "-o", "-", "--keep-columns")
    done = pixelprune(*run, "*")
    assert done.returncode == 2
    assert "has two columns of this name" in said(done)
    assert pixelprune(*run, "i").returncode == 0


def test_names_of_our_columns_are_refused(model: Path, tmp_path: Path) -> None:
    table = pa.table({"image": pictures(1), "answer": ["x"], "page": [1]})
    pq.write_table(table, tmp_path / "in.parquet")
    run = (tmp_path / "in.parquet", "--model", model, *PROMPT, "--keep-columns")
    done = infer(*run, "answer", code=2)
    assert "use --answer-column, or name the other columns in --keep-columns" in said(done)
    done = infer(*run, "answer", "--answer-column", "markdown")
    row = lines(done.stdout)[0]
    assert row["answer"] == "x"
    assert isinstance(row["markdown"], str)
    done = infer(*run, "*", "--answer-column", "markdown", code=2)
    assert "page is a kept column and a column of pixelprune" in said(done)
    assert "has no place for columns" in said(infer(*run, "answer", "--format", "openai", code=2))

    (tmp_path / "r.jsonl").write_text(json.dumps({"prompt": "x"}))
    done = infer("--requests", tmp_path / "r.jsonl", "--keep-columns", "*", code=2)
    assert "--keep-columns is for images in Parquet files" in said(done)


def test_updates_have_the_columns_of_the_files_as_they_are(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()

    def write(name: str, *numbers: int) -> None:
        made = pa.table({"image": pictures(len(numbers)), "n": pa.array(numbers, pa.int16())})
        pq.write_table(made, folder / f"{name}.parquet")

    def analyzed(out: str, *options: str) -> list[dict]:
        run = ("analyze", folder, "-o", tmp_path / out, "--keep-columns", "n", *options)
        done = pixelprune(*run, "--rows-per-shard", "2")
        assert done.returncode == 0, done.stderr
        rows = pq.read_table(tmp_path / out / "stats").select(["image_id", "n"]).to_pylist()
        return sorted(rows, key=lambda row: row["image_id"])

    write("a", 1, 2, 3)
    write("b", 4, 5)
    analyzed("out")
    write("b", 40, 50, 60)
    write("c", 7)
    (folder / "a.parquet").rename(folder / "d.parquet")
    found = analyzed("out", "--update", "--drop-missing")
    assert found == analyzed("anew")
    assert [row["n"] for row in found] == [40, 50, 60, 7, 1, 2, 3]
    assert pixelprune("verify", tmp_path / "out", "--data").returncode == 0


def test_data_sets_in_a_bucket_give_the_rows_of_local_ones(pages, s3, tmp_path: Path) -> None:
    content = (tmp_path / "pages.parquet").read_bytes()
    bucket = s3.bucket("columns", {"set/pages.parquet": content})
    keep = ("--keep-columns", "*", "--format", "arrow", "-o", "-")
    far = pixelprune("analyze", f"{bucket}/set", *keep, **s3.environment)
    near = pixelprune("analyze", tmp_path / "pages.parquet", *keep)
    assert (far.returncode, near.returncode) == (3, 3), far.stderr
    tables = [pa.ipc.open_stream(one.stdout).read_all() for one in (far, near)]
    assert [table.select(pages.column_names).to_pylist() for table in tables] == [
        pages.to_pylist()
    ] * 2
    done = pixelprune(
        *("analyze", f"{bucket}/set", "--keep-columns", "*", "-o", f"{bucket}/out"),
        **s3.environment,
    )
    assert done.returncode == 3, done.stderr
    made = s3.client.get_object(Bucket="columns", Key="out/stats/part-00000.parquet")
    table = pq.read_table(pa.BufferReader(made["Body"].read()))
    assert table.select(pages.column_names).to_pylist() == pages.to_pylist()
    assert pixelprune("verify", f"{bucket}/out", **s3.environment).returncode == 0
