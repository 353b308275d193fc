"""Rounded matrices: by themselves, in onnxruntime's operator, and in a whole model."""

from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from onnx import TensorProto, helper

from ppcli.vlm.choices import Device, Weights
from ppcli.vlm.directory import ModelDirectory
from ppcli.vlm.export import Export
from ppcli.vlm.positions import token_places
from ppcli.vlm.quantize import BLOCK, quantized
from ppcli.vlm.runner import Runner
from ppcli.vlm.sessions import Place, open_sessions
from tests.vlm.checkpoints import Tiny, write_checkpoint
from tests.vlm.reference import IMAGE_TOKEN, pruned_answer, random_image
from tests.vlm.test_parity import ONE, our_answer, patches

matrices = st.tuples(st.integers(1, 4), st.integers(1, 70)).flatmap(
    lambda shape: arrays(np.float32, shape, elements=st.floats(-100, 100, width=32))
)


def restored(weight: np.ndarray, bits: int) -> np.ndarray:
    """What the rounded matrix stands for."""
    levels, scales = quantized(weight, bits)
    if bits == 4:
        pairs = np.stack([levels & 15, levels >> 4], axis=-1)
        levels = pairs.reshape(*levels.shape[:2], BLOCK)
    values = (levels.astype(np.float32) - 2 ** (bits - 1)) * scales[:, :, None]
    return values.reshape(len(weight), -1)[:, : weight.shape[1]]


@given(matrices, st.sampled_from([4, 8]))
def test_nothing_moves_by_more_than_a_step(weight, bits: int) -> None:
    _, scales = quantized(weight, bits)
    steps = np.abs(scales).repeat(BLOCK, axis=1)[:, : weight.shape[1]]
    assert (np.abs(restored(weight, bits) - weight) <= steps * 1.001 + 1e-30).all()


@given(matrices, st.sampled_from([4, 8]))
def test_rounding_twice_changes_nothing(weight, bits: int) -> None:
    once = restored(weight, bits)
    assert np.allclose(restored(once, bits), once, rtol=1e-5, atol=1e-30)


@pytest.mark.parametrize("bits", [4, 8])
def test_onnxruntime_reads_it_that_way(bits: int) -> None:
    random = np.random.default_rng(0)
    weight = random.standard_normal((5, 96)).astype(np.float32)
    levels, scales = quantized(weight, bits)
    node = helper.make_node(
        "MatMulNBits",
        ["x", "levels", "scales"],
        ["y"],
        domain="com.microsoft",
        **{"N": 5, "K": 96, "bits": bits, "block_size": BLOCK},
    )
    graph = helper.make_graph(
        [node],
        "one",
        [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, [3, 96]),
            helper.make_tensor_value_info("levels", TensorProto.UINT8, levels.shape),
            helper.make_tensor_value_info("scales", TensorProto.FLOAT, [scales.size]),
        ],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [3, 5])],
    )
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    x = random.standard_normal((3, 96)).astype(np.float32)
    (y,) = session.run(None, {"x": x, "levels": levels, "scales": scales.reshape(-1)})
    assert np.allclose(y, x @ restored(weight, bits).T, atol=1e-4)


@pytest.mark.parametrize("weights", [Weights.INT8, Weights.INT4])
@pytest.mark.parametrize("tied", [True, False])
def test_a_model_is_that_of_the_rounded_weights(tmp_path: Path, weights: Weights, tied) -> None:
    """Transformers with the same rounded matrices is the judge, token by token."""
    tiny = Tiny(tied=tied, bias=not tied, seed=5)
    checkpoint = write_checkpoint(tmp_path / "checkpoint", tiny)
    Export(str(checkpoint), "float32", "a test", weights).write(str(tmp_path / "model"))
    model = ModelDirectory.open(str(tmp_path / "model"))
    assert model.manifest.matrices == weights.value
    images = [random_image((3, 4), 1, 0.6)]
    prompt = token_places(ONE, IMAGE_TOKEN, [one.keep for one in images])
    runner = Runner(model, open_sessions(model, Place(Device.CPU)))
    ours = our_answer(runner, prompt, patches(images, tiny.side), 16)
    reference = tiny.model()
    bits = 8 if weights is Weights.INT8 else 4
    with torch.no_grad():
        if tied:  # the head is rounded, the embeddings are not
            reference.lm_head.weight = torch.nn.Parameter(reference.lm_head.weight.clone())
        for name, module in reference.named_modules():
            if isinstance(module, torch.nn.Linear) and "visual" not in name:
                module.weight.copy_(torch.tensor(restored(module.weight.numpy(), bits)))
    theirs = pruned_answer(reference, ONE, images, 16)
    assert ours.tokens == theirs.tokens
    worst = max(np.abs(a - b).max() for a, b in zip(ours.logits, theirs.logits, strict=True))
    assert worst < 1e-3
    exact = pruned_answer(tiny.model(), ONE, images, 1)
    assert np.abs(exact.logits[0] - ours.logits[0]).max() > 10 * worst
