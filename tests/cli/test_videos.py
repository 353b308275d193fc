"""Videos as a user gives them."""

import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.command import pixelprune
from tests.imaging.videos import pictures, sound_only, video

FIT = ("--fit", "pad", "--min-pixels", "1")


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A folder: a video of 4 s, one that is cut off, sound, text, an image, and other data."""
    folder = tmp_path_factory.mktemp("videos")
    whole = video(pictures(100))
    (folder / "a.mkv").write_bytes(whole)
    (folder / "b.mkv").write_bytes(whole[: len(whole) * 2 // 3])
    (folder / "c.mp4").write_bytes(sound_only())
    (folder / "d.mp4").write_text("#EXTM3U\n/etc/passwd\n")
    (folder / "plain").write_bytes(video(pictures(1)))
    (folder / "skipped.mka").write_bytes(sound_only("matroska"))
    (folder / "skipped.m4a").write_bytes(sound_only())
    Image.fromarray(pictures(1)[0]).save(folder / "z.png")
    return folder


def rows(*args: str | Path, code: int = 0, cwd: Path | None = None) -> list[dict]:
    done = pixelprune("analyze", *args, "-o", "-", cwd=cwd)
    assert done.returncode == code, done.stderr.decode()
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_frames_are_rows_and_what_fails_is_one(made: Path) -> None:
    found = rows(made, code=3)
    of_a = [row for row in found if row["path"].endswith("a.mkv")]
    assert [row["image_id"] for row in of_a] == [f"a.mkv#{number}" for number in range(1, 9)]
    assert {(row["frames"], row["format"], row["width"]) for row in of_a} == {(8, "MKV", 64)}
    codes = {row["image_id"]: row["error_code"] for row in found}
    cut = [name for name in codes if name.startswith("b.mkv")]
    assert [codes[name] for name in cut] == [None] * (len(cut) - 1) + ["truncated"]
    assert (codes["c.mp4"], codes["d.mp4"]) == ("not_an_image", "not_an_image")
    assert (codes["plain#1"], codes["z.png"]) == (None, None)
    assert not any("skipped" in name for name in codes)


def test_the_rate_and_pages_choose_frames(made: Path) -> None:
    clip = made / "a.mkv"
    assert len(rows(clip, "--fps", "25")) == 100
    assert [row["page"] for row in rows(clip, "--fps", "5", "--pages", "2,19-")] == [2, 19, 20]
    done = pixelprune("analyze", clip, "--fps", "0")
    assert done.returncode == 2
    assert b"fps" in done.stderr


def test_a_dataset_resumes_and_verifies_and_is_rebuilt(made: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    for _ in range(2):
        done = pixelprune("analyze", made / "a.mkv", *FIT, "-o", out, "--workers", "2")
        assert done.returncode == 0, done.stderr.decode()
    assert pixelprune("verify", out).returncode == 0
    other = pixelprune("analyze", made / "a.mkv", *FIT, "-o", out, "--fps", "1")
    assert b"fps" in other.stderr
    assert pixelprune("reconstruct", out, "--to", tmp_path / "png").returncode == 0
    built = sorted((tmp_path / "png").rglob("*.png"))
    assert len(built) == 8
    first = min(built, key=lambda path: path.name)
    shown = np.asarray(Image.open(first).convert("RGB"))[:48, :64]
    assert any(np.array_equal(shown, picture) for picture in pictures(100))


def test_members_of_archives(made: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for name in ("a.mkv", "plain", "skipped.mka"):
            archive.write(made / name, name)
    found = rows(tmp_path / "a.zip", "--fps", "1")
    assert [row["image_id"].partition("::")[2] or row["image_id"] for row in found] == [
        *(f"a.mkv#{number}" for number in range(1, 5)),
        "plain#1",
    ]


def test_requests_take_frames_like_pages(made: Path, tmp_path: Path) -> None:
    shutil.copy(made / "a.mkv", tmp_path)
    lines = [{"image": "a.mkv", "prompt": "?"}, {"image": "a.mkv", "page": 3, "prompt": "?"}]
    (tmp_path / "r.jsonl").write_text("\n".join(map(json.dumps, lines)))
    done = pixelprune(
        "infer", "--requests", "r.jsonl", "--max-new-tokens", "1", "-o", "-", cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr.decode()
    several, one = map(json.loads, done.stdout.splitlines())
    assert several["tokens"] == 8 * one["tokens"]
    assert one["image_id"].endswith("a.mkv#3")


def test_a_frame_is_drawn(made: Path, tmp_path: Path) -> None:
    done = pixelprune("view", made / "a.mkv", "--pages", "3", "-o", tmp_path / "3.png")
    assert done.returncode == 0, done.stderr.decode()
    assert (tmp_path / "3.png").exists()


def test_without_pyav_the_message_says_what_to_install(made: Path, tmp_path: Path) -> None:
    """In a process of its own, where the package cannot be imported."""
    start = "import sys; sys.modules['av'] = None; from ppcli.__main__ import main; main()"

    def ran(*args: str) -> subprocess.CompletedProcess[str]:
        line = [sys.executable, "-c", start, "analyze", "--workers", "0", "-o", "-", *args]
        return subprocess.run(line, check=False, capture_output=True, text=True, timeout=120)

    named = ran(str(made / "a.mkv"))
    assert named.returncode == 7
    assert 'pip install "pixelprune[video]"' in named.stderr
    in_folder = ran(str(made), "--exclude", "b.*", "--exclude", "d.*")
    assert in_folder.returncode == 3
    found = {one["image_id"]: one for one in map(json.loads, in_folder.stdout.splitlines())}
    assert found["a.mkv"]["error_code"] == "unsupported_format"
    assert 'pip install "pixelprune[video]"' in found["a.mkv"]["error_message"]
    assert found["z.png"]["error_code"] is None
