"""Settings of answers through the command: of the options, of requests, of the model itself."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from PIL import Image

from tests.cli.commands.answers import on_a_terminal
from tests.command import pixelprune
from tests.conftest import blocks
from tests.models.tiny_checkpoint import write_json

ASK = ("--prompt", "What is the total?", "--max-new-tokens", "12", "--device", "cpu")


def ran(*args: str | Path, code: int = 0, **options: object) -> subprocess.CompletedProcess:
    done = pixelprune(*args, **options)
    assert done.returncode == code, done.stderr.decode()
    return done


def rows_of(*args: str | Path, **options: object) -> list[dict]:
    return [json.loads(line) for line in ran("infer", *args, **options).stdout.splitlines()]


@pytest.fixture
def page(tmp_path: Path) -> Path:
    path = tmp_path / "page.png"
    Image.fromarray(blocks(96, 96, levels=2, seed=2)).save(path)
    return path


def exported(model: Path, to: Path, generation: dict | None = None, prefix: str = "") -> Path:
    """A model like the one that is there, with settings of its own, and a begun answer."""
    shutil.copytree(model.parent / "checkpoint", to / "checkpoint")
    if generation is not None:
        write_json(to / "checkpoint" / "generation_config.json", generation)
    template = to / "checkpoint" / "chat_template.jinja"
    template.write_text(template.read_text(encoding="utf-8") + prefix, encoding="utf-8")
    ran("export", to / "checkpoint", to / "model")
    return to / "model"


def test_settings_of_options_and_of_requests_are_the_same(model: Path, page: Path) -> None:
    plain = rows_of(page, "--model", model, *ASK)[0]["answer"]
    settings = [
        {"repetition_penalty": 2.0},
        {"presence_penalty": 2},
        {"temperature": 2.0, "top_k": 5, "seed": 3},
        {"temperature": 2.0, "min_p": 0.2, "seed": 3},
        {"stop": plain[3:6]},
        {"stop": ["nowhere", plain[4:6]]},
    ]
    requests = page.parent / "requests.jsonl"
    of_all = {"image": "page.png", "prompt": ASK[1]}
    requests.write_text("\n".join(json.dumps(of_all | one) for one in settings))
    by_request = rows_of("--requests", requests, "--model", model, *ASK[2:])
    said = [row["answer"] for row in by_request]
    assert plain not in said
    assert said[4] == plain[: plain.index(plain[3:6])]
    assert [row["finish_reason"] for row in by_request] == ["length"] * 4 + ["stop"] * 2
    for one, answer in zip(settings, said, strict=True):
        if "seed" in one:  # of a request as it is, of an option mixed with the name
            continue
        flags: list[str] = []
        for name, value in one.items():
            for each in value if isinstance(value, list) else [value]:
                flags += ["--" + name.replace("_", "-"), str(each)]
        assert rows_of(page, "--model", model, *ASK, *flags)[0]["answer"] == answer


def test_requests_whose_settings_make_no_sense(model: Path) -> None:
    bad = [
        {"top_k": -3},
        {"top_k": "5"},
        {"min_p": 2},
        {"repetition_penalty": 0},
        {"presence_penalty": 3},
        {"stop": ""},
        {"stop": ["a", 3]},
        {"stop": {"a": 1}},
        {"stop": "\n<|im_start|>"},
    ]
    lines = "\n".join(json.dumps({"prompt": "x"} | one) for one in bad).encode()
    rows = rows_of("--requests", "-", "--model", model, *ASK[2:], code=3, stdin=lines)
    assert [row["error_code"] for row in rows] == ["bad_request"] * len(bad)


def test_the_penalty_of_the_model_is_applied_and_the_rest_told(
    model: Path, page: Path, tmp_path: Path
) -> None:
    given = {
        "eos_token_id": 2,
        "repetition_penalty": 1.5,
        "do_sample": True,
        "temperature": 0.7,
        "top_k": 20,
        "no_repeat_ngram_size": 3,
        "suppress_tokens": [7],
    }
    own = exported(model, tmp_path, given)
    plain, penalised = (
        rows_of(page, "--model", model, *ASK, *flags)[0]["answer"]
        for flags in ((), ("--repetition-penalty", "1.5"))
    )
    assert plain != penalised
    done = ran("infer", page, "--model", own, *ASK)
    assert json.loads(done.stdout)["answer"] == penalised
    said = done.stderr.decode()
    assert said.count("sets no_repeat_ngram_size, suppress_tokens, which is not applied") == 1
    assert said.count("recommends sampling; to use it: --temperature 0.7 --top-k 20\n") == 1
    done = ran("infer", page, "--model", own, *ASK, "--repetition-penalty", "1")
    assert json.loads(done.stdout)["answer"] == plain
    done = ran("infer", page, "--model", own, *ASK, "--temperature", "0")
    assert b"recommends sampling" not in done.stderr
    done = ran("infer", page, "--model", own, *ASK, "--temperature", "1")
    assert b"to use it: --top-k 20\n" in done.stderr
    done = ran("infer", page, "--model", own, *ASK, "--top-p", "0.5")
    assert b"--top-p: no effect without a --temperature above 0" in done.stderr


def test_a_penalty_that_makes_no_sense(model: Path, page: Path, tmp_path: Path) -> None:
    own = exported(model, tmp_path, {"eos_token_id": 2, "repetition_penalty": "much"})
    done = ran("infer", page, "--model", own, *ASK, code=2)
    assert b"generation_config.json of the model: the repetition penalty is 'much'" in done.stderr
    ran("infer", page, "--model", own, *ASK, "--repetition-penalty", "1")


def test_datasets_of_earlier_versions_go_on(model: Path, page: Path, tmp_path: Path) -> None:
    """Their configurations lack what is new, and their files the new column."""
    options = (page, "--model", model, *ASK, "-o", tmp_path / "out")
    ran("infer", *options)
    config = json.loads((tmp_path / "out" / "manifest.json").read_text())["config"]
    new = {"top_k", "min_p", "repetition_penalty", "presence_penalty", "stop", "think"}
    assert not (new | {"keep_special_tokens"}) & config.keys()
    ran("infer", *options)
    for flags, words in (
        (("--repetition-penalty", "1.2"), "repetition_penalty: not set, now 1.2"),
        (("--stop", "x"), 'stop: not set, now ["x"]'),
        (("--think", "split"), 'think: not set, now "split"'),
    ):
        done = ran("infer", *options, *flags, code=5)
        assert words in done.stderr.decode()


def test_thinking_through_every_output(model: Path, page: Path, tmp_path: Path) -> None:
    """The template opens it, and the closing tag never comes: nothing of it is an answer."""
    own = exported(model, tmp_path, prefix="<think>\n")
    command = (page, "--model", own, *ASK)
    (kept,) = rows_of(*command)
    assert kept["answer"] and kept["thinking"] is None
    done = ran("infer", *command, "--think", "split")
    split = json.loads(done.stdout)
    assert (split["answer"], split["thinking"]) == ("", kept["answer"].strip("\n"))
    assert b"ended while the model was thinking" in done.stderr
    (dropped,) = rows_of(*command, "--think", "drop")
    assert (dropped["answer"], dropped["thinking"]) == ("", None)
    (line,) = rows_of(*command, "--think", "split", "--format", "openai")
    message = line["response"]["body"]["choices"][0]["message"]
    assert (message["content"], message["reasoning_content"]) == ("", split["thinking"])
    (line,) = rows_of(*command, "--format", "openai")
    assert "reasoning_content" not in line["response"]["body"]["choices"][0]["message"]

    question = {"image": "page.png", "question": ASK[1], "answers": [split["thinking"]]}
    (tmp_path / "q.jsonl").write_text(json.dumps(question))
    asked = ("--data", tmp_path / "q.jsonl", "--model", own, *ASK[2:])
    ran("eval", *asked, "-o", tmp_path / "scores.parquet")
    rows = pq.read_table(tmp_path / "scores.parquet").to_pylist()
    pruned = next(row for row in rows if row["variant"].startswith("pred_2d"))
    assert (pruned["answer"], pruned["thinking"]) == ("", split["thinking"])
    assert pruned["exact"] == pruned["anls"] == 0
    assert all("ended while the model was thinking" in row["warning"] for row in rows)


@pytest.mark.skipif(os.name == "nt", reason="needs a pseudo-terminal")
def test_stop_texts_on_the_terminal(model: Path, page: Path) -> None:
    (plain,) = rows_of(page, "--model", model, *ASK)
    command = (page, "--model", model, *ASK, "-q", "--stop", plain["answer"][4:7])
    (row,) = rows_of(*command)
    assert on_a_terminal(*command) == row["answer"].replace("\r\n", "\n") + "\n"
