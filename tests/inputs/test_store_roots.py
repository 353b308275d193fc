"""A --root that is the URL of a folder: requests may name what is below it, and nothing else."""

import json
from pathlib import Path

import pytest

from ppcli.errors import UsageError
from ppcli.inputs.image_fields import ImageFolder, check_root
from ppcli.inputs.object_file import ObjectFile
from ppcli.inputs.requests import parse_request
from tests.command import pixelprune
from tests.object_store import ObjectStore

ROOT = "s3://bucket/pages"


@pytest.mark.parametrize(
    ("named", "url"),
    [
        ("a.png", f"{ROOT}/a.png"),
        ("sub/a b.png", f"{ROOT}/sub/a b.png"),
        (f"{ROOT}/sub/a.png", f"{ROOT}/sub/a.png"),
        ("a..png", f"{ROOT}/a..png"),
    ],
)
@pytest.mark.parametrize("root", [ROOT, f"{ROOT}/"])
def test_what_is_below_the_root_is_read(named: str, url: str, root: str) -> None:
    ref = ImageFolder("elsewhere", root).named(named)
    assert ref.file == ObjectFile(url)
    assert ref.image_id == named


@pytest.mark.parametrize(
    "named",
    [
        "../a.png",
        "sub/../../a.png",
        "/etc/hostname",
        "file:///etc/hostname",
        "s3://bucket/other/a.png",
        "s3://bucket/pages-too/a.png",
        f"{ROOT}/../a.png",
        "https://host/a.png",
        "memory://a.png",
    ],
)
def test_what_is_elsewhere_is_refused(named: str) -> None:
    line = json.dumps({"image": named, "prompt": "?"}).encode()
    assert "is outside --root s3://bucket/pages" in str(
        parse_request(line, 1, ImageFolder("", ROOT)).fault
    )


def test_without_a_root_the_words_lead_to_it() -> None:
    with pytest.raises(ValueError, match="--root s3://… allows those below"):
        ImageFolder("").named("s3://bucket/a.png")
    with pytest.raises(ValueError, match=r"data: URLs are supported$"):
        ImageFolder("").named("odd://bucket/a.png")


def test_a_root_is_checked_before_anything_runs(s3: ObjectStore) -> None:
    url = s3.bucket("roots", {"pages/a.png": b"x"})
    check_root(f"{url}/pages")
    with pytest.raises(UsageError, match="no such folder"):
        check_root(f"{url}/nothing")
    for other in ("https://host/folder", "sftp://host/folder"):
        with pytest.raises(UsageError, match="lead elsewhere"):
            check_root(other)


def _rows(*line: str | Path) -> list[dict[str, object]]:
    done = pixelprune(*line, "--max-new-tokens", "2", "-o", "-")
    found = [json.loads(one) for one in done.stdout.splitlines()]
    return [
        {name: one for name, one in row.items() if not name.endswith(("_ms", "fingerprint"))}
        for row in found
    ]


def test_answers_about_images_in_a_store_are_those_about_local_ones(
    s3: ObjectStore, folder: Path, tmp_path: Path
) -> None:
    url = s3.upload(folder, "answers")
    requests = tmp_path / "requests.jsonl"
    names = ["a.png", "broken.png", "sub/a.png", "nothing.png"]
    lines = [json.dumps({"image": name, "prompt": "What is it?"}) for name in names]
    requests.write_text("\n".join(lines))
    local = tmp_path / "in" / "requests.jsonl"
    local.write_text("\n".join(lines))
    far = _rows("infer", "--requests", requests, "--root", url)
    assert far == _rows("infer", "--requests", local, "--root", folder)
    assert [row["error_code"] for row in far] == [None, "truncated", None, "not_found"]
