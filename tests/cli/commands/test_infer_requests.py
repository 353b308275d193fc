"""`infer --requests`: lines of JSON, lines of OpenAI batches, and pages."""

import base64
import json
from pathlib import Path

import pytest
from PIL import Image

from tests.cli.commands.answers import (
    PROMPT,
    answers_in,
    infer,
    lines,
    without_times,
)
from tests.command import pixelprune
from tests.conftest import blocks


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
    assert "sets n, which is not supported" in rows["n"]["error_message"]
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
    prompt = megabyte[:200_000]  # the tokenizer takes seconds for more
    url = f"data:image/png;base64,{base64.b64encode(bytes(1_000_000)).decode()}"
    given = [
        {"image": url, "prompt": "?"},
        {"images": ["a.png", url], "prompt": "?"},
        {"image": megabyte, "prompt": "?"},
        {"image": "a.png", "prompt": prompt},
        {"image": "a.png", "prompt": "?", "system": prompt},
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
