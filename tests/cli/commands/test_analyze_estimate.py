"""`analyze --estimate`: the columns, and which datasets may be resumed."""

import json
import re
import subprocess
from dataclasses import asdict
from pathlib import Path

import pytest

from ppcli.models.costs import NamedModel
from ppcli.models.onnx.directory import SMALL_MODEL
from tests.command import pixelprune


def test_estimate(folder: Path, tmp_path: Path) -> None:
    """Columns that add up to the table; nulls where nothing is asked for, or nothing is known."""
    args = ("analyze", folder, "-o", "-", "--format", "jsonl")
    done = pixelprune(*args, "--estimate", "qwen3-vl-2b")
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    model = NamedModel.of("qwen3-vl-2b")
    good = [row for row in rows if row["status"] == "ok"]
    assert len(good) == 3
    for row in good:
        for of, tokens in (("", row["tokens"]), ("_kept", row["kept"])):
            costs = asdict(model.costs(tokens))
            assert {name: row[name + of] for name in costs} == costs
    full, pruned = (sum(row[name] for row in good) for name in ("kv_bytes", "kv_bytes_kept"))
    said = " ".join(done.stderr.decode().split())
    assert f"KV cache {full / 1e6:.2f} → {pruned / 1e6:.2f} MB ({full / pruned:.2f} ×)" in said
    assert "vision FLOPs" in said
    names = [name for name in rows[0] if "flops" in name or name.startswith("kv_")]
    assert len(names) == 6
    failed = next(row for row in rows if row["status"] == "error")
    assert all(failed[name] is None for name in names)
    plain = [json.loads(line) for line in pixelprune(*args).stdout.splitlines()]
    assert all(row[name] is None for row in plain for name in names)
    wrong = pixelprune(*args, "--estimate", "qwen3-vl-2b", "--preset", "qwen2.5-vl")
    assert wrong.returncode == 2
    assert b"qwen3-vl-2b has tiles of 32 pixels" in wrong.stderr


def test_an_estimate_is_of_images_as_the_model_sees_them(folder: Path, tmp_path: Path) -> None:
    args = ("analyze", folder, "-o", "-", "--estimate", f"{SMALL_MODEL}/")
    wrong = pixelprune(*args)
    assert wrong.returncode == 2
    [advice] = re.findall(r"other limits; analyze them with (.*)", wrong.stderr.decode())
    rows = [json.loads(line) for line in pixelprune(*args, *advice.split()).stdout.splitlines()]
    asked = pixelprune("infer", folder, "--prompt", "x", "--max-new-tokens", "1", "-o", "-")
    seen = [json.loads(line) for line in asked.stdout.splitlines()]
    assert [row["kept"] for row in rows] == [row["kept"] for row in seen]
    assert [row["vision_flops"] is None for row in rows] == [row["status"] != "ok" for row in rows]
    assert pixelprune(*args, "--fit", "pad").returncode == 3


@pytest.fixture
def models(tmp_path: Path) -> dict[str, str]:
    """Models by their names in the tests: two published sizes, and two folders of one name."""
    config = json.loads(Path(SMALL_MODEL, "config.json").read_text())
    folders = tmp_path / "a" / "model", tmp_path / "b" / "model"
    for folder in folders:
        folder.mkdir(parents=True)
        (folder / "config.json").write_text(json.dumps(config))
        config["text_config"]["num_hidden_layers"] += 1
    own, deeper = map(str, folders)
    return {"2b": "qwen3-vl-2b", "4b": "qwen3-vl-4b", "own": own, "deeper": deeper}


@pytest.mark.parametrize("made_with", ["2b", "own", None])
def test_a_dataset_is_resumed_with_the_model_of_its_estimates_only(
    folder: Path, tmp_path: Path, models: dict[str, str], made_with: str | None
) -> None:
    def analyze(model: str | None) -> subprocess.CompletedProcess[bytes]:
        flags = () if model is None else ("--estimate", models[model])
        return pixelprune("analyze", folder, "-o", tmp_path / "out", "--no-patches", *flags)

    assert analyze(made_with).returncode == 3
    before = (tmp_path / "out" / "manifest.json").read_bytes()
    for other in {*models, None} - {made_with}:
        refused = analyze(other)
        assert refused.returncode == 5
        assert b"estimate: " in refused.stderr
    assert (tmp_path / "out" / "manifest.json").read_bytes() == before
    again = analyze(made_with)
    assert again.returncode == 3
    assert b"done by an earlier run" in again.stderr


def test_a_model_is_the_same_however_its_folder_is_spelt(
    folder: Path, tmp_path: Path, models: dict[str, str]
) -> None:
    args = ("analyze", folder, "-o", tmp_path / "out", "--no-patches", "--estimate")
    assert pixelprune(*args, models["own"]).returncode == 3
    again = pixelprune(*args, models["own"] + "/")
    assert b"done by an earlier run" in again.stderr


def test_datasets_name_the_model_of_their_estimates(
    folder: Path, tmp_path: Path, models: dict[str, str]
) -> None:
    """These are the words of datasets that exist: other ones would keep them from resuming."""
    for name, words in (("2b", "qwen3-vl-2b"), ("own", "model f11462dc311469d5")):
        out = tmp_path / name
        pixelprune("analyze", folder, "-o", out, "--no-patches", "--estimate", models[name])
        config = json.loads((out / "manifest.json").read_text())["config"]
        assert config["estimate"] == words
