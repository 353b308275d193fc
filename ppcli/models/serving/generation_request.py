"""What a model is asked to generate: prompt, limits and sampling settings."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import xxhash

from ppcli.errors import UsageError
from ppcli.models.model_choices import Think
from ppcli.models.serving.sampling import Sampler, Sampling
from ppcli.models.text.answer_reader import AnswerReader
from ppcli.models.text.chat_tokenizer import ChatTokenizer, Message

_ALWAYS_IN_CONFIG = frozenset(
    ("prompt", "system", "max_new_tokens", "temperature", "top_p", "seed")
)  # the configurations of all datasets have these; later settings appear only when changed


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """A prompt and how to answer it, without the images.

    Attributes:
        prompt: text after the images.
        system: system message; None for none.
        max_new_tokens: maximum tokens to generate.
        temperature, top_p, top_k, min_p: see `Sampling`.
        repetition_penalty, presence_penalty: see `Sampling`.
        seed: seed of the sampler. It is mixed with the request's identity unless
            `has_own_seed`, so that the requests of one run draw differently.
        has_own_seed: the seed was set for this request alone.
        messages: the whole conversation, with one part of type `image` for each image. Replaces
            `prompt` and `system`.
        stop: texts that end the answer. The answer does not contain them.
        keep_special_tokens: keep special tokens in the answer.
        think: what happens to the model's thinking.
        server_fields: more fields for a server, sent unchanged.

    Raises:
        UsageError: a setting is out of range.
    """

    prompt: str
    system: str | None = None
    max_new_tokens: int = 256
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0
    has_own_seed: bool = False
    messages: list[Message] | None = None
    top_k: int = 0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    presence_penalty: float = 0.0
    stop: tuple[str, ...] = ()
    keep_special_tokens: bool = False
    think: Think = Think.KEEP
    server_fields: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.max_new_tokens < 1:
            raise UsageError(f"max new tokens is {self.max_new_tokens}; it must be 1 or more")
        if "" in self.stop:
            raise UsageError("a stop text is empty; it would end every answer at once")
        Sampler(self.sampling, (self.seed,))

    @property
    def sampling(self) -> Sampling:
        """The settings that choose each token."""
        return Sampling(**{one.name: getattr(self, one.name) for one in fields(Sampling)})

    def sampler(self, identity: str, prompt_ids: Sequence[int]) -> Sampler:
        """Return the sampler of this request, independent of order and of other requests.

        Args:
            identity: identity of the request.
            prompt_ids: token ids of the prompt, with one token for each image, so that they do
                not depend on how many tiles are kept.
        """
        seed: tuple[int, ...] = (self.seed,)
        if not self.has_own_seed:
            seed = (self.seed, xxhash.xxh3_64_intdigest(identity.encode()))
        return Sampler(self.sampling, seed, prompt_ids)

    def reader(self, chat_tokenizer: ChatTokenizer, prompt: str = "") -> AnswerReader:
        """Return the reader of the answer to a rendered prompt.

        Raises:
            UsageError: a stop text can never occur in an answer.
        """
        return AnswerReader(chat_tokenizer, prompt, self.stop, self.keep_special_tokens, self.think)

    def as_config(self) -> dict[str, Any]:
        """Return the settings that answers depend on, for a dataset's configuration."""
        default = GenerationRequest(self.prompt)
        config = asdict(self) | {"stop": list(self.stop)}
        for name in ("has_own_seed", "messages", "server_fields"):  # of single requests
            del config[name]
        return {
            name: value
            for name, value in config.items()
            if name in _ALWAYS_IN_CONFIG or getattr(self, name) != getattr(default, name)
        }
