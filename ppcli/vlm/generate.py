"""Answers, token by token: vision, prefill in chunks, and single steps over shared buffers."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np
import onnxruntime as ort
import psutil
from numpy.typing import NDArray

from ppcli.errors import ErrorCode, ImageError, internal_error
from ppcli.vlm.choices import Device
from ppcli.vlm.directory import ModelDirectory
from ppcli.vlm.graph import TYPES
from ppcli.vlm.images import ImagePatches
from ppcli.vlm.positions import TokenPlaces
from ppcli.vlm.sampling import Sampler
from ppcli.vlm.sessions import Sessions

Floats = NDArray[np.float32]
PREFILL_CHUNK = 1024
_LENGTH_STEP = 256  # buffers grow by so many tokens
_SPARE_MEMORY = 0.9


class FinishReason(StrEnum):
    """Why an answer ended."""

    STOP = "stop"
    LENGTH = "length"


@dataclass(slots=True)
class Generated:
    """An answer, and the milliseconds it took.

    Attributes:
        tokens: the new ones, without the one that ended it.
        finish_reason: why it ended.
        vision_ms: of the vision transformer.
        prefill_ms: of the language model, until the first token.
        decode_ms: of the tokens after the first.
    """

    tokens: list[int] = field(default_factory=list)
    finish_reason: FinishReason = FinishReason.LENGTH
    vision_ms: float = 0.0
    prefill_ms: float = 0.0
    decode_ms: float = 0.0


@contextmanager
def _explained() -> Iterator[None]:
    """Turn what onnxruntime raises, in classes of its own that share no base, into ours."""
    try:
        yield
    except Exception as error:
        if "alloc" in str(error):
            raise ImageError(ErrorCode.OUT_OF_MEMORY, f"the model ran out: {error}") from error
        raise internal_error(error) from error


class Generator:
    """Runs one request after another on a model.

    Args of the constructor:
        model: the model directory.
        sessions: its graphs.
    """

    def __init__(self, model: ModelDirectory, sessions: Sessions) -> None:
        self._config = model.config
        self._end_tokens = model.end_tokens
        self._sessions = sessions
        self._type = TYPES[model.manifest.dtype][0]
        self._item_bytes: int = TYPES[model.manifest.dtype][1].itemsize
        self._device = sessions.device.value
        self._buffers: list[Any] = []
        self._length = 0

    def check_length(self, tokens: int, full_tokens: int, new_tokens: int) -> None:
        """See that a prompt of so many tokens, and an answer to it, can be held.

        Raises:
            ImageError: `context_too_long` or `out_of_memory`.
        """
        most = self._config.text.max_positions
        if full_tokens >= most:
            raise ImageError(
                ErrorCode.CONTEXT_TOO_LONG,
                f"the prompt takes {full_tokens:,} tokens, and the model has {most:,} positions",
            )
        needed = self._bytes_for(tokens + new_tokens)
        free = psutil.virtual_memory().available + self._bytes_for(self._length)
        if self._sessions.device is Device.CPU and needed > _SPARE_MEMORY * free:
            raise ImageError(
                ErrorCode.OUT_OF_MEMORY,
                f"keys and values of {tokens + new_tokens:,} tokens take {needed / 1e9:,.1f} GB, "
                f"and {free / 1e9:,.1f} GB are free; lower --max-new-tokens or prune more",
            )

    def generate(
        self,
        images: Sequence[ImagePatches],
        prompt: TokenPlaces,
        max_new_tokens: int,
        sampler: Sampler,
        on_token: Callable[[int], None] = lambda _: None,
    ) -> Generated:
        """Answer one prompt.

        Args:
            images: in the order of their tokens in the prompt.
            prompt: the tokens that are fed.
            max_new_tokens: the most that the answer has.
            sampler: chooses each token.
            on_token: told of each token of the answer as it comes.

        Raises:
            ImageError: `context_too_long`, or `out_of_memory`.
        """
        self.check_length(prompt.length, prompt.full_length, max_new_tokens)
        room = self._config.text.max_positions - prompt.full_length
        max_new_tokens = min(max_new_tokens, room)
        made = Generated()
        started = time.perf_counter()
        embeds = self.embed(images)
        seen = time.perf_counter()
        self.reserve(prompt.length + max_new_tokens)
        token = sampler(self.prefill(prompt, *embeds))
        first = time.perf_counter()
        while True:
            if token in self._end_tokens:
                made.finish_reason = FinishReason.STOP
                break
            made.tokens.append(token)
            on_token(token)
            count = len(made.tokens)
            if count == max_new_tokens:
                break
            position = prompt.next_position + count - 1
            token = sampler(self.step(token, position, prompt.length + count - 1))
        ended = time.perf_counter()
        made.vision_ms = (seen - started) * 1000
        made.prefill_ms = (first - seen) * 1000
        made.decode_ms = (ended - first) * 1000
        return made

    def embed(self, images: Sequence[ImagePatches]) -> tuple[Floats, Floats]:
        """Run the vision transformer on each image.

        Returns:
            float32 (V, H), and (layers, V, H) for the first layers of the language model.
        """
        hidden = self._config.text.hidden_size
        layers = len(self._config.vision.deepstack)
        embeds, deepstack = (
            [np.empty((0, hidden), np.float32)],
            [np.empty((layers, 0, hidden), np.float32)],
        )
        for image in images:
            given = {
                "pixel_values": image.pixel_values,
                "pos_hw": image.places.pos_hw,
                "interp_idx": image.places.interp_idx,
                "interp_w": image.places.interp_w,
            }
            with _explained():
                out = self._sessions.vision.run(None, given)
            embeds.append(out[0])
            if layers:
                deepstack.append(out[1])
        return np.concatenate(embeds), np.concatenate(deepstack, axis=1)

    def reserve(self, tokens: int) -> None:
        """Have buffers for the keys and values of so many tokens.

        Raises:
            ImageError: `out_of_memory`.
        """
        if tokens <= self._length:
            return
        text = self._config.text
        length = tokens + -tokens % _LENGTH_STEP
        shape = [1, text.num_kv_heads, length, text.head_size]
        self._buffers, self._length = [], 0
        try:
            for _ in range(2 * text.num_layers):
                buffer = ort.OrtValue.ortvalue_from_shape_and_type(
                    shape, self._type, self._device, self._sessions.device_id
                )
                self._buffers.append(buffer)
        except Exception as error:  # of onnxruntime, which has no common class for them
            self._buffers = []
            raise ImageError(
                ErrorCode.OUT_OF_MEMORY,
                f"keys and values of {length:,} tokens take "
                f"{self._bytes_for(length) / 1e9:,.1f} GB, which the {self._device} does not have",
            ) from error
        self._length = length

    def prefill(self, prompt: TokenPlaces, embeds: Floats, deepstack: Floats) -> Floats:
        """Feed a prompt, a chunk at a time; logits (vocabulary) after its last token."""
        logits = np.empty(0, np.float32)
        for start in range(0, prompt.length, PREFILL_CHUNK):
            end = min(start + PREFILL_CHUNK, prompt.length)
            first, last = np.searchsorted(prompt.visual, (start, end))
            logits = self._run(
                prompt.ids[start:end],
                prompt.positions[:, start:end],
                prompt.visual[first:last] - start,
                embeds[first:last],
                deepstack[:, first:last],
                start,
            )
        return logits

    def step(self, token: int, position: int, past: int) -> Floats:
        """Feed one more token of the answer; logits (vocabulary) after it.

        Args:
            token: its id.
            position: of M-RoPE.
            past: how many tokens were fed before.
        """
        hidden = self._config.text.hidden_size
        return self._run(
            np.array([token], dtype=np.int64),
            np.full((3, 1), position, dtype=np.int64),
            np.empty(0, dtype=np.int64),
            np.empty((0, hidden), dtype=np.float32),
            np.empty((len(self._config.vision.deepstack), 0, hidden), dtype=np.float32),
            past,
        )

    def _run(
        self,
        ids: NDArray[np.int64],
        positions: NDArray[np.int64],
        visual: NDArray[np.int64],
        embeds: Floats,
        deepstack: Floats,
        past: int,
    ) -> Floats:
        total = past + ids.size
        given = {
            "input_ids": ids[None],
            "position_ids": np.ascontiguousarray(positions[:, None]),
            "visual_idx": visual,
            "image_embeds": embeds,
            "seqlens_k": np.array([total - 1], dtype=np.int32),
            "total_seq_len": np.array(total, dtype=np.int32),
        }
        if self._config.vision.deepstack:
            given["deepstack"] = np.ascontiguousarray(deepstack)
        binding = self._sessions.decoder.io_binding()
        for name, array in given.items():
            binding.bind_cpu_input(name, array)
        for place, buffer in enumerate(self._buffers):
            name = f"{place // 2}.{('key', 'value')[place % 2]}"
            binding.bind_ortvalue_input(f"past_{name}", buffer)
            binding.bind_ortvalue_output(f"present_{name}", buffer)
        binding.bind_output("logits", "cpu")
        with _explained():
            self._sessions.decoder.run_with_iobinding(binding)
        logits: Floats = binding.get_outputs()[-1].numpy()[0]
        return logits

    def _bytes_for(self, tokens: int) -> int:
        text = self._config.text
        values = 2 * text.num_layers * text.num_kv_heads * text.head_size
        return values * tokens * self._item_bytes
