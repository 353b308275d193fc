"""The tokenizer of a model, from all the files that know of its tokens."""

import json
import os
from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

from ppcli.errors import ModelError, bounded
from ppcli.models.model_files import read_json

TOKENIZER, TOKENIZER_CONFIG = "tokenizer.json", "tokenizer_config.json"
VOCABULARY, MERGES = "vocab.json", "merges.txt"
ADDED_TOKENS, SPECIAL_TOKENS = "added_tokens.json", "special_tokens_map.json"
TOKENIZER_FILES = (TOKENIZER, TOKENIZER_CONFIG, VOCABULARY, MERGES, ADDED_TOKENS, SPECIAL_TOKENS)
_DECODER = "added_tokens_decoder"
_FLAGS = ("single_word", "lstrip", "rstrip", "normalized", "special")
_NAMES = [f"{name}_token" for name in ("bos", "eos", "unk", "sep", "pad", "cls", "mask")]
# Qwen's tokenizers call a token so where no file says otherwise; the general class has no defaults.
_DEFAULT, _DEFAULT_NAMES = "<|endoftext|>", ("eos_token", "unk_token", "pad_token")
_QWEN = (None, "Qwen2Tokenizer", "Qwen2TokenizerFast")  # a model of this kind has it by default
_GENERAL = ("PreTrainedTokenizerFast", "TokenizersBackend")
_WORDS = (  # how Qwen's tokenizers cut text into words
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}|"
    r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


class Tokens:
    """A tokenizer as transformers would make it of the same files.

    Args of the constructor:
        folder: a checkpoint or a model directory.

    Attributes:
        tokenizer: of the library.
        special: text of special tokens by name, `bos_token` and its like, for the chat template.
        warnings: a sentence for each thing that a file says and that is not followed.

    Raises:
        ModelError: when there is no tokenizer, it cannot be read, or its files disagree.
    """

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self.warnings: list[str] = []
        self._config = read_json(os.path.join(folder, TOKENIZER_CONFIG)) or {}
        self.tokenizer = _library_tokenizer(folder)
        own = list(self._added())
        try:
            if self._config.get(_DECODER) is not None:
                self._place(self._of_config(), TOKENIZER_CONFIG)
                self._compare_with_older_file()
            else:  # then transformers looks into the older files
                self._place(self._of_older_files(), ADDED_TOKENS)
            self.special = self._named()
            self._add()
            self._compare_with_class(own)
            self.tokenizer.encode_special_tokens = bool(self._config.get("split_special_tokens"))
        except (AttributeError, TypeError, ValueError, KeyError, OverflowError) as error:
            raise ModelError(
                f"{folder}: the tokens that are added to its tokenizer make no sense: "
                f"{bounded(repr(error))}"
            ) from error

    def _of_config(self) -> dict[int, AddedToken]:
        return {
            int(number): AddedToken(
                value["content"], **{name: flag for name, flag in value.items() if name in _FLAGS}
            )
            for number, value in self._config[_DECODER].items()
        }

    def _of_older_files(self) -> dict[int, AddedToken]:
        special = set(_extra(self._config))
        self._config |= self._json(SPECIAL_TOKENS)
        special.update(self._named().values())
        own = self._added()
        return {
            int(number): AddedToken(text, normalized=text not in special, special=text in special)
            for text, number in self._json(ADDED_TOKENS).items()
            if text not in own or self.tokenizer.token_to_id(text) != number
        }

    def _place(self, tokens: dict[int, AddedToken], source: str) -> None:
        """Add tokens where a file says that they belong."""
        for number, token in sorted(tokens.items()):
            self.tokenizer.add_tokens([token])
            found = self.tokenizer.token_to_id(token.content)
            if found != number:
                raise ModelError(
                    f"{self._folder}: {bounded(token.content)!r} is token {number} in {source}; "
                    f"the tokenizer would number it {found}; its files do not belong together"
                )

    def _compare_with_older_file(self) -> None:
        known = self.tokenizer.token_to_id
        others = [
            text for text, number in self._json(ADDED_TOKENS).items() if known(text) != number
        ]
        if others:
            self.warnings.append(
                f"{ADDED_TOKENS} names tokens otherwise than {TOKENIZER_CONFIG}, which is "
                f"followed, as transformers does: {bounded(', '.join(others))}"
            )

    def _compare_with_class(self, own: list[str]) -> None:
        """Tell where transformers 5, which makes a tokenizer by its class, does not go by its file.

        Args:
            own: tokens that its file adds.
        """
        kind = self._config.get("tokenizer_class")
        if not self._is_qwen:
            if kind not in _GENERAL:
                self.warnings.append(
                    f"tokenizer_class {bounded(str(kind))} is not one of Qwen's: {TOKENIZER} is "
                    "followed, and transformers may go by the class"
                )
            return
        prefix = bool(self._config.get("add_prefix_space"))
        if _cut(self.tokenizer) != _cut(_with_words_of_qwen(Tokenizer(models.BPE()), prefix)):
            self.warnings.append(
                f"{TOKENIZER} cuts text otherwise than {TOKENIZER_CONFIG} says (tokenizer_class, "
                "add_prefix_space); it is followed, and transformers 5 goes by the latter"
            )
        named = self._config.get(_DECODER)
        if named is not None:
            known = {*self.special.values(), *_extra(self._config), *map(_text, named.values())}
            others = [text for text in own if text not in known]
            if others:
                self.warnings.append(
                    f"{TOKENIZER} adds tokens that {_DECODER} of {TOKENIZER_CONFIG} does not name, "
                    f"and that are plain text to transformers 5: {bounded(', '.join(others))}"
                )

    def _named(self) -> dict[str, str]:
        """Special tokens by name; those that are so by default only where they are known."""
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
        """Mark tokens as special, and add those that no list has."""
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
        """Whether transformers takes its class for Qwen's, rather than the general one."""
        return self._config.get("tokenizer_class") in _QWEN

    def _added(self) -> dict[str, Any]:
        listed = self.tokenizer.get_added_tokens_decoder().values()
        return {token.content: token for token in listed}

    def _json(self, name: str) -> dict[str, Any]:
        return read_json(os.path.join(self._folder, name)) or {}


def _text(token: Any) -> str | None:  # noqa: ANN401
    """The text of a token, which is written as it is or with its flags."""
    text = token.get("content") if isinstance(token, dict) else token
    return text if isinstance(text, str) else None


def _extra(config: dict[str, Any]) -> list[str]:
    """Special tokens without a name."""
    for name in ("extra_special_tokens", "additional_special_tokens"):
        listed = config.get(name)
        if isinstance(listed, list) and listed:
            return [text for text in map(_text, listed) if text is not None]
    return []


def _library_tokenizer(folder: str) -> Any:  # noqa: ANN401
    """What the tokenizer's own file says, or else the vocabulary and its merges."""
    path, vocabulary, merges = (
        os.path.join(folder, name) for name in (TOKENIZER, VOCABULARY, MERGES)
    )
    try:
        if os.path.exists(path):
            tokenizer = Tokenizer.from_file(path)
        elif os.path.exists(vocabulary) and os.path.exists(merges):
            path = vocabulary
            tokenizer = _qwen_tokenizer(*models.BPE.read_file(vocabulary, merges))
        else:
            raise ModelError(f"{folder} has no {TOKENIZER}, nor {VOCABULARY} with {MERGES}")
    except ModelError:
        raise
    except Exception as error:  # the library raises nothing more special
        raise ModelError(f"{path} cannot be read: {error}") from error
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def _qwen_tokenizer(vocabulary: Any, merges: Any) -> Any:  # noqa: ANN401
    tokenizer = _with_words_of_qwen(Tokenizer(models.BPE(vocabulary, merges)))
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def _with_words_of_qwen(tokenizer: Any, prefix: bool = False) -> Any:  # noqa: ANN401
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_WORDS), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=prefix, use_regex=False),
        ]
    )
    return tokenizer


def _cut(tokenizer: Any) -> list[str]:  # noqa: ANN401
    """How a tokenizer cuts text into words, in a form that can be compared."""
    steps = (tokenizer.normalizer, tokenizer.pre_tokenizer)
    return [_without_offsets(step.__getstate__()) if step else "" for step in steps]


def _without_offsets(state: bytes) -> str:
    """What a step of a tokenizer does, but for the places of tokens, which nobody asks for."""

    def kept(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        return {key: value for key, value in pairs if key != "trim_offsets"}

    return json.dumps(json.loads(state, object_pairs_hook=kept), sort_keys=True)
