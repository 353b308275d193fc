"""Runs the two graphs of a model, for several sequences at once."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import psutil
from numpy.typing import NDArray

from ppcli.errors import ErrorCode, ImageError, internal_error, pluralize
from ppcli.models.families.base import ImageFeature
from ppcli.models.families.prompt_layout import PromptLayout
from ppcli.models.kept_patches import KeptPatches
from ppcli.models.model_choices import Device
from ppcli.models.onnx.directory import ModelDirectory
from ppcli.models.onnx.sessions import Sessions
from ppcli.models.serving.slot_caches import SlotCaches

Floats = NDArray[np.float32]
Features = dict[str, Floats]
PREFILL_CHUNK = 1024
_SPARE_SHARE = 0.1  # of the available memory, which is not used


class Runner:
    """Runs the vision graph for images, and the decoder graph for prefills and steps.

    Args of the constructor:
        model: the model directory.
        sessions: its graphs.

    Attributes:
        dtype: of the model: float32, float16 or bfloat16.
    """

    def __init__(self, model: ModelDirectory, sessions: Sessions) -> None:
        self._config = model.config
        self._features = model.config.image_features
        self._sessions = sessions
        self.dtype = model.manifest.dtype
        self._caches = SlotCaches(model.config.caches, self.dtype, sessions.device)

    @property
    def device(self) -> Device:
        """Where the graphs run."""
        return self._sessions.device.kind

    @property
    def slots(self) -> int:
        """Sequences that there is room for."""
        return self._caches.slots

    @property
    def length(self) -> int:
        """Tokens that each of them has room for."""
        return self._caches.length

    @property
    def free_bytes(self) -> int | None:
        """Memory that caches may use, including the present ones; None if it is not known."""
        if self.device is not Device.CPU:
            return None
        free = psutil.virtual_memory().available * (1 - _SPARE_SHARE)
        return int(free) + self.cache_bytes(self.slots, self.length)

    def cache_bytes(self, slots: int, length: int) -> int:
        """The size of the caches of so many sequences of so many tokens."""
        return self._caches.bytes_for(slots, length)

    def slots_within(self, available: int, length: int) -> int:
        """How many sequences of so many tokens have caches that fit into so many bytes."""
        return self._caches.slots_within(available, length)

    def reserve(self, length: int, slots: int = 1) -> None:
        """Allocate caches, unless those that exist have this size; their content is lost.

        Args:
            length: tokens of each sequence.
            slots: number of sequences.

        Raises:
            ImageError: `out_of_memory`.
        """
        if length == self.length and slots == self.slots:
            return
        needed, free = self.cache_bytes(slots, length), self.free_bytes
        self._caches.free()
        if free is not None and needed > free:
            raise _too_little_memory(slots, length, needed)
        try:
            self._caches.allocate(slots, length)
        except Exception as error:  # of onnxruntime, whose errors have no common base class
            raise _too_little_memory(slots, length, needed) from error

    def embed(self, images: Sequence[KeptPatches]) -> Features:
        """Run the vision transformer on each image.

        Returns:
            The image features by name, float32, with the tokens of all images on one axis.

        Raises:
            ImageError: `out_of_memory` or `internal`.
        """
        names = [feature.name for feature in self._features]
        parts = [[_no_tokens(feature)] for feature in self._features]
        for image in images:
            with _as_image_errors():
                out = self._sessions.vision.run(
                    names, {"pixel_values": image.pixel_values, **image.inputs}
                )
            for of_feature, array in zip(parts, out, strict=True):
                of_feature.append(array)
        return {
            feature.name: np.concatenate(of_feature, axis=feature.token_axis)
            for feature, of_feature in zip(self._features, parts, strict=True)
        }

    def prefill(self, prompt: PromptLayout, features: Features, slot: int = 0) -> Floats:
        """Feed a whole prompt; return the logits (vocabulary,) after its last token."""
        logits = np.empty(0, np.float32)
        for start in range(0, prompt.length, PREFILL_CHUNK):
            logits = self.feed(prompt, start, features, slot)
        return logits

    def feed(self, prompt: PromptLayout, start: int, features: Features, slot: int) -> Floats:
        """Feed a chunk of a prompt; return the logits (vocabulary,) after its last token.

        Once the first chunk of a prompt was fed, its other chunks must be fed before another
        prompt is started; steps may run in between.

        Args:
            prompt: the whole prompt.
            start: index of the first token of the chunk; those before it have been fed.
            features: of all images of the prompt.
            slot: of the sequence.

        Raises:
            ImageError: `out_of_memory` or `internal`.
        """
        end = min(start + PREFILL_CHUNK, prompt.length)
        first, last = np.searchsorted(prompt.visual, (start, end))
        given = self._decoder_inputs(
            prompt.ids[None, start:end],
            prompt.positions[:, None, start:end],
            np.array([end]),
            prompt.visual[first:last] - start,
            {one.name: _tokens(one, features[one.name], first, last) for one in self._features},
        )
        binding = self._sessions.decoder.io_binding()
        self._caches.bind_prefill(binding, slot, starts=start == 0, ends=end == prompt.length)
        logits: Floats = self._run_decoder(binding, given)[0]
        return logits

    def step(
        self, tokens: Sequence[int], positions: Sequence[int], lengths: Sequence[int]
    ) -> Floats:
        """Feed one more token to each of the first slots; return the logits (slots, vocabulary).

        Args:
            tokens: for each slot.
            positions: of the tokens, the same on all axes.
            lengths: of the sequences, including these tokens.

        Raises:
            ImageError: `out_of_memory` or `internal`.
        """
        by_axis = np.array(positions, dtype=np.int64)[None, :, None]
        given = self._decoder_inputs(
            np.array(tokens, dtype=np.int64)[:, None],
            np.tile(by_axis, (self._config.position_axes, 1, 1)),
            np.array(lengths),
            np.empty(0, dtype=np.int64),
            {feature.name: _no_tokens(feature) for feature in self._features},
        )
        binding = self._sessions.decoder.io_binding()
        self._caches.bind_step(binding, len(tokens))
        return self._run_decoder(binding, given)

    @staticmethod
    def _decoder_inputs(
        ids: NDArray[np.int64],
        positions: NDArray[np.int64],
        lengths: NDArray[np.int64],
        visual: NDArray[np.int64],
        features: Features,
    ) -> dict[str, NDArray[Any]]:
        """All inputs but the caches."""
        return {
            "input_ids": np.ascontiguousarray(ids),
            "position_ids": np.ascontiguousarray(positions),
            "visual_idx": visual,
            "seqlens_k": (lengths - 1).astype(np.int32),
            "total_seq_len": np.array(lengths.max(), dtype=np.int32),
            **{name: np.ascontiguousarray(array) for name, array in features.items()},
        }

    def _run_decoder(self, binding: Any, given: dict[str, NDArray[Any]]) -> Floats:  # noqa: ANN401
        for name, array in given.items():
            binding.bind_cpu_input(name, array)
        binding.bind_output("logits", "cpu")
        with _as_image_errors():
            self._sessions.decoder.run_with_iobinding(binding)
            logits: Floats = binding.get_outputs()[-1].numpy()
        return logits


def _no_tokens(feature: ImageFeature) -> Floats:
    return np.empty([0 if size is None else size for size in feature.shape], np.float32)


def _tokens(feature: ImageFeature, array: Floats, first: int, last: int) -> Floats:
    """The part of a feature that belongs to some of the visual tokens."""
    return array[(*[slice(None)] * feature.token_axis, slice(first, last))]


def _too_little_memory(slots: int, length: int, needed: int) -> ImageError:
    return ImageError(
        ErrorCode.OUT_OF_MEMORY,
        f"the caches of {pluralize(slots, 'request')} of up to {length:,} tokens need "
        f"{needed / 1e9:,.2f} GB, more than is free; lower --max-new-tokens or "
        "--batch-size, or prune more",
    )


@contextmanager
def _as_image_errors() -> Iterator[None]:
    """Raise the errors of onnxruntime, which have no common base class, as errors of an input."""
    try:
        yield
    except Exception as error:
        if "alloc" in str(error):
            message = f"the model ran out of memory: {error}"
            raise ImageError(ErrorCode.OUT_OF_MEMORY, message) from error
        raise internal_error(error) from error
