"""Models at URLs on the command line: answers, resuming, and what `verify` says of them."""

import shutil
from pathlib import Path

import pytest

from ppcli.errors import ExitCode
from ppcli.models.onnx.directory import SMALL_MODEL
from tests.cli.commands.answers import PROMPT, infer, lines, without_times
from tests.command import pixelprune
from tests.object_store import ObjectStore

FORM = Path(SMALL_MODEL).parents[1] / "sample_data" / "form.png"


@pytest.fixture
def cache(tmp_path: Path) -> dict[str, str]:
    """The variable that names a cache of this test."""
    return {"PIXELPRUNE_CACHE": str(tmp_path / "cache")}


def test_answers_and_configuration_are_those_of_the_folder(
    s3: ObjectStore, cache: dict[str, str], tmp_path: Path
) -> None:
    url = s3.upload(Path(SMALL_MODEL), "answering")
    local = infer(FORM, "--model", SMALL_MODEL, *PROMPT)
    far = infer(FORM, "--model", url, *PROMPT, **cache)
    assert without_times(lines(far.stdout)) == without_times(lines(local.stdout))
    assert f"copying {url} (14,".encode() in far.stderr
    output = (*PROMPT, "-o", tmp_path / "out")
    infer(FORM, "--model", SMALL_MODEL, *output)
    part = tmp_path / "out" / "answers" / "part-00000.parquet"
    written = part.stat().st_ino, part.stat().st_mtime_ns
    again = infer(FORM, "--model", f"{url}/", *output, **cache)
    assert b"copying" not in again.stderr
    now = part.stat().st_ino, part.stat().st_mtime_ns
    assert now == written, "it is resumed, and not made again"
    s3.client.delete_object(Bucket="answering", Key="pixelprune.json")
    gone = infer(FORM, "--model", url, *PROMPT, code=ExitCode.USAGE, **cache)
    assert f"{url} is not a model directory: it has no pixelprune.json".encode() in gone.stderr


def test_verify_reads_a_model_in_a_store(
    s3: ObjectStore, cache: dict[str, str], tmp_path: Path
) -> None:
    url = s3.upload(Path(SMALL_MODEL), "verified")
    done = pixelprune("verify", f"{url}/", **cache)
    assert (done.returncode, done.stderr) == (ExitCode.OK, b"model directory: 0 faults\n")
    content = bytearray(Path(SMALL_MODEL, "vision.onnx.data").read_bytes())
    content[8_500_000] ^= 1
    s3.client.put_object(Bucket="verified", Key="vision.onnx.data", Body=bytes(content))
    s3.client.delete_object(Bucket="verified", Key="tokenizer.json")
    done = pixelprune("verify", url, **cache)
    assert done.returncode == ExitCode.DAMAGED
    for sentence in (
        f"{url}/vision.onnx.data has changed since it was exported",
        f"{url}/tokenizer.json is missing; upload the model directory again",
        "model directory: 2 faults",
    ):
        assert sentence in done.stderr.decode()
    assert not (tmp_path / "cache").exists()


def test_without_a_driver(monkeypatch: pytest.MonkeyPatch, cache: dict[str, str]) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    done = infer(FORM, "--model", "gs://b/m", *PROMPT, code=ExitCode.MISSING_DEPENDENCY, **cache)
    assert b"pip install 'pixelprune[gcs]'" in done.stderr


def test_a_message_about_the_content_names_the_url(
    s3: ObjectStore, cache: dict[str, str], tmp_path: Path
) -> None:
    """The files are those that were exported, and make no model."""
    from tests.models.onnx.test_model_cache import described

    folder = shutil.copytree(SMALL_MODEL, tmp_path / "model")
    (folder / "config.json").write_text("{}")
    url = s3.upload(described(folder), "no-config")
    done = infer(FORM, "--model", url, *PROMPT, code=ExitCode.USAGE, **cache)
    assert f"{url}: ".encode() in done.stderr
