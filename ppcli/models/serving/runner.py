"""The two graphs of a model, and the keys and values of several requests in slots of one buffer."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import onnxruntime as ort
import psutil
from numpy.typing import NDArray

from ppcli.errors import ErrorCode, ImageError, internal_error
from ppcli.models.families.qwen3_vl.positions import TokenPlaces
from ppcli.models.model_choices import Device
from ppcli.models.onnx.directory import ModelDirectory
from ppcli.models.onnx.graph import TYPES
from ppcli.models.onnx.sessions import Sessions
from ppcli.models.serving.image_patches import ImagePatches

Floats = NDArray[np.float32]
PREFILL_CHUNK = 1024
_SPARE_SHARE = 0.1  # of the free memory is left alone


class Runner:
    """Runs the graphs.

    The keys and values of all layers lie in buffers (slots, heads, length, head), which the
    decoder reads and writes in place: a prefill is bound to the part of its slot, a step to the
    parts of the first slots together.

    Args of the constructor:
        model: the model directory.
        sessions: its graphs.

    Attributes:
        kind: of its numbers: float32, float16 or bfloat16.
    """

    def __init__(self, model: ModelDirectory, sessions: Sessions) -> None:
        self._text = model.config.text
        self._deep_layers = len(model.config.vision.deepstack)
        self._sessions = sessions
        self.kind = model.manifest.dtype
        self._type, kind = TYPES[self.kind]
        row = self._text.num_kv_heads * self._text.head_size
        self._bytes_of_slot_row = row * int(kind.itemsize)
        self._buffers: list[Any] = []
        self.slots = 0
        self.length = 0

    @property
    def device(self) -> Device:
        """Where the graphs run."""
        return self._sessions.place.device

    @property
    def bytes_of_token(self) -> int:
        """Of the keys and values of one token, in all layers."""
        return 2 * self._text.num_layers * self._bytes_of_slot_row

    @property
    def free_bytes(self) -> int | None:
        """What buffers may take of the memory, those that are there included; None if unknown."""
        if self._sessions.place.device is not Device.CPU:
            return None
        free = psutil.virtual_memory().available * (1 - _SPARE_SHARE)
        return int(free) + self.slots * self.length * self.bytes_of_token

    def reserve(self, length: int, slots: int = 1) -> None:
        """Have buffers for so many slots of so many tokens; what they held is lost.

        Raises:
            ImageError: `out_of_memory`.
        """
        if length == self.length and slots == self.slots:
            return
        needed = slots * length * self.bytes_of_token
        free = self.free_bytes
        self._buffers, self.slots, self.length = [], 0, 0
        if free is not None and needed > free:
            raise _too_little_memory(slots, length, needed)
        shape = [slots, self._text.num_kv_heads, length, self._text.head_size]
        device, number = self._sessions.place.device.value, self._sessions.place.device_id
        try:
            for _ in range(2 * self._text.num_layers):
                self._buffers.append(
                    ort.OrtValue.ortvalue_from_shape_and_type(shape, self._type, device, number)
                )
        except Exception as error:  # of onnxruntime, which has no common class for them
            self._buffers = []
            raise _too_little_memory(slots, length, needed) from error
        self.slots, self.length = slots, length

    def embed(self, images: Sequence[ImagePatches]) -> tuple[Floats, Floats]:
        """Run the vision transformer on each image.

        Returns:
            float32 (V, H), and (layers, V, H) for the first layers of the language model.

        Raises:
            ImageError: `out_of_memory` or `internal`.
        """
        hidden = self._text.hidden_size
        embeds = [np.empty((0, hidden), np.float32)]
        deepstack = [np.empty((self._deep_layers, 0, hidden), np.float32)]
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
            if self._deep_layers:
                deepstack.append(out[1])
        return np.concatenate(embeds), np.concatenate(deepstack, axis=1)

    def prefill(
        self, prompt: TokenPlaces, embeds: Floats, deepstack: Floats, slot: int = 0
    ) -> Floats:
        """Feed a whole prompt; logits (vocabulary) after its last token."""
        logits = np.empty(0, np.float32)
        for start in range(0, prompt.length, PREFILL_CHUNK):
            logits = self.feed(prompt, start, embeds, deepstack, slot)
        return logits

    def feed(
        self, prompt: TokenPlaces, start: int, embeds: Floats, deepstack: Floats, slot: int
    ) -> Floats:
        """Feed one chunk of a prompt into a slot; logits (vocabulary) after its last token.

        Args:
            prompt: the whole of it.
            start: the first token of the chunk; all before it are fed.
            embeds: of all its tiles.
            deepstack: likewise.
            slot: where its keys and values go.

        Raises:
            ImageError: `out_of_memory` or `internal`.
        """
        end = min(start + PREFILL_CHUNK, prompt.length)
        first, last = np.searchsorted(prompt.visual, (start, end))
        visual = prompt.visual[first:last] - start, embeds[first:last], deepstack[:, first:last]
        ids, positions = prompt.ids[None, start:end], prompt.positions[:, None, start:end]
        logits: Floats = self._run(ids, positions, np.array([end]), slot, visual)[0]
        return logits

    def step(
        self, tokens: Sequence[int], positions: Sequence[int], lengths: Sequence[int]
    ) -> Floats:
        """Feed one more token into each of the first slots; logits (slots, vocabulary).

        Args:
            tokens: of each slot.
            positions: of M-RoPE.
            lengths: of the slots, with these tokens.

        Raises:
            ImageError: `out_of_memory` or `internal`.
        """
        hidden = self._text.hidden_size
        none = (
            np.empty(0, dtype=np.int64),
            np.empty((0, hidden), dtype=np.float32),
            np.empty((self._deep_layers, 0, hidden), dtype=np.float32),
        )
        places = np.tile(np.array(positions, dtype=np.int64)[None, :, None], (3, 1, 1))
        ids = np.array(tokens, dtype=np.int64)[:, None]
        return self._run(ids, places, np.array(lengths), 0, none)

    def _run(
        self,
        ids: NDArray[np.int64],
        positions: NDArray[np.int64],
        lengths: NDArray[np.int64],
        slot: int,
        visual: tuple[NDArray[np.int64], Floats, Floats],
    ) -> Floats:
        given: dict[str, NDArray[Any]] = {
            "input_ids": np.ascontiguousarray(ids),
            "position_ids": np.ascontiguousarray(positions),
            "visual_idx": visual[0],
            "image_embeds": visual[1],
            "seqlens_k": (lengths - 1).astype(np.int32),
            "total_seq_len": np.array(lengths.max(), dtype=np.int32),
        }
        if self._deep_layers:
            given["deepstack"] = np.ascontiguousarray(visual[2])
        binding = self._sessions.decoder.io_binding()
        for name, array in given.items():
            binding.bind_cpu_input(name, array)
        self._bind_slots(binding, slot, len(ids))
        binding.bind_output("logits", "cpu")
        with _explained():
            self._sessions.decoder.run_with_iobinding(binding)
            logits: Floats = binding.get_outputs()[-1].numpy()
        return logits

    def _bind_slots(self, binding: Any, first: int, count: int) -> None:  # noqa: ANN401
        shape = [count, self._text.num_kv_heads, self.length, self._text.head_size]
        offset = first * self.length * self._bytes_of_slot_row
        where = (
            self._sessions.place.device.value,
            self._sessions.place.device_id,
            self._type,
            shape,
        )
        for place, buffer in enumerate(self._buffers):
            name = f"{place // 2}.{('key', 'value')[place % 2]}"
            binding.bind_input(f"past_{name}", *where, buffer.data_ptr() + offset)
            binding.bind_output(f"present_{name}", *where, buffer.data_ptr() + offset)


def _too_little_memory(slots: int, length: int, needed: int) -> ImageError:
    return ImageError(
        ErrorCode.OUT_OF_MEMORY,
        f"keys and values of {slots:,} × {length:,} tokens take {needed / 1e9:,.2f} GB, which are "
        "not free; lower --max-new-tokens or --batch-size, or prune more",
    )


@contextmanager
def _explained() -> Iterator[None]:
    """Turn what onnxruntime raises, in classes of its own that share no base, into ours."""
    try:
        yield
    except Exception as error:
        if "alloc" in str(error):
            raise ImageError(ErrorCode.OUT_OF_MEMORY, f"the model ran out: {error}") from error
        raise internal_error(error) from error
