"""Tokens from all files that know of them, against transformers on the same files."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from transformers import AutoTokenizer, PreTrainedTokenizerBase
from transformers.models.qwen2.tokenization_qwen2 import PRETOKENIZE_REGEX
from transformers.models.qwen3_5.tokenization_qwen3_5 import (
    PRETOKENIZE_REGEX as WORDS_WITH_MARKS,
)

from ppcli.errors import ModelError
from ppcli.models.text.chat_tokenizer import ChatTokenizer
from ppcli.models.text.tokenizer import ModelTokenizer
from tests.models.tiny_checkpoint import SPECIAL, trained_tokenizer, write_json, write_settings

pytestmark = pytest.mark.oracle

TEXTS = [
    "<|im_start|>user\n<extra> What's <think>12</think> naïve cafe\u0301 123456 <|image_pad|>",
    "<other>  <extra>  \n\n<think><|endoftext|>東京 <|im_end|>",
]
NEXT = trained_tokenizer().get_vocab_size()

Files = dict[str, dict]
Change = Callable[[Files], None]


def token(text: str, **flags: bool) -> dict:
    usual = {"lstrip": False, "rstrip": False, "normalized": False, "single_word": False}
    return {"content": text, **usual, "special": False, **flags}


def own_tokens(files: Files) -> dict[str, dict]:
    """Those of the tokenizer's own file, as transformers saves them in its configuration."""
    return {str(one["id"]): token(one["content"], special=True) for one in added(files)}


def added(files: Files) -> list[dict]:
    return files["tokenizer.json"]["added_tokens"]


def of_config(files: Files) -> None:
    files["tokenizer_config.json"]["added_tokens_decoder"] = own_tokens(files) | {
        str(NEXT): token("<extra>"),
        str(NEXT + 1): token("<think>", special=True),
    }


def stripping(files: Files) -> None:
    files["tokenizer_config.json"]["added_tokens_decoder"] = own_tokens(files) | {
        str(NEXT): token("<extra>", lstrip=True, rstrip=True)
    }


def of_older_file(files: Files) -> None:
    files["added_tokens.json"] = {"<think>": NEXT + 1, "<extra>": NEXT}


def of_older_file_with_all(files: Files) -> None:
    files["added_tokens.json"] = {one["content"]: one["id"] for one in added(files)}
    files["added_tokens.json"] |= {"<extra>": NEXT}


def special_in_older_file(files: Files) -> None:
    files["added_tokens.json"] = {"<think>": NEXT + 1, "<extra>": NEXT}
    files["special_tokens_map.json"] = {"additional_special_tokens": ["<think>"]}


def of_map(files: Files) -> None:
    files["special_tokens_map.json"] = {
        "additional_special_tokens": ["<extra>"],
        "eos_token": "<other>",
        "bos_token": token("<think>"),
    }
    del files["special_tokens_map.json"]["bos_token"]["special"]


def additional(files: Files) -> None:
    files["tokenizer_config.json"]["additional_special_tokens"] = ["<extra>", "<think>"]


def extra_by_name(files: Files) -> None:
    extra = {"image_token": "<|image_pad|>", "foo_token": "<extra>"}
    files["tokenizer_config.json"]["extra_special_tokens"] = extra


def new_end(files: Files) -> None:
    files["tokenizer_config.json"] |= {"eos_token": "<extra>", "unk_token": None}


def unchanged(files: Files) -> None:
    pass


def no_class(files: Files) -> None:
    del files["tokenizer_config.json"]["tokenizer_class"]


def nothing_special(files: Files) -> None:
    for one in added(files):
        one["special"] = False


def splitting(files: Files) -> None:
    files["tokenizer_config.json"]["split_special_tokens"] = True


def apart(files: Files) -> None:
    """As a tokenizer was saved before there was one file of it."""
    model = files.pop("tokenizer.json")["model"]
    files["tokenizer_config.json"]["tokenizer_class"] = "Qwen2Tokenizer"
    files["vocab.json"] = model["vocab"]
    pairs = (one if isinstance(one, str) else " ".join(one) for one in model["merges"])
    files["merges.txt"] = "#version: 0.2\n" + "\n".join(pairs) + "\n"


def apart_with_tokens_of_config(files: Files) -> None:
    tokens = own_tokens(files)
    apart(files)
    for text in SPECIAL:
        del files["vocab.json"][text]
    files["vocab.json"] = {
        text: number - len(SPECIAL) for text, number in files["vocab.json"].items()
    }
    tokens = {str(NEXT - len(SPECIAL) + int(number)): one for number, one in tokens.items()}
    files["tokenizer_config.json"]["added_tokens_decoder"] = tokens


def apart_with_older_files(files: Files) -> None:
    apart_with_tokens_of_config(files)
    tokens = files["tokenizer_config.json"].pop("added_tokens_decoder")
    files["added_tokens.json"] = {one["content"]: int(number) for number, one in tokens.items()}
    files["special_tokens_map.json"] = {"additional_special_tokens": SPECIAL[:3]}


def of_qwen(files: Files) -> None:
    """A class of Qwen's, whose words are those of its file."""
    files["tokenizer_config.json"]["tokenizer_class"] = "Qwen2TokenizerFast"
    files["tokenizer.json"] |= {
        "normalizer": {"type": "NFC"},
        "pre_tokenizer": {
            "type": "Sequence",
            "pretokenizers": [
                {
                    "type": "Split",
                    "pattern": {"Regex": PRETOKENIZE_REGEX},
                    "behavior": "Isolated",
                    "invert": False,
                },
                {
                    "type": "ByteLevel",
                    "add_prefix_space": False,
                    "trim_offsets": False,
                    "use_regex": False,
                },
            ],
        },
    }


def of_qwen_with_tokens_of_config(files: Files) -> None:
    of_qwen(files)
    of_config(files)


CHANGES: list[Change] = [
    unchanged,
    of_config,
    stripping,
    of_older_file,
    of_older_file_with_all,
    special_in_older_file,
    of_map,
    additional,
    extra_by_name,
    new_end,
    nothing_special,
    splitting,
    apart,
    apart_with_tokens_of_config,
    apart_with_older_files,
    of_qwen,
    of_qwen_with_tokens_of_config,
]


def written(folder: Path, change: Change, model_type: str = "qwen3_vl") -> str:
    write_settings(folder)
    write_json(folder / "config.json", {"model_type": model_type})
    names = ("tokenizer.json", "tokenizer_config.json")
    files: Files = {name: json.loads((folder / name).read_text("utf-8")) for name in names}
    change(files)
    for name in names:
        (folder / name).unlink()
    for name, content in files.items():
        text = content if isinstance(content, str) else json.dumps(content)
        (folder / name).write_text(text, encoding="utf-8")
    return str(folder)


@pytest.mark.parametrize("change", CHANGES)
def test_as_transformers(tmp_path: Path, change: Change) -> None:
    assert_as_transformers(written(tmp_path, change))


def assert_as_transformers(folder: str) -> None:
    theirs: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(folder)
    ours = ModelTokenizer(folder)
    for text in TEXTS:
        ids = theirs(text, add_special_tokens=False)["input_ids"]
        assert ours.tokenizer.encode(text, add_special_tokens=False).ids == ids
        for skip in (False, True):
            decoded = theirs.decode(ids, skip_special_tokens=skip)
            assert ours.tokenizer.decode(ids, skip_special_tokens=skip) == decoded
    assert ours.special == theirs.special_tokens_map
    assert not ours.warnings


def of_qwen3_5(files: Files) -> None:
    of_qwen(files)
    step = files["tokenizer.json"]["pre_tokenizer"]["pretokenizers"][0]
    step["pattern"]["Regex"] = WORDS_WITH_MARKS


def of_qwen3_5_by_other_names(files: Files) -> None:
    of_qwen3_5(files)
    files["tokenizer_config.json"]["tokenizer_class"] = "TokenizersBackend"


@pytest.mark.parametrize("change", [of_qwen3_5, of_qwen3_5_by_other_names])
def test_qwen3_5_has_a_class_whatever_the_files_say(tmp_path: Path, change: Change) -> None:
    assert_as_transformers(written(tmp_path, change, "qwen3_5"))


def test_words_of_qwen3_5_hold_marks(tmp_path: Path) -> None:
    """What would show: with the words of Qwen3-VL, a mark is a word of its own.

    transformers' class does not read these files, and then has no vocabulary.
    """
    text = "x\u0301y नमस्ते"
    cut = {}
    for model_type in ("qwen3_vl", "qwen3_5"):
        (tmp_path / model_type).mkdir()
        made = ModelTokenizer(written(tmp_path / model_type, apart, model_type)).tokenizer
        cut[model_type] = [word for word, _ in made.pre_tokenizer.pre_tokenize_str(text)]
    assert len(cut["qwen3_5"]) == 2 < len(cut["qwen3_vl"])


def test_names_that_tokens_have_by_default(tmp_path: Path) -> None:
    folder = written(tmp_path, no_class)
    assert (
        ModelTokenizer(folder).special == AutoTokenizer.from_pretrained(folder).special_tokens_map
    )


def test_a_token_known_to_one_file_only_is_one_token(tmp_path: Path) -> None:
    """What would show: without that file it is bytes."""
    (tmp_path / "without").mkdir()
    plain = ChatTokenizer(written(tmp_path / "without", unchanged))
    for change in (of_config, of_older_file, of_map, additional):
        folder = tmp_path / change.__name__
        folder.mkdir()
        ours = ChatTokenizer(written(folder, change))
        said = [{"role": "user", "content": "<extra>"}]
        assert (
            len(ours.encode_messages(said)) == len(plain.encode_messages(said)) - len("<extra>") + 1
        )


def renumbered(files: Files) -> None:
    files["tokenizer_config.json"]["added_tokens_decoder"] = {str(NEXT + 5): token("<extra>")}


def on_another(files: Files) -> None:
    files["tokenizer_config.json"]["added_tokens_decoder"] = {"3": token("<extra>")}


def renumbered_in_older_file(files: Files) -> None:
    files["added_tokens.json"] = {"<extra>": NEXT + 9}


def moved(files: Files) -> None:
    files["added_tokens.json"] = {"<|im_end|>": 5}


@pytest.mark.parametrize("change", [renumbered, on_another, renumbered_in_older_file, moved])
def test_numbers_that_cannot_be_are_refused(tmp_path: Path, change: Change) -> None:
    """transformers gives such tokens other numbers without a word."""
    with pytest.raises(ModelError, match=r"has id \d+ in .*\.json and id \d+ in the tokenizer"):
        ModelTokenizer(written(tmp_path, change))


@pytest.mark.parametrize("value", [[], {"x": token("<a>")}, {"300": "<a>"}, {"300": {}}, 7])
def test_tokens_that_make_no_sense(tmp_path: Path, value: object) -> None:
    def change(files: Files) -> None:
        files["tokenizer_config.json"]["added_tokens_decoder"] = value

    with pytest.raises(ModelError, match="are invalid"):
        ModelTokenizer(written(tmp_path, change))


def test_an_older_file_that_is_not_followed_is_told(tmp_path: Path) -> None:
    def change(files: Files) -> None:
        of_config(files)
        files["added_tokens.json"] = {"<other>": NEXT + 2, "<extra>": NEXT}

    folder = written(tmp_path, change)
    [warning] = ChatTokenizer(folder).warnings
    assert warning.startswith("added_tokens.json disagrees with tokenizer_config.json")
    assert warning.endswith(": <other>")
    assert AutoTokenizer.from_pretrained(folder).convert_tokens_to_ids("<other>") is None


def without_composing(files: Files) -> None:
    of_qwen(files)
    files["tokenizer.json"]["normalizer"] = None


def cut_otherwise(files: Files) -> None:
    of_qwen(files)
    step = files["tokenizer.json"]["pre_tokenizer"]["pretokenizers"][0]
    step["pattern"]["Regex"] = PRETOKENIZE_REGEX.replace(r"|\p{N}|", r"|\p{N}{1,3}|")


def with_prefix(files: Files) -> None:
    of_qwen(files)
    files["tokenizer_config.json"]["add_prefix_space"] = True


def apart_with_prefix(files: Files) -> None:
    apart(files)
    files["tokenizer_config.json"]["add_prefix_space"] = True


def not_in_config(files: Files) -> None:
    of_qwen(files)
    named = own_tokens(files)
    added(files).append({"id": NEXT, **token("<extra>", special=True)})
    files["tokenizer_config.json"]["added_tokens_decoder"] = named


def of_another_class(files: Files) -> None:
    of_qwen(files)
    files["tokenizer_config.json"]["tokenizer_class"] = "GPT2TokenizerFast"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (without_composing, "splits text differently"),
        (cut_otherwise, "splits text differently"),
        (with_prefix, "splits text differently"),
        (apart_with_prefix, "splits text differently"),
        (not_in_config, "transformers 5 treats them as plain text: <extra>"),
        (of_another_class, "tokenizer_class GPT2TokenizerFast is not one of Qwen's"),
    ],
)
def test_where_transformers_goes_by_the_class_is_told(
    tmp_path: Path, change: Change, words: str
) -> None:
    folder = written(tmp_path, change)
    theirs, ours = AutoTokenizer.from_pretrained(folder), ChatTokenizer(folder)
    differing = [text for text in TEXTS if ours.encode(text) != theirs.encode(text)]
    assert differing, "then there would be nothing to tell"
    [warning] = ours.warnings
    assert words in warning
