"""From tokens to the text of an answer: stop texts, special tokens, thinking."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ppcli.errors import UsageError
from ppcli.models.model_choices import Think
from ppcli.models.text.answer_reader import Answer, AnswerReader
from ppcli.models.text.chat_tokenizer import ChatTokenizer
from ppcli.models.text.thinking import split_thinking
from tests.models.tiny_checkpoint import SPECIAL, write_settings

TEXTS = [
    "The total is 12.50. naïve café, 東京, emoji 🙂. The end",
    "🙂🙂🙂🙂🙂🙂",
    "x" * 200 + "東" * 100,
]
END = SPECIAL.index("<|im_end|>")
any_text = st.text(st.sampled_from("ab é東🙂\ufffd\n"), max_size=60)


@pytest.fixture(scope="module")
def chat_tokenizer(tmp_path_factory: pytest.TempPathFactory) -> ChatTokenizer:
    folder: Path = tmp_path_factory.mktemp("settings")
    write_settings(folder)
    return ChatTokenizer(str(folder))


def tokens_of(chat_tokenizer: ChatTokenizer, text: str) -> list[int]:
    ids: list[int] = chat_tokenizer._tokenizer.encode(text, add_special_tokens=False).ids
    return ids


def followed(reader: AnswerReader, tokens: list[int]) -> tuple[Answer, list[str], int]:
    """The answer as a run gives it, what was told on the way, and how many tokens it took."""
    pieces: list[str] = []
    ended = reader.watch(pieces.append)
    made: list[int] = []
    for token in tokens:
        made.append(token)
        if ended(token):
            break
    return reader.read(made), pieces, len(made)


@given(any_text, st.lists(st.text(st.sampled_from("ab é東🙂\n"), min_size=1, max_size=4)))
def test_the_answer_ends_before_the_stop_text_that_is_complete_first(
    chat_tokenizer, text, stop
) -> None:
    """However the text falls into tokens; the plain twin looks at it character by character."""
    expected, at = text, None
    for end in range(1, len(text) + 1):
        found = [one for one in stop if text[:end].endswith(one)]
        if found:
            at = end - max(map(len, found))
            expected = text[:at]
            break
    tokens = tokens_of(chat_tokenizer, text)
    answer, pieces, taken = followed(AnswerReader(chat_tokenizer, stop=stop), tokens)
    assert (answer.text, answer.stopped) == (expected, at is not None)
    assert expected.startswith("".join(pieces))
    if at is None:
        assert taken == len(tokens)
    else:  # no token more than it takes
        assert not any(one in chat_tokenizer.decode(tokens[: taken - 1]) for one in stop)


@pytest.mark.parametrize("text", TEXTS)
def test_a_stop_text_across_tokens_and_within_characters(chat_tokenizer, text) -> None:
    tokens = tokens_of(chat_tokenizer, text)
    for start in range(0, len(text), 3):
        stop = text[start : start + 9]
        answer, _, taken = followed(AnswerReader(chat_tokenizer, stop=[stop]), tokens)
        assert answer.text == text[: text.index(stop)]
        assert chat_tokenizer.decode(tokens[:taken]).count(stop) == 1


@given(st.lists(st.integers(0, 399), max_size=300))
def test_what_is_told_adds_up_to_the_answer(chat_tokenizer, tokens) -> None:
    """Tokens as they come from a model with random weights: halves of characters everywhere."""
    for stop in ([], ["12", "The total"]):
        answer, pieces, _ = followed(AnswerReader(chat_tokenizer, stop=stop), tokens)
        assert answer.text.startswith("".join(pieces))
        assert len(answer.text) - len("".join(pieces)) <= 3 + 9 or answer.stopped


def test_nothing_of_a_stop_text_is_told(chat_tokenizer) -> None:
    tokens = tokens_of(chat_tokenizer, "one END two")
    _, pieces, _ = followed(AnswerReader(chat_tokenizer, stop=["END two"]), tokens)
    assert "".join(pieces) == "one "


def test_special_tokens(chat_tokenizer) -> None:
    tokens = [
        *tokens_of(chat_tokenizer, "a"),
        SPECIAL.index("<|vision_start|>"),
        *tokens_of(chat_tokenizer, "b"),
    ]
    assert AnswerReader(chat_tokenizer).read(tokens).text == "ab"
    assert AnswerReader(chat_tokenizer, keep_special=True).read(tokens).text == "a<|vision_start|>b"


def test_a_special_token_as_stop_text(chat_tokenizer) -> None:
    mark = "<|vision_start|>"
    tokens = [*tokens_of(chat_tokenizer, "a"), SPECIAL.index(mark), *tokens_of(chat_tokenizer, "b")]
    for keep in (False, True):
        reader = AnswerReader(chat_tokenizer, stop=[mark], keep_special=keep)
        answer, _, taken = followed(reader, tokens)
        assert (answer.text, taken) == ("a", 2)
    with pytest.raises(UsageError, match="which is removed from"):
        AnswerReader(chat_tokenizer, stop=["\n" + mark])
    reader = AnswerReader(chat_tokenizer, stop=["a" + mark], keep_special=True)
    assert followed(reader, tokens)[0].text == ""


@pytest.mark.parametrize(
    ("text", "opened", "thinking", "answer", "closed"),
    [
        ("no tags\n", False, None, "no tags\n", True),
        ("<think>\nwhy\n</think>\n\nso", False, "why", "so", True),
        ("\nwhy\n</think>\n\nso", True, "why", "so", True),
        ("why</think>so", False, "why", "so", True),  # the template opened it in other words
        ("<think>\nwhy</think>so", True, "why", "so", True),  # opened twice
        ("why and wh", True, "why and wh", "", False),
        ("<think>why and wh", False, "why and wh", "", False),
        ("", True, "", "", False),
        ("<think></think>so", False, "", "so", True),
        ("<think>a</think>b<think>c</think>d", False, "ac", "bd", True),
        ("a<think>b</think>c", False, "b", "ac", True),
        ("why <think> so</think>x", True, "why <think> so", "x", True),
        ("a</think>b</think>c", True, "a", "b</think>c", True),
        ("why</thin", True, "why</thin", "", False),
    ],
)
def test_thinking_is_told_apart(text, opened, thinking, answer, closed) -> None:
    thought = split_thinking(text, opened)
    assert (thought.thinking, thought.answer, thought.closed) == (thinking, answer, closed)


def test_thinking_that_is_kept_split_or_dropped(chat_tokenizer) -> None:
    prompt, text = "assistant\n<think>\n", "why\n</think>\n\nso"
    tokens = tokens_of(chat_tokenizer, text)

    def read(think: Think) -> tuple[str, str | None]:
        answer, pieces, _ = followed(AnswerReader(chat_tokenizer, prompt, think=think), tokens)
        assert "".join(pieces) == (text if think is Think.KEEP else "")
        return answer.text, answer.thinking

    assert read(Think.KEEP) == (text, None)
    assert read(Think.SPLIT) == ("so", "why")
    assert read(Think.DROP) == ("so", None)


def test_a_stop_text_ends_thinking_too(chat_tokenizer) -> None:
    reader = AnswerReader(chat_tokenizer, "<think>", stop=["why"], think=Think.SPLIT)
    answer, _, _ = followed(reader, tokens_of(chat_tokenizer, "see why not</think>so"))
    assert answer == Answer("", "see ", closed=False, stopped=True)


@pytest.mark.parametrize("special", [False, True])
def test_tags_that_are_tokens(tmp_path, special: bool) -> None:
    write_settings(tmp_path)
    path = tmp_path / "tokenizer.json"
    tokenizer = json.loads(path.read_text())
    for number, tag in enumerate(("<think>", "</think>"), 450):
        tokenizer["added_tokens"].append(
            tokenizer["added_tokens"][0] | {"id": number, "content": tag, "special": special}
        )
    path.write_text(json.dumps(tokenizer))
    chat_tokenizer = ChatTokenizer(str(tmp_path))
    tokens = tokens_of(chat_tokenizer, "<think>why</think>so")
    assert chat_tokenizer._tokenizer.token_to_id("</think>") in tokens
    split = AnswerReader(chat_tokenizer, think=Think.SPLIT).read([*tokens, END])
    assert (split.text, split.thinking) == ("so", "why")
    kept = AnswerReader(chat_tokenizer).read(tokens).text
    assert kept == ("whyso" if special else "<think>why</think>so")
