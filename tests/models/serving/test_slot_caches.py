"""Recurrent states in slots, with a hand-made decoder that sums up the embeddings of its tokens."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnxruntime as ort
import pytest
from onnx import TensorProto

from ppcli.models.families.base import KeyValueCache, RecurrentState
from ppcli.models.families.prompt_layout import PromptLayout, layout_mrope
from ppcli.models.graphs.graph_builder import GraphBuilder, WeightFile
from ppcli.models.model_choices import Device
from ppcli.models.onnx.execution_device import ExecutionDevice
from ppcli.models.onnx.sessions import Sessions
from ppcli.models.serving import runner as runners
from ppcli.models.serving.runner import Runner
from ppcli.models.serving.slot_caches import SlotCaches

VOCABULARY, SIZE = 11, 3
STATE = RecurrentState(0, "state", (SIZE,))
CPU = ExecutionDevice(Device.CPU)
TABLE = np.random.default_rng(0).standard_normal((VOCABULARY, SIZE)).astype(np.float32)
HEAD = np.random.default_rng(1).standard_normal((VOCABULARY, SIZE)).astype(np.float32)


@pytest.fixture(scope="module")
def decoder(tmp_path_factory: pytest.TempPathFactory) -> ort.InferenceSession:
    """`present_0.state` is `past_0.state` and the sum of the embeddings of all new tokens."""
    folder: Path = tmp_path_factory.mktemp("decoder")
    with open(folder / "decoder.data", "wb") as file:
        g = GraphBuilder("decoder", "float32", WeightFile(file, "decoder.data"))
        ids = g.input("input_ids", TensorProto.INT64, ["B", "S"])
        g.input("position_ids", TensorProto.INT64, [3, "B", "S"])
        g.input("visual_idx", TensorProto.INT64, ["V"])
        g.input("seqlens_k", TensorProto.INT32, ["B"])
        g.input("total_seq_len", TensorProto.INT32, [])
        past, present = g.cache(STATE.tensors[0])
        embedded = g.op("Gather", g.weight("table", TABLE), ids)
        added = g.op("ReduceSum", embedded, g.integers(1), keepdims=0)
        g.add("Add", past, added, outputs=[present])
        g.output(g.linear(present, g.weight("head", HEAD)), "logits", TensorProto.FLOAT, ["B", 11])
        model = g.model()
    (folder / "decoder.onnx").write_bytes(model.SerializeToString())
    path = str(folder / "decoder.onnx")
    return ort.InferenceSession(path, providers=["CPUExecutionProvider"])


@pytest.fixture
def runner(decoder: ort.InferenceSession, monkeypatch: pytest.MonkeyPatch) -> Runner:
    """With room for three sequences, prefilled in chunks of four tokens."""
    monkeypatch.setattr(runners, "PREFILL_CHUNK", 4)
    config = SimpleNamespace(caches=[STATE], image_features=[], position_axes=3)
    model = SimpleNamespace(config=config, manifest=SimpleNamespace(dtype="float32"))
    made = Runner(model, Sessions(None, decoder, CPU))  # type: ignore[arg-type]
    made.reserve(64, slots=3)
    return made


def prompt(seed: int, length: int) -> PromptLayout:
    ids = np.random.default_rng(seed).integers(0, VOCABULARY, length).tolist()
    return layout_mrope(ids, -1, [])


def expected(*ids: int) -> np.ndarray:
    return TABLE[list(ids)].sum(axis=0) @ HEAD.T


def assert_close(ours: np.ndarray, theirs: np.ndarray) -> None:
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("length", [1, 4, 5, 13])
def test_chunks_carry_the_state_on(runner: Runner, length: int) -> None:
    one = prompt(length, length)
    assert_close(runner.prefill(one, {}, slot=1), expected(*one.ids))


def test_a_slot_is_zero_for_the_next_request(runner: Runner) -> None:
    for seed in range(3):
        one = prompt(seed, 6)
        assert_close(runner.prefill(one, {}, slot=2), expected(*one.ids))
        runner.step([1, 1, 1], [6] * 3, [7] * 3)


def test_steps_between_two_chunks_leave_a_prefill_alone(runner: Runner) -> None:
    """A step feeds a dummy token to the slot that is being prefilled."""
    first, second = prompt(1, 3), prompt(2, 10)
    runner.prefill(first, {}, slot=2)
    fed = list(first.ids)
    for start in range(0, 10, 4):
        logits = runner.feed(second, start, {}, slot=0)
        if start + 4 < 10:
            fed.append(5)
            assert_close(runner.step([0, 0, 5], [9] * 3, [4] * 3)[2], expected(*fed))
    assert_close(logits, expected(*second.ids))
    after = runner.step([7, 0, 8], [10] * 3, [11] * 3)
    assert_close(after[0], expected(*second.ids, 7))
    assert_close(after[2], expected(*fed, 8))


def test_a_second_prefill_before_the_first_is_finished_is_refused(runner: Runner) -> None:
    runner.feed(prompt(1, 10), 0, {}, slot=0)
    runner.feed(prompt(2, 10), 0, {}, slot=1)
    with pytest.raises(AssertionError, match="another prefill"):
        runner.feed(prompt(1, 10), 4, {}, slot=0)


def test_sizes_of_what_layers_declare() -> None:
    """A state has a spare row, and its size does not depend on the length."""
    caches = SlotCaches([KeyValueCache(0, 2, 5), STATE], "float16", CPU)
    keys_and_values, state = 2 * 2 * 5 * 2, SIZE * 2
    assert caches.bytes_for(3, 100) == 3 * 100 * keys_and_values + 4 * state
    assert caches.slots_within(caches.bytes_for(3, 100), 100) == 3
    assert caches.slots_within(caches.bytes_for(3, 100) - 1, 100) == 2
    exact = SlotCaches([RecurrentState(0, "state", (SIZE,), "float32")], "float16", CPU)
    assert exact.bytes_for(1, 100) == 2 * SIZE * 4
