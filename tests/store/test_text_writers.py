"""Lines of JSON, whatever splits them."""

import io
import json
import sys

import pytest

from ppcli.store.rows import AnswerRow
from ppcli.store.text_writers import JsonLinesWriter, OpenAiBatchWriter, json_line

EVERYTHING = "".join(map(chr, [*range(0xD800), *range(0xE000, 0x2FFFF)]))


def test_all_characters_stand_in_one_line() -> None:
    content = {EVERYTHING[:0x3000]: EVERYTHING, "list": [EVERYTHING, {"a": EVERYTHING[::-1]}]}
    line = json_line(content)
    assert line.decode().splitlines() == [line.decode()[:-1]]
    assert json.loads(line) == content
    assert "é東🙂".encode() in json_line({"a": "é東🙂"}), "what ends no line stays as it is"


@pytest.mark.parametrize(
    "made",
    [
        lambda file: JsonLinesWriter(file, ["custom_id", "answer"]),
        lambda file: OpenAiBatchWriter(file, "a model"),
    ],
)
def test_rows_too(made) -> None:
    enders = [chr(n) for n in range(sys.maxunicode) if len(f"a{chr(n)}b".splitlines()) > 1]
    assert {"\n", "\x1c", "\x85", "\u2028", "\u2029"} <= set(enders)
    file = io.BytesIO()
    for one in enders:
        made(file).add(AnswerRow(custom_id=one, prompt=one, answer=one, finish_reason="stop"))
    lines = file.getvalue().decode().splitlines()
    assert [json.loads(line)["custom_id"] for line in lines] == enders
