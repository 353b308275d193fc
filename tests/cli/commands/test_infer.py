"""`export` and `infer` as a user runs them, on a tiny model with random weights."""

import base64
import csv
import io
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest
from PIL import Image

from tests.command import command_line, pixelprune, pixelprune_process
from tests.conftest import blocks
from tests.processes import eventually

PROMPT = ("--prompt", "What is the total?", "--max-new-tokens", "6", "--device", "cpu")


def infer(*args: str | Path, code: int = 0, **options: object) -> subprocess.CompletedProcess:
    done = pixelprune("infer", *args, **options)
    assert done.returncode == code, done.stderr.decode()
    return done


def lines(data: bytes) -> list[dict]:
    return [json.loads(line) for line in data.splitlines()]


def without_times(rows: list[dict]) -> list[dict]:
    return [{k: v for k, v in row.items() if not k.endswith("_ms")} for row in rows]


def test_a_folder_of_images(folder: Path, model: Path) -> None:
    Image.new("RGB", (256, 256)).save(folder / "plain.png")
    done = infer(folder, "--model", model, *PROMPT, code=3)
    rows = lines(done.stdout)
    names = [row["image_id"] for row in rows]
    assert names == ["a.png", "b.jpg", "broken.png", "plain.png", "sub/a.png"]
    assert [row["status"] for row in rows] == ["ok", "ok", "error", "ok", "ok"]
    assert (rows[3]["kept"], rows[3]["tokens"]) == (1, 64)
    assert rows[2]["error_code"] == "truncated"
    assert rows[2]["error_message"].startswith("broken.png: ")
    good = [row for row in rows if row["status"] == "ok"]
    assert all(row["answer_tokens"] == 6 and 0 < row["kept"] <= row["tokens"] for row in good)
    assert len({row["answer"] for row in good}) > 1
    text = done.stderr.decode()
    for words in ("requests", "failed: truncated", "image tokens fed", "prefill", "decode"):
        assert words in text


def test_every_output_has_the_same_rows(folder: Path, model: Path, tmp_path: Path) -> None:
    expected = without_times(lines(infer(folder, "--model", model, *PROMPT, code=3).stdout))
    for name in ("a.jsonl", "a.parquet", "a.csv", "folder"):
        infer(folder, "--model", model, *PROMPT, "-q", "-o", tmp_path / name, code=3)
    assert without_times(lines((tmp_path / "a.jsonl").read_bytes())) == expected
    for path in (tmp_path / "a.parquet", tmp_path / "folder" / "answers" / "part-00000.parquet"):
        assert without_times(pq.read_table(path).to_pylist()) == expected
    with (tmp_path / "a.csv").open(encoding="utf-8", newline="") as file:
        answers = [row["answer"] for row in csv.DictReader(file)]
    assert answers == [row["answer"] or "" for row in expected]
    found = duckdb.sql(
        f"SELECT image_id, answer FROM '{tmp_path}/folder/answers/*.parquet' WHERE status = 'ok'"
    ).fetchall()
    assert found == [(row["image_id"], row["answer"]) for row in expected if row["status"] == "ok"]
    assert pixelprune("verify", tmp_path / "folder").returncode == 0
    done = pixelprune("reconstruct", tmp_path / "folder", "--to", tmp_path / "png")
    assert done.returncode == 2
    assert b"has no patch sets: it was made by infer" in done.stderr


def test_a_dataset_needs_no_second_decode(folder: Path, model: Path, tmp_path: Path) -> None:
    expected = without_times(lines(infer(folder, "--model", model, *PROMPT, code=3).stdout))
    stored = tmp_path / "stored"
    pixelprune("analyze", folder, "-o", stored, "-q", "--min-pixels", "4096")
    shutil.rmtree(folder)
    rows = lines(infer(stored, "--model", model, *PROMPT, code=3).stdout)
    assert without_times(rows) == expected
    whole = lines(infer(stored, "--model", model, *PROMPT, "--no-prune", "-q", code=3).stdout)
    assert all(row["kept"] == row["tokens"] for row in whole if row["status"] == "ok")


@pytest.mark.parametrize(
    ("analyzed", "asked", "words"),
    [
        (["--fit", "pad"], [], "fit is pad, the model needs resize"),
        (["--patch-size", "14"], [], "patch size is 14, the model needs 16"),
        ([], [], "min pixels is 65536, the model needs 4096"),
        (["--no-patches"], [], "has no patch sets"),
        (["--min-pixels", "4096", "--fail-fast"], [], "is unfinished"),
        (["--min-pixels", "4096", "--threshold", "0.1"], ["--no-prune"], "threshold 0.1"),
        (
            ["--min-pixels", "4096"],
            ["--threshold", "0.1"],
            "leave the options of the coder and of reading out",
        ),
    ],
)
def test_datasets_that_do_not_suit(
    folder: Path, model: Path, tmp_path: Path, analyzed, asked, words: str
) -> None:
    pixelprune("analyze", folder, "-o", tmp_path / "stored", "-q", *analyzed)
    done = infer(tmp_path / "stored", "--model", model, *PROMPT, *asked, code=2)
    assert words in done.stderr.decode()


def test_requests(folder: Path, model: Path, tmp_path: Path) -> None:
    pages = [Image.fromarray(blocks(64, 96, seed=seed)) for seed in (4, 5)]
    pages[0].save(folder / "two.tif", save_all=True, append_images=pages[1:])
    given = [
        {"custom_id": "one", "image": "a.png", "prompt": "Total?"},
        {"custom_id": "two", "images": ["a.png", "b.jpg"], "prompt": "Which?", "max_new_tokens": 2},
        {"custom_id": "pages", "image": "two.tif", "prompt": "Which?"},
        {"prompt": "No image"},
        {"custom_id": "gone", "image": "gone.png", "prompt": "?"},
        {"custom_id": "half", "images": ["a.png", "broken.png"], "prompt": "?"},
        {"custom_id": "mute", "image": "a.png"},
        {"custom_id": "odd", "image": "a.png", "prompt": "?", "temprature": 1},
        {"custom_id": "hot", "prompt": "?", "temperature": -1},
        {"custom_id": "mixed", "prompt": "<|image_pad|>"},
    ]
    text = "\n".join(json.dumps(one) for one in given) + "\n\n{broken\n"
    (folder / "requests.jsonl").write_text(text)
    options = ("--model", model, "--max-new-tokens", "5", "--device", "cpu")
    done = infer("--requests", folder / "requests.jsonl", *options, code=3)
    rows = {row["custom_id"]: row for row in lines(done.stdout)}
    assert list(rows) == [
        *("one", "two", "pages", "line-4", "gone", "half", "mute", "odd", "hot", "mixed"),
        "line-12",
    ]
    codes = {name: row["error_code"] for name, row in rows.items()}
    assert [codes[name] for name in ("one", "two", "pages", "line-4")] == [None] * 4
    assert codes["gone"] == "not_found"
    assert codes["half"] == "truncated"
    assert {codes[name] for name in ("mute", "odd", "hot", "mixed", "line-12")} == {"bad_request"}
    assert rows["two"]["answer_tokens"] == 2
    assert json.loads(rows["two"]["image_id"]) == ["a.png", "b.jpg"]
    assert rows["two"]["tokens"] > rows["one"]["tokens"]
    assert rows["pages"]["tokens"] == 2 * 6
    assert rows["line-4"]["image_id"] is None
    from_stdin = infer(
        *("--requests", "-", *options, "-q"), code=3, stdin=text.encode(), cwd=folder
    )
    assert without_times(lines(from_stdin.stdout)) == without_times(list(rows.values()))


def test_lines_of_an_openai_batch_are_answered(folder: Path, model: Path, tmp_path: Path) -> None:
    """As the same things asked plainly are, where they can be."""
    url = f"data:image/png;base64,{base64.b64encode((folder / 'a.png').read_bytes()).decode()}"
    pages = [Image.fromarray(blocks(64, 96, seed=seed)) for seed in (4, 5)]
    pages[0].save(folder / "two.tif", save_all=True, append_images=pages[1:])

    def image(url: str) -> dict:
        return {"type": "image_url", "image_url": {"url": url}}

    def batch(name: str, *messages: dict, **body: object) -> dict:
        line = {"custom_id": name, "method": "POST", "url": "/v1/chat/completions"}
        return line | {"body": {"model": "any", "max_tokens": 5, "messages": messages, **body}}

    text = {"type": "text", "text": "Total?"}
    system = {"role": "system", "content": "Short."}
    turns = [
        {"role": "user", "content": [image("a.png"), text]},
        {"role": "assistant", "content": "A square."},
        {"role": "user", "content": "Why?"},
    ]
    lines_given = [
        {"custom_id": "plain", "image": "a.png", "prompt": "Total?", "system": "Short."},
        batch("same", system, {"role": "user", "content": [image("a.png"), text]}),
        batch("data", system, {"role": "user", "content": [image(url), text]}),
        batch("before", system, {"role": "user", "content": [text, image("a.png")]}),
        batch("turns", *turns),
        batch("hot", turns[0], temperature=-1),
        batch("many", {"role": "user", "content": [image("two.tif"), text]}),
        batch("n", turns[0], n=2),
    ]
    file = folder / "batch.jsonl"
    file.write_text("".join(json.dumps(one) + "\n" for one in lines_given))
    options = ("--model", model, "--max-new-tokens", "5", "--device", "cpu", "-q")
    rows = {
        row["custom_id"]: row for row in lines(infer("--requests", file, *options, code=3).stdout)
    }
    codes = {name: row["error_code"] for name, row in rows.items()}
    assert codes == dict.fromkeys(rows) | {"hot": "bad_request", "n": "bad_request"}
    assert "asks for n, which is not supported" in rows["n"]["error_message"]
    plain = rows["plain"]
    for name in ("same", "data"):
        assert rows[name]["answer"] == plain["answer"]
        assert rows[name]["prompt_tokens"] == plain["prompt_tokens"]
    assert rows["before"]["prompt_tokens"] == plain["prompt_tokens"]
    assert rows["before"]["answer"] != plain["answer"], "the place of the text counts"
    assert rows["turns"]["prompt"] == "Why?" and rows["turns"]["image_id"] == "a.png"
    assert rows["many"]["tokens"] == 2 * 6
    assert rows["data"]["image_id"].startswith("data:image/png;base64,…")
    assert len(rows["data"]["image_id"]) < 80
    out = ("--format", "openai", "-o", tmp_path / "answers.jsonl")
    infer("--requests", file, *options, *out, code=3)
    answered = lines((tmp_path / "answers.jsonl").read_bytes())
    assert [one["custom_id"] for one in answered] == list(rows)


@pytest.mark.slow
def test_a_megabyte_in_a_request_makes_no_long_row_and_no_long_line(
    folder: Path, model: Path
) -> None:
    """But for the columns that say again what was asked."""
    megabyte = "y" * 1_000_000
    url = f"data:image/png;base64,{base64.b64encode(bytes(1_000_000)).decode()}"
    given = [
        {"image": url, "prompt": "?"},
        {"images": ["a.png", url], "prompt": "?"},
        {"image": megabyte, "prompt": "?"},
        {"image": "a.png", "prompt": megabyte},
        {"image": "a.png", "prompt": "?", "system": megabyte},
        {"image": "gone.png", "prompt": "?", "custom_id": megabyte},
        {"image": "a.png", "prompt": "?", "temperature": megabyte},
        {"image": "a.png", "prompt": "?", megabyte: 1},
        {"body": {"messages": [{"role": megabyte}]}},
    ]
    text = "".join(json.dumps(one) + "\n" for one in given).encode() + megabyte.encode()
    options = ("--model", model, "--max-new-tokens", "3", "--device", "cpu")
    for log, longest in (("text", 2_000), ("json", 12_000)):  # with the fields as they are
        done = infer(
            *("--requests", "-", *options, "--log-format", log),
            **{"code": 3, "stdin": text, "cwd": folder},
        )
        rows = lines(done.stdout)
        assert [row["status"] for row in rows] == ["error"] * 10
        assert max(map(len, done.stderr.splitlines())) < longest
        for row in rows:
            del row["prompt"], row["custom_id"]
            assert max(len(str(value)) for value in row.values()) < 2_000


def test_pages_of_requests(folder: Path, model: Path) -> None:
    """A page is what it is as a file of its own, and the row tells its size as fed."""
    pages = [Image.fromarray(blocks(64 + 32 * n, 96, seed=n)) for n in range(3)]
    for kind in ("tif", "gif", "pdf"):
        pages[0].save(folder / f"all.{kind}", save_all=True, append_images=pages[1:])
    for name in ("tif", "gif"):
        with Image.open(folder / f"all.{name}") as whole:
            for n in range(3):
                whole.seek(n)
                whole.convert("RGB").save(folder / f"{name}-{n + 1}.png")
    given = [
        *(
            {"image": f"all.{kind}", "page": page, "prompt": "?"}
            for kind in ("tif", "gif")
            for page in (1, 2, 3)
        ),
        *(
            {"image": f"{kind}-{n}.png", "prompt": "?"}
            for kind in ("tif", "gif")
            for n in (1, 2, 3)
        ),
        {"images": [{"image": "all.tif", "page": 3}, "tif-1.png"], "prompt": "?"},
        {"images": ["tif-3.png", {"image": "all.tif", "page": 1}], "prompt": "?"},
        {"image": "all.pdf", "page": 3, "prompt": "?"},
        {"image": "all.pdf", "page": 4, "prompt": "?"},
        {"image": "all.gif", "page": 4, "prompt": "?"},
        {"image": "a.png", "page": 2, "prompt": "?"},
    ]
    text = "".join(json.dumps(one) + "\n" for one in given).encode()
    options = ("--model", model, "--max-new-tokens", "5", "--device", "cpu", "--temperature", "2")
    # what is drawn at random is mixed with the name, unless a seed is given for the request
    text = text.replace(b"}\n", b', "seed": 1}\n')
    done = infer("--requests", "-", *options, "-q", code=3, stdin=text, cwd=folder)
    rows = lines(done.stdout)
    for one, same in (*zip(rows[:6], rows[6:12], strict=True), (rows[12], rows[13])):
        assert one["answer"] == same["answer"] is not None
        assert one["tokens"] == same["tokens"]
    assert len({row["answer"] for row in rows[:6]}) > 3
    assert [row["image_id"] for row in rows[:3]] == ["all.tif#1", "all.tif#2", "all.tif#3"]
    assert [row["page"] for row in rows[:6]] == [1, 2, 3] * 2
    assert [row["fitted_width"] for row in rows[:3]] == [64, 96, 128]
    assert [row["fitted_height"] for row in rows[:3]] == [96] * 3
    assert [row["fitted_width"] for row in rows[3:6]] == [row["fitted_width"] for row in rows[9:12]]
    assert (rows[12]["fitted_width"], rows[12]["image_id"]) == (None, '["all.tif#3", "tif-1.png"]')
    assert (rows[14]["image_id"], rows[14]["page"]) == ("all.pdf#3", 3)
    assert [row["error_code"] for row in rows[15:]] == ["no_such_page"] * 3
    assert rows[17]["error_message"] == "line-18: a.png: there is no page 2 (pages: 1)"


def test_the_same_page_twice_in_a_row_and_pages_in_order_are_requests_of_their_own(
    folder: Path, model: Path, tmp_path: Path
) -> None:
    """Their rows look like the pages of one file, which a dataset takes for one input."""
    pages = [Image.fromarray(blocks(64, 96, seed=seed)) for seed in range(3)]
    pages[0].save(folder / "all.tif", save_all=True, append_images=pages[1:])
    file = folder / "r.jsonl"
    given = [{"image": "all.tif", "page": page, "prompt": "?"} for page in (1, 2, 2, 3)]
    file.write_text("".join(json.dumps(one) + "\n" for one in given))
    out = ("--rows-per-shard", "2", "-q", "-o", tmp_path / "out")
    options = ("--requests", file, "--model", model, "--max-new-tokens", "3", "--device", "cpu")
    infer(*options, *out)
    assert pixelprune("verify", tmp_path / "out").returncode == 0
    before = answers_in(tmp_path / "out")
    infer(*options, *out)
    assert answers_in(tmp_path / "out") == before
    assert [row["page"] for row in before] == [1, 2, 2, 3]


def test_an_image_on_standard_input_is_answered(folder: Path, model: Path, tmp_path: Path) -> None:
    content = (folder / "a.png").read_bytes()
    spare = tmp_path / "spare"
    spare.mkdir()
    options = ("--model", model, *PROMPT, "-q")
    done = pixelprune_process("infer", "-", *options, stdin=content, TMPDIR=str(spare))
    [row] = lines(done.stdout)
    assert list(spare.glob("pixelprune-*")) == [], "the copy is gone"
    [same] = lines(infer(folder / "a.png", "--model", model, *PROMPT, "-q").stdout)
    assert (row["image_id"], row["answer"]) == ("-", same["answer"])


def test_no_line_of_a_file_of_requests_stops_the_others(folder: Path, model: Path) -> None:
    good = b'{"prompt": "x"}'
    bad = [
        b'{"prompt": "\\ud800"}',
        b'{"prompt": "x", "custom_id": "\\ud800"}',
        b'{"prompt": "x", "custom_id": {"a": 1}}',
        b'{"prompt": "x", "temperature": 1' + b"0" * 400 + b"}",
        b"[" * 100_000,
        b'{"prompt": "x", "seed": -1}',
        b'{"prompt": "x", "temperature": 1, "top_p": Infinity}',
        b"\xff\xfe",
    ]
    options = ("--model", model, "--max-new-tokens", "3", "--device", "cpu")
    text = b"\n".join([*bad, good])  # the first one bad, too
    rows = lines(infer("--requests", "-", *options, "-q", code=3, stdin=text).stdout)
    assert [row["error_code"] for row in rows] == ["bad_request"] * len(bad) + [None]


def test_a_request_that_was_put_right_is_asked_again(model: Path, tmp_path: Path) -> None:
    file = tmp_path / "requests.jsonl"
    file.write_text('{"custom_id": "a", "prompt": "x"}\n{"custom_id": "b", "promt": "y"}\n')
    options = ("--requests", file, "--model", model, "--max-new-tokens", "3", "--device", "cpu")
    infer(*options, "-q", "-o", tmp_path / "out", code=3)
    file.write_text('{"custom_id": "a", "prompt": "x"}\n{"custom_id": "b", "prompt": "y"}\n')
    infer(*options, "-q", "-o", tmp_path / "out", "--retry-failed")
    assert [row["prompt"] for row in answers_in(tmp_path / "out")] == ["x", "y"]
    file.write_text('{"custom_id": "a", "prompt": "z"}\n{"custom_id": "b", "prompt": "y"}\n')
    done = infer(*options, "-q", "-o", tmp_path / "out", code=5)
    assert b"a has another prompt" in done.stderr


def test_an_image_that_was_mended_in_the_dataset_too(
    folder: Path, model: Path, tmp_path: Path
) -> None:
    analyzed = ("analyze", folder, "-o", tmp_path / "stored", "-q", "--min-pixels", "4096")
    assert pixelprune(*analyzed).returncode == 3
    options = (tmp_path / "stored", "--model", model, *PROMPT, "-q", "-o", tmp_path / "out")
    infer(*options, code=3)
    shutil.copy(folder / "a.png", folder / "broken.png")
    assert pixelprune(*analyzed, "--retry-failed").returncode == 0
    infer(*options, "--retry-failed")
    rows = answers_in(tmp_path / "out")
    assert rows[2]["answer"] == rows[0]["answer"] is not None


def test_a_damaged_dataset_gives_no_answers_without_images(
    folder: Path, model: Path, tmp_path: Path
) -> None:
    stored = tmp_path / "stored"
    pixelprune("analyze", folder, "-o", stored, "-q", "--min-pixels", "4096")
    path = stored / "patches" / "part-00000.parquet"
    whole = path.read_bytes()
    pq.write_table(pq.read_table(path).slice(0, 1), path)
    done = infer(stored, "--model", model, *PROMPT, "-q", "-o", tmp_path / "out", code=6)
    assert b"the patch set of b.jpg is missing" in done.stderr
    assert [row["image_id"] for row in answers_in(tmp_path / "out")] == ["a.png"]
    middle = len(whole) // 2
    path.write_bytes(whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :])
    infer(stored, "--model", model, *PROMPT, "-q", code=6)


def test_a_folder_with_a_manifest_of_somebody_else(folder: Path, model: Path) -> None:
    (folder / "manifest.json").write_text('{"name": "My app"}')
    rows = lines(infer(folder, "--model", model, *PROMPT, "-q", code=3).stdout)
    assert len(rows) == 4


@pytest.mark.parametrize("size", ["1", "3", "auto"])
def test_answers_are_the_same_at_every_batch_size(folder: Path, model: Path, size: str) -> None:
    for seed in range(5):
        Image.fromarray(blocks(200 + 40 * seed, 128, seed=seed)).save(folder / f"{seed}.png")
    options = ("--model", model, *PROMPT, "-q", "--temperature", "1.5")
    one = without_times(lines(infer(folder, *options, "--batch-size", "1", code=3).stdout))
    found = without_times(lines(infer(folder, *options, "--batch-size", size, code=3).stdout))
    assert found == one


def test_lines_as_an_openai_batch_has_them(folder: Path, model: Path, tmp_path: Path) -> None:
    rows = lines(infer(folder, "--model", model, *PROMPT, "-q", code=3).stdout)
    out = tmp_path / "batch.jsonl"
    infer(folder, "--model", model, *PROMPT, "-q", "--format", "openai", "-o", out, code=3)
    batch = lines(out.read_bytes())
    assert [line["custom_id"] for line in batch] == [row["image_id"] for row in rows]
    for line, row in zip(batch, rows, strict=True):
        assert (line["error"] is None) == (row["status"] == "ok") == (line["response"] is not None)
        if line["error"]:
            assert line["error"] == {"code": row["error_code"], "message": row["error_message"]}
            continue
        assert line["response"]["status_code"] == 200
        body = line["response"]["body"]
        assert body["choices"][0]["message"]["content"] == row["answer"]
        assert body["choices"][0]["finish_reason"] == row["finish_reason"]
        assert body["usage"]["completion_tokens"] == row["answer_tokens"]


@pytest.mark.slow
def test_going_on_after_a_kill(model: Path, tmp_path: Path) -> None:
    images = tmp_path / "in"
    images.mkdir()
    for seed in range(12):
        Image.fromarray(blocks(256, 224, seed=seed)).save(images / f"{seed:02}.png")
    options = (images, "--model", model, *PROMPT, "-q", "--rows-per-shard", "3")
    out = tmp_path / "killed"
    slow = ("--max-new-tokens", "200")  # 12 × 200 steps take a while
    with subprocess.Popen(command_line(["infer", *options, *slow, "-o", out])) as run:
        assert eventually((out / "answers" / "part-00001.parquet").exists)
        run.send_signal(signal.SIGKILL)
    before = (out / "answers" / "part-00000.parquet").stat().st_mtime_ns
    refused = infer(*options, "-o", out, code=5)
    assert b"max_new_tokens: 200 there, 6 here" in refused.stderr
    infer(*options, *slow, "-o", out)
    assert (out / "answers" / "part-00000.parquet").stat().st_mtime_ns == before
    infer(*options, *slow, "-o", tmp_path / "undisturbed")
    assert answers_in(out) == answers_in(tmp_path / "undisturbed")


def answers_in(out: Path) -> list[dict]:
    paths = sorted((out / "answers").glob("*.parquet"))
    return without_times([row for path in paths for row in pq.read_table(path).to_pylist()])


@pytest.mark.slow
def test_an_interrupt_gives_the_answer_in_hand_up(model: Path, tmp_path: Path) -> None:
    Image.fromarray(blocks(256, 224)).save(tmp_path / "a.png")
    command = ["infer", tmp_path / "a.png", tmp_path / "a.png", "--model", model, *PROMPT[:2]]
    endless = ("--max-new-tokens", "30000", "--device", "cpu", "-v", "-o", tmp_path / "out")
    with subprocess.Popen(command_line([*command, *endless]), stderr=subprocess.PIPE) as run:
        assert eventually((tmp_path / "out" / "manifest.json").exists)
        with pytest.raises(subprocess.TimeoutExpired):
            run.wait(3)
        run.send_signal(signal.SIGINT)
        _, text = run.communicate(timeout=30)
    assert run.returncode == 130
    assert b"run the same command to resume" in text


def test_retrying_what_failed(folder: Path, model: Path, tmp_path: Path) -> None:
    options = (folder, "--model", model, *PROMPT, "-q", "-o", tmp_path / "out")
    infer(*options, code=3)
    shutil.copy(folder / "a.png", folder / "broken.png")
    infer(*options, "--retry-failed")
    rows = answers_in(tmp_path / "out")
    assert [row["status"] for row in rows] == ["ok"] * 4
    assert rows[2]["answer"] == rows[0]["answer"]


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_one_image_is_answered_on_the_terminal(folder: Path, model: Path) -> None:
    command = (folder / "a.png", "--model", model, *PROMPT, "-q")
    (row,) = lines(infer(*command).stdout)
    assert on_a_terminal(*command) == row["answer"].replace("\r\n", "\n") + "\n"


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_several_answers_are_lines_on_the_terminal(folder: Path, model: Path) -> None:
    requests = folder / "r.jsonl"
    asked = (("a.png", "Who\nis it?"), ("gone.png", "Where?"), ("b.jpg", "And?"))
    requests.write_text("\n".join(json.dumps({"image": n, "prompt": p}) for n, p in asked))
    for inputs, names in (
        (
            ("--requests", requests, *PROMPT[2:]),
            ["line-1: Who is it?", "line-2: Where?", "line-3: And?"],
        ),
        ((folder, *PROMPT), ["a.png", "b.jpg", "broken.png", "sub/a.png"]),
    ):
        command = (*inputs, "--model", model, "-q")
        rows = lines(infer(*command, code=3).stdout)
        assert len(rows) == len(names)
        assert on_a_terminal(*command, code=3) == "".join(
            " ".join(f"{name} → {row['answer']}".splitlines()) + "\n"
            for name, row in zip(names, rows, strict=True)
            if row["answer"] is not None
        )


def on_a_terminal(*args: str | Path, code: int = 0) -> str:
    import pty

    master, slave = pty.openpty()
    command = command_line(["infer", *args])
    with subprocess.Popen(command, stdout=slave, stderr=subprocess.DEVNULL) as run:
        os.close(slave)
        shown = b""
        while True:
            try:
                block = os.read(master, 4096)
            except OSError:  # the other end is closed
                break
            if not block:
                break
            shown += block
    os.close(master)
    assert run.returncode == code
    return shown.decode().replace("\r\n", "\n")


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (["--model", "MODEL"], 2, "give one of --prompt TEXT, --prompt-file FILE"),
        (
            ["--model", "MODEL", "--prompt", "x", "--prompt-file", "y"],
            2,
            "give one of --prompt TEXT, --prompt-file FILE",
        ),
        (["--model", "MODEL", "--prompt-file", "gone"], 2, "gone cannot be read"),
        (["--model", ".", "--prompt", "x"], 2, "not a model directory"),
        (["--model", "MODEL", "--requests", "gone.jsonl"], 2, "leave the other inputs out"),
        (["--model", "MODEL", "--prompt", "x", "--format", "csv", "-o", "a"], 2, "--format is for"),
        (["--model", "MODEL", "--prompt", "x", "--top-p", "2"], 2, "top-p is 2"),
        (
            ["--model", "MODEL", "--prompt", "x", "--no-prune", "--threshold", "0.1"],
            2,
            "--no-prune feeds every patch",
        ),
        (["--model", "MODEL", "--prompt", "x", "--device", "cuda"], 2, "is in float32"),
        (["--model", "MODEL", "--prompt", "x", "--batch-size", "0"], 2, "must be auto or"),
        (["--model", "MODEL", "--prompt", "<|image_pad|>"], 2, "contains image tokens"),
        (["--model", "MODEL", "--prompt", "caf\udce9"], 2, "not valid Unicode"),
        (
            ["--model", "MODEL", "--requests", "r", "--include", "*"],
            2,
            "leave the other inputs out",
        ),
    ],
)
def test_what_cannot_be_meant(folder: Path, model: Path, args, code: int, words: str) -> None:
    given = [str(model) if one == "MODEL" else one for one in args]
    done = infer(folder / "a.png", *given, code=code, cwd=folder)
    assert words in done.stderr.decode()
    assert done.stdout == b""


def test_a_prompt_from_a_file(folder: Path, model: Path, tmp_path: Path) -> None:
    (tmp_path / "prompt.txt").write_text("What is the total?")
    options = ("--model", model, "--max-new-tokens", "6", "--device", "cpu", "-q")
    (row,) = lines(
        infer(folder / "a.png", *options, "--prompt-file", tmp_path / "prompt.txt").stdout
    )
    (same,) = lines(infer(folder / "a.png", "--model", model, *PROMPT, "-q").stdout)
    assert row["answer"] == same["answer"]
    other = infer(folder / "a.png", "--model", model, *PROMPT, "-q", "--system", "Be brief.")
    assert lines(other.stdout)[0]["prompt_tokens"] > same["prompt_tokens"]


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


def test_a_model_that_cannot_run_leaves_no_folder(
    folder: Path, model: Path, tmp_path: Path
) -> None:
    half = tmp_path / "half"
    pixelprune("export", model.parent / "checkpoint", half, "--dtype", "bfloat16")
    out = tmp_path / "out"
    done = infer(folder / "a.png", "--model", half, *PROMPT, "-o", out, code=2)
    assert b"runs on CUDA only" in done.stderr
    assert not out.exists()


def test_a_run_over_csv_keeps_answers_whole(folder: Path, model: Path) -> None:
    done = infer(folder, "--model", model, *PROMPT, "-q", "--format", "csv", code=3)
    rows = list(csv.DictReader(io.StringIO(done.stdout.decode(), newline="")))
    assert len(rows) == 4
