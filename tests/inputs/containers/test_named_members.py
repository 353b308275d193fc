"""Requests and questions name images in containers as paths name files."""

import json
import tarfile
import zipfile
from pathlib import Path

import pytest

from ppcli.errors import ImageError
from ppcli.inputs.image_fields import ImageFolder
from ppcli.inputs.questions import QuestionFile
from ppcli.inputs.requests import RequestFile
from tests.inputs.containers.images import png


@pytest.fixture
def folder(tmp_path) -> Path:
    (tmp_path / "in").mkdir()
    with zipfile.ZipFile(tmp_path / "in" / "a.zip", "w") as archive:
        archive.writestr("x.png", png(0))
        archive.writestr("sub/[y].png", png(1))
        archive.writestr("notes.txt", "words")
    with tarfile.open(tmp_path / "in" / "b.tgz", "w:gz") as archive:
        (tmp_path / "x.png").write_bytes(png(2))
        archive.add(tmp_path / "x.png", "x.png")
    return tmp_path


def read(ref) -> bytes:
    with ref.file.open() as file:
        return file.read()


def test_requests_name_members_relative_to_their_file(folder) -> None:
    path = folder / "in" / "requests.jsonl"
    names = ["a.zip::x.png", "a.zip::sub/[y].png", f"{folder}/in/b.tgz::x.png"]
    lines = [{"image": name, "prompt": "?"} for name in names]
    lines.append({"images": [{"image": "a.zip::x.png", "page": 2}], "prompt": "?"})
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    requests = list(RequestFile(str(path)))
    assert [one.fault for one in requests] == [None] * 4
    assert [one.image_ids for one in requests] == [*names, "a.zip::x.png#2"]
    assert [read(one.images[0]) for one in requests[:3]] == [png(0), png(1), png(2)]
    assert len({one.fingerprint(failed=False) for one in requests}) == 4


def test_questions_name_members(folder) -> None:
    path = folder / "q.jsonl"
    line = {"image": "in/b.tgz::x.png", "question": "?", "answers": ["a"]}
    path.write_text(json.dumps(line))
    [question] = QuestionFile(str(path))
    assert question.image.image_id == "in/b.tgz::x.png"
    assert read(question.image) == png(2)


def test_a_root_holds_for_containers(folder) -> None:
    inside = ImageFolder(str(folder / "in"), root=str(folder / "in"))
    assert read(inside.named("a.zip::x.png")) == png(0)
    elsewhere = ImageFolder(str(folder / "in"), root=str(folder / "other"))
    with pytest.raises(ValueError, match="outside --root"):
        elsewhere.named("a.zip::x.png")


def test_members_that_are_missing_or_no_images_are_errors_of_the_image(folder) -> None:
    within = ImageFolder(str(folder / "in"))
    with pytest.raises(ImageError, match="no member of this name"):
        within.named("a.zip::z.png").file.open()
    assert read(within.named("a.zip::notes.txt")) == b"words"
    with pytest.raises(ImageError, match="no such file"):
        within.named("c.zip::z.png").file.open()
