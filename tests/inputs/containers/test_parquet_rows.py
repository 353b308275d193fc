"""Parquet files, made by datasets and pyarrow: their image column, their rows, their faults."""

import os
import shutil
from copy import copy
from pathlib import Path

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from ppcli.errors import UsageError
from ppcli.inputs.containers import parquet_rows
from tests.inputs.containers.images import attached, listing_of, members, png

STRUCT = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    datasets.disable_progress_bars()
    return tmp_path


def write(columns: dict[str, object], **options: object) -> str:
    pq.write_table(pa.table(columns), "d.parquet", **options)
    return "d.parquet"


def structs(*rows: object) -> pa.Array:
    return pa.array(list(rows), STRUCT)


def rows(*contents: object) -> list[tuple[str, object]]:
    return [(f"d.parquet::{number}", content) for number, content in enumerate(contents)]


def test_data_sets_of_hugging_face() -> None:
    for number in range(3):
        Path(f"{number}.png").write_bytes(png(number))
    paths = [f"{number}.png" for number in range(3)]
    made = datasets.Dataset.from_dict({"other": paths, "scan": paths, "n": [1, 2, 3]})
    made = made.cast_column("scan", datasets.Image())
    made.to_parquet("d.parquet")
    assert members("d.parquet") == rows(*map(png, range(3)))
    assert [one[:2] for one in attached("d.parquet")] == rows(*map(png, range(3)))
    arrays = [np.full((40, 40, 3), number, np.uint8) for number in range(2)]
    features = datasets.Features({"image": datasets.Image()})
    datasets.Dataset.from_dict({"image": arrays}, features).to_parquet("d.parquet")
    for number, (_, content) in enumerate(members("d.parquet")):
        Path("x.png").write_bytes(content)  # type: ignore[arg-type]
        assert (np.asarray(Image.open("x.png")) == number).all()


@pytest.mark.parametrize(
    "column",
    [
        pa.array([png(0), png(1)]),
        pa.array([png(0), png(1)], pa.large_binary()),
        pa.array([png(0), png(1)], pa.binary_view()),
        pa.array([png(0), png(1)]).dictionary_encode(),
        structs({"bytes": png(0), "path": "x.png"}, {"bytes": png(1), "path": None}),
        pa.array([{"bytes": png(0), "path": None}, {"bytes": png(1), "path": None}]),
        pa.array([{"bytes": png(0)}, {"bytes": png(1)}]),
    ],
)
def test_images_are_found_by_type(column) -> None:
    write({"id": [1, 2], "raw": [b"none", b"none"], "text": ["a.b", "c.d"], "picture": column})
    assert members("d.parquet") == rows(png(0), png(1))
    assert [one[:2] for one in attached("d.parquet")] == rows(png(0), png(1))
    assert members("d.parquet::1") == [("d.parquet::1", png(1))]


@pytest.mark.parametrize(
    "as_type", [pa.string(), pa.large_string(), pa.dictionary(pa.int8(), pa.string())]
)
def test_text_names_files_beside_the_data_set(as_type, here) -> None:
    Path("in/sub").mkdir(parents=True)
    Path("in/sub/a.png").write_bytes(png(1))
    Path("b.png").write_bytes(png(2))
    paths = ["sub/a.png", "../b.png", str(here / "b.png"), f"file://{here}/b.png", "none.png", None]
    pq.write_table(pa.table({"p": pa.array(paths, as_type)}), "in/d.parquet")
    contents = [png(1), png(2), png(2), png(2), "not_found", "empty"]
    expected = [(f"in/d.parquet::{number}", one) for number, one in enumerate(contents)]
    assert members("in/d.parquet") == expected
    refs = list(listing_of("in/d.parquet"))
    assert refs[0].shown_path == "in/sub/a.png"
    kept = attached("in/d.parquet", keep_columns=("p",))
    assert [columns for _, _, columns in kept] == [{"p": path} for path in paths]


def test_a_struct_may_have_a_path_instead_of_bytes() -> None:
    Path("a.png").write_bytes(png(1))
    write({"image": structs({"path": "a.png"}, {"path": "b.png"}, {"bytes": png(), "path": "x"})})
    assert [one[:2] for one in attached("d.parquet")] == rows(png(1), "not_found", png())


def test_null_images_are_error_rows() -> None:
    write({"image": structs(None, {}, {"bytes": None, "path": ""}, {"bytes": png()})})
    assert members("d.parquet") == rows("empty", "empty", "empty", png())
    assert [one[:2] for one in attached("d.parquet")] == rows("empty", "empty", "empty", png())


def refused(**options: object) -> str:
    with pytest.raises(UsageError) as caught:
        listing_of("d.parquet", **options)
    return str(caught.value)


def test_which_column_must_be_clear() -> None:
    picture = pa.array([png(0)])
    write({"front": picture, "back": picture, "id": [1]})
    assert refused() == (
        "d.parquet: several columns hold images (front, back); choose one with --image-column"
    )
    assert members("d.parquet", image_column="back") == rows(png(0))
    assert "no column bakc; there are front, back, id. Did you mean 'back'?" in refused(
        image_column="bakc"
    )
    assert "the column id is of type int64" in refused(image_column="id")
    write({"id": [1], "text": ["words"]})
    assert "no column holds images; there are id, text; choose one" in refused()
    write({"pages": [[png(0)]]})
    assert "lists of images (pages) are not supported" in refused()
    features = datasets.Features({"pages": datasets.List(datasets.Image())})
    pages = [[{"bytes": png(), "path": None}]]
    datasets.Dataset.from_dict({"pages": pages}, features).to_parquet("d.parquet")
    assert "lists of images (pages) are not supported" in refused()


def test_files_without_images_are_skipped_in_folders_only() -> None:
    Path("in").mkdir()
    write({"text": ["words"]})
    shutil.copy("d.parquet", "in/a.parquet")
    write({"image": structs({"bytes": png()})})
    shutil.copy("d.parquet", "in/b.parquet")
    table = pa.table({"path": ["x.png"], "tiles": [png()]}).replace_schema_metadata(
        {"pixelprune.kind": "stats"}
    )
    pq.write_table(table, "in/c.parquet")
    Path("in/d.png").write_bytes(png(1))
    listing = listing_of("in")
    assert [ref.image_id for ref in listing] == ["b.parquet::0", "d.png"]
    assert listing.skipped == 2
    assert members("in", include=("*.png",)) == [("d.png", png(1))]
    with pytest.raises(UsageError, match="written by pixelprune"):
        listing_of("in/c.parquet")


def test_images_that_were_kept_are_found_without_features_of_datasets() -> None:
    images = structs({"bytes": png(1), "path": None}, {"bytes": png(2), "path": None})
    table = pa.table({"image_id": ["a", "b"], "image": images, "tiles": [png(), png()]})
    own = table.replace_schema_metadata({"pixelprune": "{}"})
    pq.write_table(own, "d.parquet")
    assert [one[:2] for one in attached("d.parquet")] == rows(png(1), png(2))


def test_row_numbers_count_over_row_groups_and_counting_reads_no_rows(monkeypatch) -> None:
    images = [png(number) for number in range(25)]
    write({"image": pa.array(images)}, row_group_size=7)
    monkeypatch.setattr(parquet_rows, "_MOST_ROWS", 3)
    assert [one[:2] for one in attached("d.parquet")] == rows(*images)
    assert members("d.parquet::24") == [("d.parquet::24", images[24])]
    with pytest.raises(UsageError, match="there is no row 25; the 25 rows are counted from 0"):
        listing_of("d.parquet::25")
    monkeypatch.setattr(parquet_rows.RowReader, "read", None)
    assert sum(1 for _ in copy(listing_of("d.parquet"))) == 25


def test_a_damaged_row_group_gives_error_rows_and_the_others_are_read() -> None:
    images = [os.urandom(3000) for _ in range(12)]
    images = [png(number) + filling for number, filling in enumerate(images)]
    write(
        {"image": pa.array(images)},
        row_group_size=4,
        write_page_checksum=True,
        write_statistics=False,
        compression="none",
        use_dictionary=False,
    )
    raw = bytearray(Path("d.parquet").read_bytes())
    raw[raw.index(images[5]) + 2000] ^= 1
    Path("d.parquet").write_bytes(raw)
    found = [one[1] for one in attached("d.parquet")]
    assert found[:4] == images[:4]
    assert found[4:8] == ["corrupt"] * 4
    assert found[8:] == images[8:]


@pytest.mark.parametrize(
    ("content", "code"), [(b"", "empty"), (b"text", "corrupt"), (b"PAR1cut off", "corrupt")]
)
def test_what_is_no_parquet_file_is_one_error(content, code) -> None:
    Path("d.parquet").write_bytes(content)
    assert members("d.parquet") == [("d.parquet", code)]


def test_kept_columns_come_with_the_images_and_their_types_before() -> None:
    nested = pa.array([{"a": [1, 2]}, None], pa.struct([("a", pa.list_(pa.int8()))]))
    write({"image": structs({"bytes": png()}, None), "n": [7, 8], "deep": nested, "é": ["x", None]})
    names = ("é", "deep", "n")
    schema = listing_of("d.parquet", keep_columns=names).kept_schema()
    assert schema.names == ["n", "deep", "é"]
    assert schema.field("deep").type == nested.type
    found = attached("d.parquet", keep_columns=names)
    assert [columns for _, _, columns in found] == [
        {"n": 7, "deep": {"a": [1, 2]}, "é": "x"},
        {"n": 8, "deep": None, "é": None},
    ]
    every = listing_of("d.parquet", keep_columns=("*",))
    assert every.kept_schema().names == ["image", "n", "deep", "é"]
    assert attached("d.parquet", keep_columns=("*",))[0][2]["image"]["bytes"] == png()
    with pytest.raises(UsageError, match="no such column; there are image, n, deep, é"):
        listing_of("d.parquet", keep_columns=("m",)).kept_schema()


def test_kept_columns_of_several_files_have_one_type() -> None:
    pq.write_table(pa.table({"image": structs({"bytes": png()}), "n": [1]}), "a.parquet")
    pq.write_table(pa.table({"image": structs({"bytes": png()}), "n": ["x"]}), "b.parquet")
    with pytest.raises(UsageError, match=r"it is int64 in a\.parquet, but string in b\.parquet"):
        listing_of("a.parquet", "b.parquet", keep_columns=("n",)).kept_schema()


def test_features_of_kept_columns_are_those_of_datasets() -> None:
    Path("a.png").write_bytes(png())
    made = datasets.Dataset.from_dict({"image": ["a.png"], "n": [1]})
    made.cast_column("image", datasets.Image()).to_parquet("d.parquet")
    schema = listing_of("d.parquet", keep_columns=("*",)).kept_schema()
    assert datasets.Features.from_arrow_schema(schema) == {
        "image": datasets.Image(),
        "n": datasets.Value("int64"),
    }
