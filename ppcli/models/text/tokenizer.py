"""Loads a model's tokenizer from all files that define its tokens."""

import json
import os
from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

from ppcli.errors import ModelError, bounded
from ppcli.models.model_files import CONFIG, read_json

TOKENIZER, TOKENIZER_CONFIG = "tokenizer.json", "tokenizer_config.json"
VOCABULARY, MERGES = "vocab.json", "merges.txt"
ADDED_TOKENS, SPECIAL_TOKENS = "added_tokens.json", "special_tokens_map.json"
TOKENIZER_FILES = (TOKENIZER, TOKENIZER_CONFIG, VOCABULARY, MERGES, ADDED_TOKENS, SPECIAL_TOKENS)
_DECODER = "added_tokens_decoder"
_FLAGS = ("single_word", "lstrip", "rstrip", "normalized", "special")
_NAMES = [f"{name}_token" for name in ("bos", "eos", "unk", "sep", "pad", "cls", "mask")]
# Default of Qwen's tokenizer classes; the general class has no defaults.
_DEFAULT, _DEFAULT_NAMES = "<|endoftext|>", ("eos_token", "unk_token", "pad_token")
_QWEN3_5 = "Qwen3_5Tokenizer"
_QWEN = (
    None,
    "Qwen2Tokenizer",
    "Qwen2TokenizerFast",
    _QWEN3_5,
)  # None: the default of Qwen models
_DEFAULT_CLASS = "Qwen2Tokenizer"
_CLASS_OF_MODEL = {"qwen3_5": _QWEN3_5}  # whatever tokenizer_class says
_GENERAL = ("PreTrainedTokenizerFast", "TokenizersBackend")
_WORDS = (  # how Qwen's tokenizers split text before BPE
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}|"
    r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_WORDS_WITH_MARKS = (  # and Qwen3.5's: a mark, such as a combining accent, belongs to its letter
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}|"
    r" ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


class ModelTokenizer:
    """A tokenizer as transformers builds it from the same files.

    Args of the constructor:
        folder: a checkpoint or a model directory.

    Attributes:
        tokenizer: the `tokenizers.Tokenizer`.
        special: special tokens by name (`bos_token`, …), which chat templates use.
        warnings: a sentence for each setting in the files that is not followed.

    Raises:
        ModelError: the tokenizer is missing or unreadable, or its files disagree.
    """

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self.warnings: list[str] = []
        self._config = read_json(os.path.join(folder, TOKENIZER_CONFIG)) or {}
        model_type = self._json(CONFIG).get("model_type")
        listed = self._config.get("tokenizer_class")
        self._class = _CLASS_OF_MODEL.get(str(model_type), listed)
        self._words = _WORDS_WITH_MARKS if self._class == _QWEN3_5 else _WORDS
        self.tokenizer = _library_tokenizer(folder, self._words)
        own = list(self._added())
        try:
            if self._config.get(_DECODER) is not None:
                self._place_tokens(self._tokens_of_config(), TOKENIZER_CONFIG)
                self._compare_with_older_file()
            else:  # then transformers reads the older files
                self._place_tokens(self._tokens_of_older_files(), ADDED_TOKENS)
            self.special = self._named()
            self._add()
            self._compare_with_class(own)
            self.tokenizer.encode_special_tokens = bool(self._config.get("split_special_tokens"))
        except (AttributeError, TypeError, ValueError, KeyError, OverflowError) as error:
            raise ModelError(
                f"{folder}: the added tokens of its tokenizer are invalid: {bounded(repr(error))}"
            ) from error

    def _tokens_of_config(self) -> dict[int, AddedToken]:
        return {
            int(number): AddedToken(
                value["content"], **{name: flag for name, flag in value.items() if name in _FLAGS}
            )
            for number, value in self._config[_DECODER].items()
        }

    def _tokens_of_older_files(self) -> dict[int, AddedToken]:
        special = set(_extra(self._config))
        self._config |= self._json(SPECIAL_TOKENS)
        special.update(self._named().values())
        own = self._added()
        return {
            int(number): AddedToken(text, normalized=text not in special, special=text in special)
            for text, number in self._json(ADDED_TOKENS).items()
            if text not in own or self.tokenizer.token_to_id(text) != number
        }

    def _place_tokens(self, tokens: dict[int, AddedToken], source: str) -> None:
        """Add tokens and check that they get the ids that a file gives them."""
        for number, token in sorted(tokens.items()):
            self.tokenizer.add_tokens([token])
            found = self.tokenizer.token_to_id(token.content)
            if found != number:
                raise ModelError(
                    f"{self._folder}: {bounded(token.content)!r} has id {number} in {source} and "
                    f"id {found} in the tokenizer; its files do not belong together"
                )

    def _compare_with_older_file(self) -> None:
        known = self.tokenizer.token_to_id
        others = [
            text for text, number in self._json(ADDED_TOKENS).items() if known(text) != number
        ]
        if others:
            self.warnings.append(
                f"{ADDED_TOKENS} disagrees with {TOKENIZER_CONFIG} about the ids of tokens; "
                f"the latter is used, as in transformers: {bounded(', '.join(others))}"
            )

    def _compare_with_class(self, own: list[str]) -> None:
        """Warn where transformers 5, which builds tokenizers by class, differs from the file.

        Args:
            own: tokens that the file adds.
        """
        kind = self._class
        if not self._is_qwen:
            if kind not in _GENERAL:
                self.warnings.append(
                    f"tokenizer_class {bounded(str(kind))} is not one of Qwen's: {TOKENIZER} is "
                    "used; transformers may follow the class instead"
                )
            return
        prefix = bool(self._config.get("add_prefix_space"))
        if _splitting(self.tokenizer) != _splitting(
            _with_qwen_splitting(Tokenizer(models.BPE()), self._words, prefix)
        ):
            self.warnings.append(
                f"{TOKENIZER} splits text differently from {kind or _DEFAULT_CLASS} with the "
                f"add_prefix_space of {TOKENIZER_CONFIG}; the former is used, transformers 5 "
                "follows the latter"
            )
        named = self._config.get(_DECODER)
        if named is not None:
            known = {*self.special.values(), *_extra(self._config), *map(_text, named.values())}
            others = [text for text in own if text not in known]
            if others:
                self.warnings.append(
                    f"{TOKENIZER} adds tokens that are missing from {_DECODER} in "
                    f"{TOKENIZER_CONFIG}; transformers 5 treats them as plain text: "
                    f"{bounded(', '.join(others))}"
                )

    def _named(self) -> dict[str, str]:
        """Special tokens by name; defaults only if the vocabulary has them."""
        found: dict[str, Any] = {}
        if self._is_qwen:
            known = self.tokenizer.token_to_id(_DEFAULT) is not None
            found = dict.fromkeys(_DEFAULT_NAMES, _DEFAULT if known else None)
        found |= {name: value for name, value in self._config.items() if name.endswith("_token")}
        extra = self._config.get("extra_special_tokens")
        found |= extra if isinstance(extra, dict) else {}
        ordered = [*(name for name in _NAMES if name in found), *found]
        texts = {name: _text(found[name]) for name in dict.fromkeys(ordered)}
        return {name: text for name, text in texts.items() if text is not None}

    def _add(self) -> None:
        """Mark special tokens, and add those that no file lists."""
        known = self._added()
        for text in [*self.special.values(), *_extra(self._config)]:
            token = known.get(text)
            if token is None or self._is_qwen:
                self.tokenizer.add_tokens([AddedToken(text, special=True)])
            elif text in self.special.values() and not token.special:
                token.special = True
                self.tokenizer.add_tokens([token])

    @property
    def _is_qwen(self) -> bool:
        """Whether transformers uses a tokenizer class of Qwen, not the general one."""
        return self._class in _QWEN

    def _added(self) -> dict[str, Any]:
        listed = self.tokenizer.get_added_tokens_decoder().values()
        return {token.content: token for token in listed}

    def _json(self, name: str) -> dict[str, Any]:
        return read_json(os.path.join(self._folder, name)) or {}


def _text(token: Any) -> str | None:  # noqa: ANN401
    """Text of a token, which is given as text or as an object with flags."""
    text = token.get("content") if isinstance(token, dict) else token
    return text if isinstance(text, str) else None


def _extra(config: dict[str, Any]) -> list[str]:
    """Additional special tokens, which have no name."""
    for name in ("extra_special_tokens", "additional_special_tokens"):
        listed = config.get(name)
        if isinstance(listed, list) and listed:
            return [text for text in map(_text, listed) if text is not None]
    return []


def _library_tokenizer(folder: str, words: str) -> Any:  # noqa: ANN401
    """Load the tokenizer file, or else the vocabulary and the merges."""
    path, vocabulary, merges = (
        os.path.join(folder, name) for name in (TOKENIZER, VOCABULARY, MERGES)
    )
    try:
        if os.path.exists(path):
            tokenizer = Tokenizer.from_file(path)
        elif os.path.exists(vocabulary) and os.path.exists(merges):
            path = vocabulary
            tokenizer = _qwen_tokenizer(*models.BPE.read_file(vocabulary, merges), words)
        else:
            raise ModelError(f"{folder} has no {TOKENIZER}, nor {VOCABULARY} with {MERGES}")
    except ModelError:
        raise
    except Exception as error:  # the library raises no narrower class
        raise ModelError(f"{path} cannot be read: {error}") from error
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def _qwen_tokenizer(vocabulary: Any, merges: Any, words: str) -> Any:  # noqa: ANN401
    tokenizer = _with_qwen_splitting(Tokenizer(models.BPE(vocabulary, merges)), words)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def _with_qwen_splitting(tokenizer: Any, words: str, prefix: bool = False) -> Any:  # noqa: ANN401
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(words), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=prefix, use_regex=False),
        ]
    )
    return tokenizer


def _splitting(tokenizer: Any) -> list[str]:  # noqa: ANN401
    """Serialize how a tokenizer normalizes and splits text, for comparison."""
    steps = (tokenizer.normalizer, tokenizer.pre_tokenizer)
    return [_without_offsets(step.__getstate__()) if step else "" for step in steps]


def _without_offsets(state: bytes) -> str:
    """Serialize a step without `trim_offsets`: it affects only offsets, which are not used."""

    def kept(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        return {key: value for key, value in pairs if key != "trim_offsets"}

    return json.dumps(json.loads(state, object_pairs_hook=kept), sort_keys=True)
