"""`export` as a user runs it."""

from pathlib import Path

from tests.command import pixelprune, pixelprune_process


def test_export_says_what_is_wrong(model: Path, tmp_path: Path) -> None:
    done = pixelprune("export", model.parent / "checkpoint", model)
    assert done.returncode == 5
    assert b"has a model already; use --overwrite" in done.stderr
    done = pixelprune("export", tmp_path, tmp_path / "out")
    assert done.returncode == 2
    assert b"is not a checkpoint" in done.stderr
    done = pixelprune_process("export", "nobody/nothing", tmp_path / "out", HF_HUB_OFFLINE="1")
    assert done.returncode == 2
    assert b"HF_HUB_OFFLINE is set" in done.stderr
    done = pixelprune("export", "not/a/name", tmp_path / "out")
    assert b"not a name on the Hugging Face Hub" in done.stderr
    assert not (tmp_path / "out").exists()
