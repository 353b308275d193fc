"""`infer --server`: rows and requests, against a real server on loopback."""

import base64
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xxhash
from PIL import Image

from ppcli.files import LocalFile
from ppcli.imaging.page_source import open_source
from ppcli.imaging.reading_options import ReadingOptions
from ppcli.models.remote import server_connection
from tests.chat_server import MODEL, ChatServer, chat_server
from tests.command import pixelprune
from tests.conftest import blocks


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Like the fixture for all tests, with images that have repeats on the grid."""
    root = tmp_path / "in"
    (root / "sub").mkdir(parents=True)
    Image.fromarray(blocks(320, 256, levels=2)).save(root / "a.png")
    Image.fromarray(blocks(320, 288, levels=2, seed=1)).save(root / "b.jpg", quality=90)
    Image.fromarray(blocks(256, 256, levels=2, seed=2)).save(root / "sub" / "a.png")
    (root / "broken.png").write_bytes((root / "a.png").read_bytes()[:200])
    (root / "notes.txt").write_text("no image")
    return root


@pytest.fixture
def server() -> Iterator[ChatServer]:
    with chat_server() as running:
        yield running


def answers(*args: str | Path, code: int = 0, **more: Any) -> list[dict[str, Any]]:
    done = pixelprune("infer", *args, **more)
    assert done.returncode == code, done.stderr.decode()
    return [json.loads(line) for line in done.stdout.splitlines()]


def digest_of(path: Path, page: int = 1) -> str:
    reading = ReadingOptions()
    source = open_source(LocalFile(str(path)), reading)
    pixels = source.page(page, reading.background)
    source.close()
    return xxhash.xxh3_64_hexdigest(np.ascontiguousarray(pixels).tobytes())


def test_each_page_gets_one_answer_and_one_row(server: ChatServer, folder: Path) -> None:
    rows = answers(folder, "--prompt", "what?", "--server", server.url, code=3)
    assert [row["image_id"] for row in rows] == ["a.png", "b.jpg", "broken.png", "sub/a.png"]
    assert [row["status"] for row in rows] == ["ok", "ok", "error", "ok"]
    for row in (rows[0], rows[1], rows[3]):
        assert row["answer"].split()[1] == digest_of(folder / row["image_id"])
        assert row["prompt_tokens"] == row["kept"] + 8
        assert row["request_ms"] > 0
        assert row["finish_reason"] == "stop"
    assert sum(row["kept"] or 0 for row in rows) < sum(row["tokens"] or 0 for row in rows)
    assert len(server.questions) == 3


def test_rows_agree_with_analyze(server: ChatServer, folder: Path) -> None:
    rows = answers(
        folder, "--prompt", "what?", "--server", server.url, "--threshold", "8/255", code=3
    )
    done = pixelprune("analyze", folder, "-o", "-", "--threshold", "8/255")
    analyzed = [json.loads(line) for line in done.stdout.splitlines()]
    same = ("image_id", "page", "frames", "format", "tokens", "kept", "fitted_width", "status",
            "error_code", "error_message")  # fmt: skip
    assert [[row[name] for name in same] for row in rows] == [
        [row[name] for name in same] for row in analyzed
    ]
    told = [one["mm_processor_kwargs"]["pixelprune"] for one in server.questions]
    assert {json.dumps(one, sort_keys=True) for one in told} == {
        json.dumps(
            {"enabled": True, "method": "pred_2d", "metric": "max", "mode": "anchored",
             "threshold": 8 / 255}, sort_keys=True,
        )
    }  # fmt: skip


def test_settings_of_the_command_reach_the_server(server: ChatServer, folder: Path) -> None:
    answers(
        folder / "a.png", "--prompt", "what?", "--system", "be brief", "--server", server.url,
        "--max-new-tokens", "7", "--temperature", "0.5", "--top-k", "3", "--stop", "x",
        "--repetition-penalty", "1.1", "--keep-special-tokens",
    )  # fmt: skip
    [body] = server.questions
    assert body["model"] == MODEL
    assert body["messages"][0] == {"role": "system", "content": "be brief"}
    assert [part["type"] for part in body["messages"][1]["content"]] == ["image_url", "text"]
    expected = {"max_tokens": 7, "temperature": 0.5, "top_k": 3, "stop": ["x"],
                "repetition_penalty": 1.1, "skip_special_tokens": False}  # fmt: skip
    assert {name: body[name] for name in expected} == expected
    assert isinstance(body["seed"], int)
    assert "min_p" not in body


def test_files_that_servers_read_travel_as_they_are(server: ChatServer, tmp_path: Path) -> None:
    made = Image.fromarray(blocks(300, 200))
    for name in ("a.png", "b.jpg", "c.webp"):
        made.save(tmp_path / name)
    made.save(tmp_path / "d.bmp")
    made.convert("P").save(tmp_path / "e.png")
    made.convert("CMYK").save(tmp_path / "f.jpg")
    turned = Image.Exif()
    turned[0x0112] = 6
    made.save(tmp_path / "g.jpg", exif=turned)
    made.putalpha(100)
    made.save(tmp_path / "h.png")
    deep = np.full((64, 64), 40_000, np.uint16)
    Image.fromarray(deep).save(tmp_path / "i.png")
    rows = answers(tmp_path, "--prompt", "?", "--server", server.url)
    assert [row["answer"].split()[1] for row in rows] == [
        digest_of(tmp_path / row["image_id"]) for row in rows
    ]
    sent = {}
    by_digest = {row["answer"].split()[1]: row["image_id"] for row in rows}
    for body in server.questions:
        url = body["messages"][0]["content"][0]["image_url"]["url"]
        name = by_digest[server.reply(body)[2].decode().split("?: ")[1].split()[0]]
        sent.setdefault(name, url)
    for name in ("b.jpg", "c.webp"):
        data = base64.b64decode(sent[name].split(",")[1])
        assert data == (tmp_path / name).read_bytes()
    for name in ("f.jpg", "g.jpg", "h.png", "i.png"):
        data = base64.b64decode(sent[name].split(",")[1])
        assert sent[name].startswith("data:image/png")
        assert data != (tmp_path / name).read_bytes()


def test_pixels_mean_the_same_for_every_image_of_the_corpus(
    server: ChatServer, corpus: Path
) -> None:
    folder = corpus / "hostile"
    rows = answers(folder, "--prompt", "?", "--server", server.url, code=3)
    good = [row for row in rows if row["status"] == "ok"]
    assert len(good) > 30
    for row in good:
        name, _, page = row["image_id"].rpartition("#")
        path = folder / (name or row["image_id"])
        assert row["answer"].split()[1] == digest_of(path, int(page) if name else 1), row[
            "image_id"
        ]
        assert row["prompt_tokens"] == row["kept"] + 8
    done = pixelprune("analyze", folder, "-o", "-")
    analyzed = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(row["image_id"], row["error_code"], row["error_message"]) for row in rows] == [
        (row["image_id"], row["error_code"], row["error_message"]) for row in analyzed
    ]


def test_a_setting_that_is_the_default_here_is_sent_if_it_is_chosen(
    server: ChatServer, folder: Path
) -> None:
    """The server may have another default, such as the top-k of its model."""
    file = folder / "requests.jsonl"
    lines = [{"prompt": "a", "min_p": 0}, {"prompt": "b", "top_k": 5}]
    file.write_text("\n".join(map(json.dumps, lines)))
    given = ("--server", server.url, "--in-flight", "1")
    answers("--requests", file, *given, "--top-k", "0", "--repetition-penalty", "1")
    a, b = server.questions
    expected = {"top_k": 0, "repetition_penalty": 1, "min_p": 0}
    assert {name: a[name] for name in expected} == expected
    assert b["top_k"] == 5
    assert "min_p" not in b


def test_a_run_is_not_resumed_with_a_setting_that_only_the_server_notices(
    server: ChatServer, folder: Path, tmp_path: Path
) -> None:
    given = (folder / "a.png", "--prompt", "?", "--server", server.url, "-o", tmp_path / "out")
    assert pixelprune("infer", *given).returncode == 0
    assert pixelprune("infer", *given, "--top-k", "0").returncode == 5


def test_requests_under_way_are_bounded_in_bytes(
    server: ChatServer, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_connection, "_MOST_BYTES", 1)
    server.seconds = 0.05
    names = ["a.png", "b.jpg"] * 4
    file = folder / "requests.jsonl"
    file.write_text("\n".join(json.dumps({"image": name, "prompt": name}) for name in names))
    rows = answers("--requests", file, "--server", server.url)
    assert [row["answer"].partition(":")[0] for row in rows] == names
    assert server.most_in_flight == 1


def test_requests_of_a_file_keep_their_own_settings(
    server: ChatServer, folder: Path, tmp_path: Path
) -> None:
    turns = [
        {"role": "system", "content": "short"},
        {"role": "user", "content": [
            {"type": "text", "text": "first"},
            {"type": "image_url", "image_url": {"url": "a.png"}},
        ]},
        {"role": "assistant", "content": "a form"},
        {"role": "user", "content": [
            {"type": "image_url", "image_url": {"url": "b.jpg"}},
            {"type": "text", "text": "second"},
        ]},
    ]  # fmt: skip
    lines = [
        {"custom_id": "one", "image": "a.png", "prompt": "what?", "temperature": 1, "seed": 5},
        {"custom_id": "two", "images": ["a.png", "b.jpg"], "prompt": "both?", "max_new_tokens": 9},
        {"custom_id": "bad", "image": "missing.png", "prompt": "what?"},
        {"custom_id": "chat", "body": {"messages": turns, "max_tokens": 11}},
        {"custom_id": "none", "prompt": "hello"},
    ]
    file = folder / "requests.jsonl"
    file.write_text("\n".join(map(json.dumps, lines)))
    rows = answers("--requests", file, "--server", server.url, "--in-flight", "1", code=3)
    assert [row["custom_id"] for row in rows] == ["one", "two", "bad", "chat", "none"]
    assert [row["status"] for row in rows] == ["ok", "ok", "error", "ok", "ok"]
    one, two, chat, none = server.questions
    assert (one["seed"], one["temperature"]) == (5, 1.0)
    assert (two["max_tokens"], chat["max_tokens"]) == (9, 11)
    assert rows[1]["tokens"] > rows[0]["tokens"]
    assert [message["role"] for message in chat["messages"]] == [
        "system", "user", "assistant", "user",
    ]  # fmt: skip
    assert [part["type"] for part in chat["messages"][3]["content"]] == ["image_url", "text"]
    a, b = digest_of(folder / "a.png"), digest_of(folder / "b.jpg")
    assert rows[3]["answer"].index(a) < rows[3]["answer"].index(b)
    assert "mm_processor_kwargs" not in none


def test_a_dataset_is_sent_as_it_was_pruned(
    server: ChatServer, folder: Path, tmp_path: Path
) -> None:
    (folder / "broken.png").unlink()
    out = tmp_path / "out"
    assert pixelprune("analyze", folder, "-o", out, "--threshold", "4/255").returncode == 0
    rows = answers(out, "--prompt", "?", "--server", server.url)
    assert [row["prompt_tokens"] - 8 for row in rows] == [row["kept"] for row in rows]


def test_every_patch_is_fed_where_the_user_says_so(server: ChatServer, folder: Path) -> None:
    [row] = answers(folder / "a.png", "--prompt", "?", "--server", server.url, "--no-prune")
    assert row["kept"] == row["tokens"] == row["prompt_tokens"] - 8
    assert server.questions[0]["mm_processor_kwargs"] == {"pixelprune": {"enabled": False}}


def test_a_server_without_the_plugin_is_told_nothing_and_the_user_is(
    server: ChatServer, folder: Path
) -> None:
    server.pruning = "none"
    done = pixelprune("infer", folder / "a.png", "--prompt", "?", "--server", server.url)
    [row] = map(json.loads, done.stdout.splitlines())
    assert b"does not prune: it feeds every patch" in done.stderr
    assert row["kept"] == row["tokens"] == row["prompt_tokens"] - 8
    assert "mm_processor_kwargs" not in server.questions[0]


def test_a_server_that_prunes_by_itself_has_no_count(server: ChatServer, folder: Path) -> None:
    server.pruning = "by_server"
    done = pixelprune("infer", folder / "a.png", "--prompt", "?", "--server", server.url)
    [row] = map(json.loads, done.stdout.splitlines())
    assert b"kept tiles are not counted" in done.stderr
    assert row["kept"] is None
    assert row["prompt_tokens"] - 8 < row["tokens"]


@pytest.mark.parametrize("pruning", ["none", "by_server"])
def test_options_without_effect_are_refused(server: ChatServer, folder: Path, pruning: str) -> None:
    server.pruning = pruning
    image = folder / "a.png"
    done = pixelprune("infer", image, "--prompt", "?", "--server", server.url, "--threshold", "0.1")
    assert done.returncode == 2
    assert b"the server" in done.stderr
    assert not server.questions


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--model", "m"), "leave --model"),
        (("--device", "cpu"), "leave --model"),
        (("--batch-size", "4"), "--in-flight"),
        (("--method", "random"), "random"),
        (("--method", "conncomp", "--skip-ratio", "0.5"), "alone"),
    ],
)
def test_options_of_a_model_here_are_refused(
    server: ChatServer, folder: Path, options: tuple[str, ...], words: str
) -> None:
    done = pixelprune("infer", folder, "--prompt", "?", "--server", server.url, *options)
    assert done.returncode == 2
    assert words in done.stderr.decode()
    assert not server.bodies


def test_a_run_resumes_with_another_url(server: ChatServer, folder: Path, tmp_path: Path) -> None:
    out, line = tmp_path / "answers", ("--prompt", "?", "-o")
    done = pixelprune("infer", folder, *line, out, "--server", server.url)
    assert done.returncode == 3
    asked = len(server.questions)
    shutil.copy(folder / "a.png", folder / "broken.png")
    with chat_server() as other:
        again = pixelprune("infer", folder, *line, out, "--server", other.url, "--retry-failed")
        assert again.returncode == 0, again.stderr.decode()
        assert (len(server.questions), len(other.questions)) == (asked, 1)
    different = pixelprune("infer", folder, "--prompt", "!", "-o", out, "--server", server.url)
    assert different.returncode == 5


@pytest.mark.parametrize("pruned", [True, False])
def test_counts_that_are_not_those_of_the_server_are_called_estimates(
    server: ChatServer, folder: Path, pruned: bool
) -> None:
    (folder / "broken.png").unlink()
    Image.fromarray(blocks(128, 96, levels=2)).save(folder / "small.png")
    line = (folder, "--prompt", "?", "--server", server.url, *(() if pruned else ("--no-prune",)))
    assert b"are estimates" not in pixelprune("infer", *line).stderr
    server.min_pixels = 4_096
    assert pixelprune("infer", *line).stderr.count(b"are estimates") == 1
