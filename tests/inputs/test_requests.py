"""Lines of requests as people and other programs write them."""

import base64
import io
import json
import os
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pandas as pd
import pytest
import xxhash

from ppcli.errors import UsageError
from ppcli.inputs.image_fields import ImageFolder
from ppcli.inputs.lines import numbered_lines
from ppcli.inputs.requests import Request, RequestFile, parse_request

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256))


def parsed(fields: object, folder: str = "in", root: str | None = None) -> Request:
    return parse_request(json.dumps(fields).encode(), 1, ImageFolder(folder, root))


def asked(**fields: object) -> Request:
    return parsed({"prompt": "?", **fields})


def named(request: Request) -> list[str]:
    assert request.fault is None, request.fault
    return [image.image_id for image in request.images]


def written(folder: Path, lines: list[object], name: str = "r.jsonl", **options) -> RequestFile:
    (folder / name).write_text("".join(json.dumps(line) + "\n" for line in lines))
    file = RequestFile(str(folder / name), **options)
    file.check()
    return file


def test_absent_values_and_whole_numbers_as_pandas_writes_them(tmp_path: Path) -> None:
    plain = [
        {"custom_id": "7", "image": "a.png", "prompt": "x", "max_new_tokens": 8, "seed": 3},
        {"prompt": "y", "images": ["a.png", "b.png"], "temperature": 1.0, "top_p": 0.5},
        {"prompt": "z", "system": "Short."},
    ]
    expected = list(written(tmp_path, plain))
    frame = pd.DataFrame([plain[0] | {"custom_id": 7}, *plain[1:]])
    assert frame.max_new_tokens.dtype == np.float64, "8 is 8.0 in a column that lacks some"
    frame.to_json(tmp_path / "pandas.jsonl", orient="records", lines=True)
    assert b"null" in (tmp_path / "pandas.jsonl").read_bytes()
    assert list(RequestFile(str(tmp_path / "pandas.jsonl"))) == expected
    records = written(tmp_path, frame.to_dict("records"), "nan.jsonl")
    text = (tmp_path / "nan.jsonl").read_bytes()
    assert b"NaN" in text and b"8.0" in text and b'"custom_id": 7.0' in text
    assert list(records) == expected


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ({"max_new_tokens": 8.5}, "max_new_tokens is 8.5; it must be a whole number"),
        ({"max_new_tokens": "8"}, 'max_new_tokens is "8"; it must be a whole number'),
        ({"max_new_tokens": True}, "max_new_tokens is true; it must be a whole number"),
        ({"max_new_tokens": float("inf")}, "is Infinity; it must be a whole number"),
        ({"temperature": "1"}, 'temperature is "1"; it must be a number'),
        ({"temperature": 10**400}, "temperature is out of range"),
        ({"system": 5}, "system is 5; it must be a string"),
        ({"prompt": None}, "prompt is missing"),
        ({"image": "a.png", "images": ["b.png"]}, "image and images are both set"),
        ({"images": ["a.png", None]}, "an image is neither a path nor a URL"),
        ({"images": "a.png"}, "images is not a list"),
        ({"page": 3}, "page is set, but there is no image"),
        ({"image": "a.pdf", "page": 0}, "page is 0; pages are counted from 1"),
        ({"image": "a.pdf", "page": 1.5}, "page is 1.5; it must be a whole number"),
        ({"images": ["a.pdf"], "page": 1}, "page does not say which image"),
        ({"images": [{"image": "a.pdf", "pages": 1}]}, "unknown fields in an image: pages"),
        (
            {"image": "https://example.org/a.png"},
            "only paths, file:// and data: URLs are supported",
        ),
        ({"image": "s3://bucket/a.png"}, "only paths, file:// and data: URLs are supported"),
        ({"image": "data:image/png;base64,@@@"}, "the base64 data of an image is invalid"),
        ({"temprature": None}, None),
        ({"temprature": 1}, "unknown fields: temprature"),
    ],
)
def test_what_makes_no_sense_is_told_by_name(fields: dict, fault: str | None) -> None:
    found = asked(**fields).fault
    assert (found is None) if fault is None else (fault in found)


def test_a_field_that_is_named_twice() -> None:
    line = b'{"prompt": "x", "image": "a.png", "prompt": "y"}'
    assert parse_request(line, 4, ImageFolder("")).fault == "line 4: the field prompt is repeated"
    many = ", ".join(f'"{number}": 0' for number in range(200_000))
    line = f'{{{many}, "last": 0, "last": 1}}'.encode()
    assert parse_request(line, 4, ImageFolder("")).fault == "line 4: the field last is repeated"


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        ("1" * 100_000, "it has a number with too many digits"),
        ("[" * 100_000, "it is nested too deeply"),
        ('{"a":' * 100_000, "it is nested too deeply"),
    ],
)
def test_long_numbers_and_deep_nesting_are_refused(value: str, fault: str) -> None:
    line = f'{{"prompt": "x", "seed": {value}'.encode()
    assert parse_request(line + b"}", 1, ImageFolder("")).fault == f"line 1: {fault}"


def test_names_that_come_more_than_once(tmp_path: Path) -> None:
    given = ["line-2", None, "x", "x", "x~2", "x", None, "line-7"]
    lines = [{"prompt": "?"} | ({} if name is None else {"custom_id": name}) for name in given]
    file = written(tmp_path, lines)
    names = [one.custom_id for one in file]
    assert names == ["line-2", "line-2~2", "x", "x~2", "x~2~2", "x~3", "line-7", "line-7~2"]
    assert file.repeated == "line-2~2"
    assert [one.custom_id for one in file] == names, "the same each time"
    assert [one.custom_id for one in written(tmp_path, lines[:3], limit=1)] == ["line-2"]
    once = written(tmp_path, [{"prompt": "?"}] * 3)
    assert [one.custom_id for one in once] == ["line-1", "line-2", "line-3"]
    assert once.repeated == ""


@pytest.mark.parametrize(
    "url",
    [
        f"data:image/png;base64,{base64.b64encode(PNG).decode()}",
        f"DATA:image/png;BASE64,{base64.b64encode(PNG).decode().rstrip('=')}",
        f"data:image/png;base64,{quote(base64.b64encode(PNG).decode())}",
        f"data:image/png;base64,{base64.encodebytes(PNG).decode()}",
        f"data:image/png,{quote(PNG)}",
        f"data:image/png; base64,{base64.b64encode(PNG).decode()}",
        f"data:image/png;charset=utf-8; base64 , {base64.b64encode(PNG).decode()} ",
    ],
)
def test_data_urls(url: str) -> None:
    [image] = asked(image=url).images
    with image.file.open() as file:
        assert file.read() == PNG
    assert image.image_id.endswith(f",…{xxhash.xxh3_128_hexdigest(PNG)}")
    assert image.image_id.startswith("data:image/png")
    [other] = asked(image=url.replace(url[-9:-4], url[-4:] + "A")).images or [None]
    assert other is None or other.image_id != image.image_id


def test_a_data_url_is_known_again_when_the_run_is_resumed() -> None:
    url = f"data:image/png;base64,{base64.b64encode(PNG).decode()}"
    one, same = (asked(image=url).fingerprint(failed=False) for _ in range(2))
    other = f"data:image/png;base64,{base64.b64encode(PNG + b'.').decode()}"
    assert one == same != asked(image=other).fingerprint(failed=False)


def test_pages() -> None:
    one = asked(image="a.pdf", page=3.0)
    assert (one.image_ids, one.page) == ("a.pdf#3", 3)
    several = asked(images=["a.png", {"image": "a.pdf", "page": 2}, {"image": "b.tif"}])
    assert json.loads(several.image_ids) == ["a.png", "a.pdf#2", "b.tif"]
    assert [image.page for image in several.images] == [None, 2, None]
    prints = {asked(image="a.pdf", **page).fingerprint(failed=False) for page in ({}, {"page": 1})}
    assert len(prints) == 2


def test_paths_are_held_to_the_root(tmp_path: Path) -> None:
    root, folder = tmp_path / "root", tmp_path / "root" / "jobs"
    folder.mkdir(parents=True)
    for name in ("root/a.png", "root/jobs/b.png", "secret.png", "root-too.png"):
        (tmp_path / name).write_bytes(PNG)
    (folder / "out.png").symlink_to(tmp_path / "secret.png")
    (folder / "in.png").symlink_to(root / "a.png")
    (folder / "away").symlink_to(tmp_path, target_is_directory=True)

    def outcome(name: str) -> bool:
        request = parsed({"prompt": "?", "image": name}, str(folder), str(root))
        assert request.fault is None or "outside --root" in request.fault
        assert request.fault is None or request.images == ()
        return request.fault is None

    within = ["b.png", "../a.png", "in.png", "../jobs/../a.png", str(root / "a.png"), "missing.png"]
    outside = ["../../secret.png", "out.png", "away/secret.png", "/etc/passwd", "\0", "../.."]
    outside += ["../../root-too.png", f"file://{tmp_path}/secret.png", str(tmp_path / "secret.png")]
    assert {name: outcome(name) for name in within} == dict.fromkeys(within, True)
    assert {name: outcome(name) for name in outside} == dict.fromkeys(outside, False)
    [image] = parsed({"prompt": "?", "image": "in.png"}, str(folder), str(root)).images
    assert os.path.samefile(image.file.name, root / "a.png") and image.image_id == "in.png"
    assert asked(image="data:,x").fault is None
    with pytest.raises(UsageError, match="no such folder"):
        written(tmp_path, [], root=str(tmp_path / "nothing"))


MEGABYTE = "y" * 1_000_000
_FIELDS = ("custom_id", "image", "prompt", "system", "max_new_tokens", "seed", "temperature")


def body(**fields: object) -> dict:
    message = {"role": "user", "content": "?"}
    return {"body": {"messages": [message], **fields}}


@pytest.mark.parametrize(
    "fields",
    [
        *({name: MEGABYTE} for name in (*_FIELDS, "top_p", "page", "images", "method", "url")),
        {MEGABYTE: 1},
        {"custom_id": {MEGABYTE: 1}},
        {"images": [MEGABYTE]},
        {"images": [{MEGABYTE: 1}]},
        {"image": f"data:{MEGABYTE},"},
        {"image": f"data:image/png;base64,{MEGABYTE}"},
        {"image": f"https://{MEGABYTE}"},
        {"image": f"file://{MEGABYTE}/a"},
        {"image": f"file:///{MEGABYTE}"},
        {"image": "a.png", "page": 10**900},
        {"image": [MEGABYTE]},
        {"body": MEGABYTE},
        {**body(), MEGABYTE: 1},
        {**body(), "method": MEGABYTE},
        {**body(), "url": [MEGABYTE]},
        body(**{MEGABYTE: 1}),
        body(messages=MEGABYTE),
        body(messages=[{"role": MEGABYTE}]),
        body(messages=[{"role": "user", MEGABYTE: 1}]),
        body(messages=[{"role": "user", "content": [{"type": MEGABYTE}]}]),
        body(messages=[{"role": "user", "content": [{"type": "text", MEGABYTE: "x"}]}]),
        body(messages=[{"role": "user", "content": [{"type": "text", "text": [MEGABYTE]}]}]),
        body(
            messages=[{"role": "user", "content": [{"type": "image_url", "image_url": MEGABYTE}]}]
        ),
        body(response_format={"type": MEGABYTE}),
        body(seed=MEGABYTE),
    ],
)
@pytest.mark.parametrize("root", [None, "."])
def test_a_megabyte_in_any_field_makes_no_long_message(fields: dict, root: str | None) -> None:
    plain = {} if "body" in fields or "method" in fields or "url" in fields else {"prompt": "?"}
    request = parsed(plain | fields, root=root)
    assert len(request.fault or "") < 400
    assert len(request.image_ids or "") < 400
    assert all(len(image.shown_path) < 400 for image in request.images)


def test_lines_of_any_length() -> None:
    lines = b"short\n\n" + b"x" * 50 + b"\nlast"
    assert list(numbered_lines(io.BytesIO(lines), 20)) == [(1, b"short\n"), (3, None), (4, b"last")]
    assert parse_request(None, 3, ImageFolder("")).fault == "line 3: it has more than 256 MB"


def test_what_shells_put_before_the_first_line(tmp_path: Path) -> None:
    text = '{"prompt": "x"}\n{"prompt": "y"}\n'
    path = tmp_path / "r.jsonl"
    path.write_text(text, encoding="utf-8-sig")
    assert [(one.prompt, one.fault) for one in RequestFile(str(path))] == [("x", None), ("y", None)]
    path.write_text(text, encoding="utf-16")
    with pytest.raises(UsageError, match="write them in UTF-8"):
        list(RequestFile(str(path)))
