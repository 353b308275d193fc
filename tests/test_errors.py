"""Text from outside in messages: escaped where a terminal needs it, and bounded in length."""

import json
import os
import pickle
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ppcli.errors import (
    MAX_MESSAGE_LENGTH,
    DamagedError,
    ErrorCode,
    ImageError,
    ModelError,
    OutputError,
    UsageError,
    bounded,
    internal_error,
    printable,
    with_subject,
)
from tests.command import pixelprune

MEGABYTE = "m" * 1_000_000
ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=600)  # with surrogates


def test_names_cannot_control_the_terminal() -> None:
    assert printable("a\x1b[31m\nb\x9b") == "a\\x1b[31m\\nb\\x9b"


def test_names_cannot_turn_the_direction_of_writing() -> None:
    assert printable("a\u202egnp.exe") == "a\\u202egnp.exe"
    assert printable("\u2066\u200f\u061c\ufeff\u200b") == "\\u2066\\u200f\\u061c\\ufeff\\u200b"
    assert printable("\U000e0041") == "\\U000e0041"


def test_names_in_other_scripts_stay_as_they_are() -> None:
    for text in ("שלום", "می\u200cخواهم", "👩\u200d💻", "日本語 ü", "\u0601"):
        assert printable(text) == text


def test_halves_of_characters_and_bytes_that_are_no_text() -> None:
    assert printable("\ud800 " + os.fsdecode(b"\xff\xc3\xa9")) == "\\ud800 \\xffé"


@given(ANY_TEXT, st.integers(80, 300))
def test_whatever_is_bounded_is_short_and_can_be_written(text: str, limit: int) -> None:
    shown = bounded(text, limit)
    assert len(shown) <= limit
    shown.encode()
    assert not {unicodedata.category(one) for one in shown} & {"Cc", "Cs", "Zl", "Zp"}
    assert bounded(shown, limit) == shown, "what is bounded once does not change"


@given(st.text(st.characters(categories=["L", "N", "P"]), max_size=600))
def test_both_ends_are_left_and_the_rest_is_counted(text: str) -> None:
    shown = bounded(text)
    if len(text) <= 200:
        assert shown == text
        return
    begin, rest = shown.split(" … (", 1)
    number, end = rest.split(" characters left out) … ", 1)
    assert text.startswith(begin) and text.endswith(end)
    assert len(begin) + int(number.replace(",", "")) + len(end) == len(text)
    assert len(shown) > 180


@pytest.mark.parametrize("error", [UsageError, ModelError, OutputError, DamagedError])
def test_errors_are_bounded(error) -> None:
    assert len(str(error(f"{MEGABYTE}: no such file"))) <= MAX_MESSAGE_LENGTH
    assert str(error(f"{MEGABYTE}: no such file")).endswith("no such file")


def test_errors_of_images_are_bounded() -> None:
    error = ImageError(ErrorCode.CORRUPT, f"it says {MEGABYTE}\u202e")
    assert len(error.message) <= MAX_MESSAGE_LENGTH
    assert error.message == str(error) == pickle.loads(pickle.dumps(error)).message
    assert len(internal_error(ValueError(MEGABYTE)).message) <= 400


def test_a_message_is_named_once() -> None:
    once = with_subject("a\n.png", "it is cut off")
    assert once == "a\\n.png: it is cut off"
    assert with_subject("a\n.png", once) == once
    assert len(with_subject(MEGABYTE, with_subject(MEGABYTE, MEGABYTE))) <= MAX_MESSAGE_LENGTH + 402


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    requests = tmp_path / "requests.jsonl"
    fields = {
        "custom_id": MEGABYTE,
        "image": f"{MEGABYTE}.png",
        "prompt": 3,
        "system": [MEGABYTE],
        "seed": MEGABYTE,
        MEGABYTE: 1,
        "max_new_tokens": {MEGABYTE: MEGABYTE},
        "temperature": MEGABYTE,
    }
    good = {"prompt": "What is this?", "image": "none.png"}
    lines = [json.dumps(good | {name: value}) for name, value in fields.items()]
    requests.write_text("\n".join([*lines, MEGABYTE]))
    return requests


def test_a_megabyte_in_each_field_of_a_request_is_no_megabyte_in_its_messages(hostile) -> None:
    done = pixelprune("infer", "--requests", hostile, "-o", "-", "--log-format", "json")
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(rows) == 9
    assert all(len(row["error_message"]) < 2_000 for row in rows)
    assert all(len(line) < 25_000 for line in done.stderr.splitlines())


@pytest.mark.parametrize("form", ["text", "json"])
def test_arguments_of_any_length_end_in_a_short_sentence(form: str, tmp_path: Path) -> None:
    name = "x" * 100_000 + "\u202e\x1b[2J"
    report = ["report", name, "-o", tmp_path / "report.html"]
    for command in (["analyze", name, "-o", tmp_path / "out"], ["view", name], report):
        done = pixelprune(*command, "--log-format", form)
        said = done.stderr.decode()
        assert done.returncode in (2, 6), said
        assert len(said) < 3_000
        assert "\u202e" not in said and "\x1b" not in said
