"""The model of the package, asked through the command about documents made fresh from seeds."""

import json
from pathlib import Path

import pytest

from ppcli.models.onnx.directory import SMALL_MODEL
from tests.command import pixelprune
from training.samples import Split, document
from training.small_checkpoint import small_model
from training.train import write_checkpoint

pytestmark = pytest.mark.oracle

FRESH = Split("asked by the tests")
PICTURES = 40


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Requests about pictures; of each the line after has an answer that is right."""
    folder: Path = tmp_path_factory.mktemp("asked")
    requests, right = [], []
    for seed in range(PICTURES):
        made = document(FRESH, seed, (8, 4))
        made.image.save(folder / f"{seed}.png")
        for fact in made.facts[:3]:
            question = fact.questions()[seed % len(fact.questions())]
            requests.append({"image": f"{seed}.png", "prompt": question, "max_new_tokens": 40})
            right.append(fact.answer)
    (folder / "requests.jsonl").write_text("\n".join(map(json.dumps, requests)))
    others = [one | {"image": f"{(int(one['image'][:-4]) + 1) % PICTURES}.png"} for one in requests]
    (folder / "others.jsonl").write_text("\n".join(map(json.dumps, others)))
    (folder / "right.json").write_text(json.dumps(right))
    return folder


def share_right(folder: Path, requests: str, *options: str) -> tuple[float, list[dict], str]:
    """How many answers are exact, the rows, and standard error."""
    command = ("infer", "--requests", folder / requests, "--device", "cpu", *options)
    done = pixelprune(*command, "-o", "-", "--format", "jsonl")
    assert done.returncode == 0, done.stderr.decode()
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    right = json.loads((folder / "right.json").read_text())
    hits = [row["answer"] == answer for row, answer in zip(rows, right, strict=True)]
    return sum(hits) / len(hits), rows, done.stderr.decode()


@pytest.mark.slow
def test_it_answers(asked: Path) -> None:
    """Pruned and whole; and it is the picture that it answers from."""
    pruned, rows, said = share_right(asked, "requests.jsonl")
    assert len(rows) > 90
    assert sum(row["kept"] for row in rows) < 0.8 * sum(row["tokens"] for row in rows)
    assert said.count("small model") == 1
    assert "pixelprune export" in said
    whole, _, _ = share_right(asked, "requests.jsonl", "--no-prune")
    of_another, _, _ = share_right(asked, "others.jsonl")
    assert min(pruned, whole) > 0.8
    assert of_another < 0.2


def test_its_checkpoint_gives_it_back(tmp_path: Path) -> None:
    write_checkpoint(small_model(), tmp_path / "checkpoint")
    exported = tmp_path / "model"
    done = pixelprune("export", tmp_path / "checkpoint", exported, "--dtype", "float16")
    assert done.returncode == 0, done.stderr.decode()
    for path in Path(SMALL_MODEL).iterdir():
        if path.name not in ("MODEL_CARD.md", "pixelprune.json"):
            assert (exported / path.name).read_bytes() == path.read_bytes(), path.name


def test_it_is_whole_and_small() -> None:
    folder = Path(SMALL_MODEL)
    assert pixelprune("verify", folder).returncode == 0
    assert sum(path.stat().st_size for path in folder.iterdir()) < 16_000_000
    assert (folder / "MODEL_CARD.md").read_text(encoding="utf-8").startswith("# ")
