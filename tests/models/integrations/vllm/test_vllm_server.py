"""Answers of vLLM's server with the plugin, against those of `pixelprune infer`."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.command import pixelprune_process
from tests.conftest import blocks
from tests.models.integrations.vllm.conftest import HF_OVERRIDES, PROMPT
from tests.models.integrations.vllm.served import NEW_TOKENS, Answered, Server, served
from tests.models.integrations.vllm.vllm_environment import ROOT, skip_without_vllm

skip_without_vllm()
pytestmark = pytest.mark.vllm

SAMPLES = ROOT / "sample_data"


def odd_images(folder: Path) -> list[Path]:
    """Small ones, and one of each kind whose meaning depends on the decoder."""
    made = {
        "one-pixel.png": Image.new("RGB", (1, 1), "red"),
        "small.png": Image.fromarray(blocks(40, 30, block=7)),
        "strip.png": Image.fromarray(blocks(900, 34, block=17, levels=2)),
        "cmyk.jpg": Image.fromarray(blocks(200, 150, block=25)).convert("CMYK"),
        "palette.gif": Image.fromarray(blocks(150, 200, block=30)).quantize(8),
    }
    clear = np.dstack([blocks(160, 120), np.arange(160)[None].repeat(120, 0).astype(np.uint8)])
    made["clear.png"] = Image.fromarray(clear)
    deep = np.arange(100 * 130, dtype=np.uint16).reshape(100, 130) * 5
    made["sixteen.png"] = Image.fromarray(deep)
    turned = Image.fromarray(blocks(210, 90, block=15, seed=3))
    exif = turned.getexif()
    exif[0x0112] = 6
    paths = []
    for name, image in made.items():
        image.save(folder / name)
        paths.append(folder / name)
    turned.save(folder / "turned.jpg", exif=exif, quality=95)
    return [*paths, folder / "turned.jpg"]


@pytest.fixture(scope="module")
def questions(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    names = ["form.png", "dialog.png", "table.png", "landscape-q90.jpg", "slide-q40.jpg"]
    names += ["chart.webp", "receipt-phone.jpg", "questions/list-1.png"]
    single = [SAMPLES / name for name in names]
    single += odd_images(tmp_path_factory.mktemp("odd"))
    several = [
        [SAMPLES / "form.png", SAMPLES / "dialog.png"],
        [SAMPLES / "dialog.png", SAMPLES / "questions/list-1.png", SAMPLES / "form.png"],
        [SAMPLES / "dialog.png", SAMPLES / "dialog.png"],
    ]
    asked = [*([one] for one in single), *several]
    return [{"images": some, "prompt": f"w{9 + n} {PROMPT}"} for n, some in enumerate(asked)]


@pytest.fixture(scope="module")
def model(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same model as pixelprune runs it, in float32."""
    folder = tmp_path_factory.mktemp("exported") / "model"
    done = pixelprune_process("export", checkpoint, folder)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def server(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    log = tmp_path_factory.mktemp("server") / "log"
    options = ["--hf-overrides", json.dumps(HF_OVERRIDES), "--trust-request-mm-kwargs"]
    options += ["--max-model-len", "8192", "--limit-mm-per-prompt", '{"image": 3, "video": 0}']
    with served(checkpoint, log, *options) as running:
        yield running


def inferred(
    model: Path, questions: Sequence[dict[str, Any]], folder: Path, *options: str
) -> list[Answered]:
    """What `pixelprune infer` answers."""
    lines = [
        {"images": [str(path) for path in one["images"]], "prompt": one["prompt"]}
        for one in questions
    ]
    requests = folder / "requests.jsonl"
    requests.write_text("".join(json.dumps(line) + "\n" for line in lines))
    out = folder / "answers.jsonl"
    done = pixelprune_process(
        *("infer", "--requests", requests, "--model", model, "-o", out, "--overwrite"),
        *("--max-new-tokens", str(NEW_TOKENS), *options),
    )
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert [row["status"] for row in rows] == ["ok"] * len(questions)
    assert "--no-prune" in options or any(row["kept"] < row["tokens"] for row in rows)
    return [Answered(row["answer"], row["prompt_tokens"]) for row in rows]


@pytest.mark.parametrize("threshold", ["0", "8/255"])
def test_answers_are_those_of_infer(
    server: Server, model: Path, questions: list[dict], tmp_path: Path, threshold: str
) -> None:
    """One and several images, in batches, with caches empty and full."""
    expected = inferred(model, questions, tmp_path, "--threshold", threshold)
    assert len({one.text for one in expected}) > 0.8 * len(expected), "the answers hardly vary"
    asked = [one | {"pixelprune": {"threshold": threshold}} for one in questions]
    assert server.ask_all(asked) == expected
    assert server.ask_all(asked, threads=1) == expected


@pytest.mark.parametrize("sequence", ["forward", "reverse"])
def test_answers_about_sequences_are_those_of_infer(
    server: Server, model: Path, questions: list[dict], tmp_path: Path, sequence: str
) -> None:
    several = [one for one in questions if len(one["images"]) > 1]
    alone = inferred(model, several, tmp_path)
    expected = inferred(model, several, tmp_path, "--sequence", sequence)
    asked = [one | {"pixelprune": {"sequence": sequence}} for one in several]
    assert server.ask_all(asked) == expected
    tokens, fewer = (sum(one.prompt_tokens for one in many) for many in (alone, expected))
    assert fewer < tokens


def test_one_server_also_answers_without_pruning(
    server: Server, model: Path, questions: list[dict], tmp_path: Path
) -> None:
    expected = inferred(model, questions, tmp_path, "--no-prune")
    asked = [one | {"pixelprune": {"enabled": False}} for one in questions]
    assert server.ask_all(asked) == expected
    pruned = server.ask_all(questions)
    assert sum(one.prompt_tokens for one in pruned) < sum(one.prompt_tokens for one in expected)
    assert [one.text for one in pruned] != [one.text for one in expected]


def test_a_request_chooses_its_preparation(server: Server) -> None:
    image = [SAMPLES / "landscape-q90.jpg"]
    ours = server.ask(image, PROMPT)
    theirs = server.ask(image, PROMPT, {"preparation": "huggingface"})
    assert server.ask(image, PROMPT, {"preparation": "pixelprune"}) == ours
    assert theirs.prompt_tokens >= ours.prompt_tokens - 50


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"tau": 0.1}, "pixelprune has no option 'tau'; known: method"),
        ({"threshold": "3"}, "3 levels of 255 are 3/255"),
        ({"preparation": "other"}, "unknown pixelprune preparation 'other'"),
    ],
)
def test_unknown_options_are_refused(server: Server, options: dict, words: str) -> None:
    status, body = server.refusal([SAMPLES / "dialog.png"], PROMPT, options)
    assert status == 400
    assert words in body


def test_an_image_that_cannot_be_used_is_refused(server: Server, tmp_path: Path) -> None:
    Image.new("RGB", (2010, 10)).save(tmp_path / "thin.png")
    status, body = server.refusal([tmp_path / "thin.png"], PROMPT)
    assert status == 400
    assert "an image cannot be used (aspect_ratio): one side is more than 200 times" in body
    assert server.ask([SAMPLES / "dialog.png"], PROMPT).text


def test_text_alone_is_answered(server: Server) -> None:
    assert server.ask([], PROMPT).text
    assert server.ask([], PROMPT, {"threshold": "3/255"}).text
