"""Questions from lines of JSON and from Parquet, as data sets have them."""

import base64
import io
import json
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from ppcli.errors import UsageError
from ppcli.inputs.questions import Question, QuestionFile


def read(path: Path, limit: int | None = None) -> list[Question]:
    file = QuestionFile(str(path), limit)
    file.check()
    return list(file)


def test_lines(tmp_path: Path) -> None:
    lines = [
        {"image": "in/a.png", "question": "Total?", "answers": ["12", "12.0"], "kind": "value"},
        {"custom_id": "x", "image": "a.png", "question": "Why?", "answers": "so"},
        {"image": "a.png", "question": "Why?", "answers": []},
        {"question": "Why?", "answers": ["so"]},
        {"image": "a.png", "answers": ["so"]},
    ]
    path = tmp_path / "q.jsonl"
    odd = [
        {"custom_id": 0, "image": "a.png", "question": "?", "answers": 12},
        {"image": "a.png", "question": "?", "answers": [None]},
        {"image": ["a.png"], "question": "?", "answers": ["x"]},
        {"image": "a.png", "question": "?", "answers": [["x"]]},
        {"image": "\ud800.png", "question": "?", "answers": ["x"]},
        {"image": "a.png", "question": "?", "answers": ["\ud800"]},
        {"image": "a.png", "question": "?", "answers": ["x"], "kind": "\ud800"},
    ]
    path.write_text("\n".join(map(json.dumps, [*lines, *odd])) + "\n\n[1]\nnot json\n")
    found = read(path)
    first, second, *broken = found
    assert (first.custom_id, first.answers, first.kind) == ("line-1", ("12", "12.0"), "value")
    assert (first.image.file.name, first.image.image_id) == (str(tmp_path / "in/a.png"), "in/a.png")
    assert (second.custom_id, second.answers, second.kind) == ("x", ("so",), None)
    zero = broken.pop(3)
    assert (zero.custom_id, zero.answers, zero.fault) == ("0", ("12",), None)
    faults = [one.fault for one in broken]
    assert faults == [
        "line 3: answers is missing or empty",
        "line 4: image is missing",
        "line 5: question is missing",
        "line 7: an answer is null",
        "line 8: image is neither a string nor a number",
        "line 9: answer is neither a string nor a number",
        "line 10: image contains an unpaired surrogate",
        "line 11: answer contains an unpaired surrogate",
        "line 12: kind contains an unpaired surrogate",
        "line 14: it is not a JSON object",
        "line 15: it is not JSON: Expecting value (character 1)",
    ]
    assert len(read(path, limit=2)) == 2


def png(colour: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (40, 30), (colour, 0, 0)).save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize("with_path", [True, False])
def test_parquet_as_data_sets_have_it(tmp_path: Path, with_path: bool) -> None:
    images = [{"bytes": png(n), "path": f"{n}.png" if with_path else None} for n in (1, 2, 1)]
    table = {
        "custom_id": pa.array([None, None, "mine"], pa.string()),
        "questionId": ["7", "8", "9"],
        "question_types": [["form"], ["table/list", "layout"], []],
        "question": ["a?", "b?", "c?"],
        "answers": [["x"], ["y", "z"], ["w"]],
        "image": images,
    }
    pq.write_table(pa.table(table), tmp_path / "q.parquet")
    found = read(tmp_path / "q.parquet")
    assert [one.custom_id for one in found] == ["7", "8", "mine"]
    assert [one.kind for one in found] == ["form", "table/list, layout", None]
    assert [one.answers for one in found] == [("x",), ("y", "z"), ("w",)]
    names = [one.image.image_id for one in found]
    assert (names[0] == names[2] != names[1]) and (names[0] == "1.png") == with_path
    with found[1].image.file.open() as file:
        assert file.read() == png(2)
    assert found[0].image.file == found[2].image.file != found[1].image.file


def test_parquet_with_plain_bytes_or_paths(tmp_path: Path) -> None:
    for image in (png(1), "a.png"):
        table = {"image": [image], "question": ["a?"], "answers": ["x"], "kind": ["k"]}
        pq.write_table(pa.table(table), tmp_path / "q.parquet")
        (one,) = read(tmp_path / "q.parquet")
        assert (one.answers, one.kind, one.fault) == (("x",), "k", None)


def test_files_that_cannot_be_meant(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such file"):
        read(tmp_path / "nothing.jsonl")
    (tmp_path / "q.parquet").write_bytes(b"PAR1")
    with pytest.raises(UsageError, match="cannot be read"):
        read(tmp_path / "q.parquet")
    pq.write_table(pa.table({"image": ["a"], "query": ["b"]}), tmp_path / "q.parquet")
    with pytest.raises(UsageError, match="lacks columns: question, answers"):
        read(tmp_path / "q.parquet")


LINE = {"image": "a.png", "question": "?", "answers": "x"}


def test_lines_as_pandas_writes_them(tmp_path: Path) -> None:
    plain = [LINE | {"custom_id": "1", "kind": "k"}, LINE | {"image": "b.png"}]
    (tmp_path / "plain.jsonl").write_text("".join(json.dumps(one) + "\n" for one in plain))
    frame = pd.DataFrame([plain[0] | {"custom_id": 1}, plain[1]])
    frame.to_json(tmp_path / "null.jsonl", orient="records", lines=True)
    nan = "".join(json.dumps(one) + "\n" for one in frame.to_dict("records"))
    (tmp_path / "nan.jsonl").write_text(nan)
    assert "NaN" in nan and "1.0" in nan
    frame.to_parquet(tmp_path / "q.parquet")
    expected = read(tmp_path / "plain.jsonl")
    assert read(tmp_path / "null.jsonl") == read(tmp_path / "nan.jsonl") == expected
    assert [one.custom_id for one in read(tmp_path / "q.parquet")] == ["1", "row-2"]


def test_names_that_come_more_than_once(tmp_path: Path) -> None:
    path = tmp_path / "q.jsonl"
    lines = [LINE | {"custom_id": "x"}, LINE | {"custom_id": "x"}, LINE, LINE]
    lines[3] = LINE | {"custom_id": "line-3"}
    path.write_text("".join(json.dumps(one) + "\n" for one in lines))
    assert [one.custom_id for one in read(path)] == ["x", "x~2", "line-3", "line-3~2"]


def test_images_within_data_urls_and_bytes_are_known_again(tmp_path: Path) -> None:
    """The same bytes have the same fingerprint whenever they are read."""
    url = f"data:image/png;base64,{base64.b64encode(png(1)).decode()}"
    (tmp_path / "q.jsonl").write_text(json.dumps(LINE | {"image": url}) + "\n")
    table = {"image": [{"bytes": png(1), "path": "a.png"}], "question": ["?"], "answers": ["x"]}
    pq.write_table(pa.table(table), tmp_path / "q.parquet")
    for name in ("q.jsonl", "q.parquet"):
        prints = set()
        for _ in range(2):
            [question] = QuestionFile(str(tmp_path / name))
            with question.image.file.open() as file:
                assert file.read() == png(1)
            assert len(question.image.image_id) < 80
            prints.add(question.fingerprint(failed=False))
        assert len(prints) == 1
    table["image"][0]["bytes"] = png(2)
    pq.write_table(pa.table(table), tmp_path / "q.parquet")
    [other] = QuestionFile(str(tmp_path / "q.parquet"))
    assert other.fingerprint(failed=False) not in prints


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_images_are_held_to_the_root(tmp_path: Path, kind: str) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (tmp_path / "secret.png").write_bytes(png(1))
    (root / "link.png").symlink_to(tmp_path / "secret.png")
    images = ["a.png", "../secret.png", "link.png", str(tmp_path / "secret.png")]
    rows = [LINE | {"image": name} for name in images]
    path = root / f"q.{kind}"
    if kind == "jsonl":
        path.write_text("".join(json.dumps(one) + "\n" for one in rows))
    else:
        pq.write_table(pa.Table.from_pylist(rows), path)
    file = QuestionFile(str(path), root=str(root))
    file.check()
    faults = [one.fault for one in file]
    assert faults[0] is None
    assert all("is outside --root" in fault for fault in faults[1:])
    with pytest.raises(UsageError, match="no such folder"):
        QuestionFile(str(path), root=str(tmp_path / "x")).check()


def test_a_megabyte_in_any_field_makes_no_long_message(tmp_path: Path) -> None:
    megabyte = "y" * 1_000_000
    path = tmp_path / "q.jsonl"
    odd = [
        *(LINE | {name: {megabyte: 1}} for name in ("image", "question", "answers", "kind")),
        *(LINE | {name: megabyte} for name in ("image", "custom_id")),
        LINE | {"image": f"data:{megabyte}"},
        LINE | {"image": f"data:{megabyte},"},
        LINE | {"image": f"https://{megabyte}"},
        LINE | {"image": f"file://{megabyte}/x"},
        LINE | {"custom_id": [megabyte]},
        {"custom_id": megabyte},
    ]
    path.write_text("".join(json.dumps(one) + "\n" for one in odd) + megabyte + "\n")
    found = read(path)
    assert len(found) == len(odd) + 1
    assert sum(one.fault is not None for one in found) >= 9
    assert all(len(one.fault or "") < 400 for one in found)
    assert all(len(one.image.image_id) < 400 for one in found)


def test_images_may_be_in_another_column(tmp_path) -> None:
    path = tmp_path / "q.parquet"
    columns = {"scan": [b"x"], "question": ["?"], "answers": [["a"]]}
    pq.write_table(pa.table(columns), path)
    with pytest.raises(UsageError, match="lacks columns: image"):
        QuestionFile(str(path)).check()
    file = QuestionFile(str(path), image_column="scan")
    file.check()
    [question] = file
    assert question.fault is None
    with question.image.file.open() as opened:
        assert opened.read() == b"x"
