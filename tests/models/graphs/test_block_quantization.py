"""Rounded matrices: by themselves, in onnxruntime's operator, and in a whole model."""

from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from onnx import TensorProto, helper, numpy_helper

from ppcli.models.families.prompt_layout import layout_mrope
from ppcli.models.graphs.block_quantization import BLOCK, quantize
from ppcli.models.model_choices import Device, Weights
from ppcli.models.onnx.directory import ModelDirectory
from ppcli.models.onnx.execution_device import ExecutionDevice
from ppcli.models.onnx.export import Export
from ppcli.models.onnx.sessions import open_sessions
from ppcli.models.serving.runner import Runner
from tests.models.random_images import IMAGE_TOKEN, ONE, patches, random_image
from tests.models.tiny_checkpoint import Tiny, write_checkpoint

matrices = st.tuples(st.integers(1, 4), st.integers(1, 70)).flatmap(
    lambda shape: arrays(np.float32, shape, elements=st.floats(-100, 100, width=32))
)


def restored(weight: np.ndarray, bits: int) -> np.ndarray:
    """What the rounded matrix stands for."""
    levels, scales = quantize(weight, bits)
    if bits == 4:
        pairs = np.stack([levels & 15, levels >> 4], axis=-1)
        levels = pairs.reshape(*levels.shape[:2], BLOCK)
    values = (levels.astype(np.float32) - 2 ** (bits - 1)) * scales[:, :, None]
    return values.reshape(len(weight), -1)[:, : weight.shape[1]]


@given(matrices, st.sampled_from([4, 8]))
def test_nothing_moves_by_more_than_a_step(weight, bits: int) -> None:
    _, scales = quantize(weight, bits)
    steps = np.abs(scales).repeat(BLOCK, axis=1)[:, : weight.shape[1]]
    assert (np.abs(restored(weight, bits) - weight) <= steps * 1.001 + 1e-30).all()


@given(matrices, st.sampled_from([4, 8]))
def test_rounding_twice_changes_nothing(weight, bits: int) -> None:
    once = restored(weight, bits)
    assert np.allclose(restored(once, bits), once, rtol=1e-5, atol=1e-30)


def product(x: np.ndarray, weight: np.ndarray, bits: int, accuracy_level: int) -> np.ndarray:
    """x·Wᵀ by the operator."""
    levels, scales = quantize(weight, bits)
    outputs, inputs = weight.shape
    node = helper.make_node(
        "MatMulNBits",
        ["x", "levels", "scales"],
        ["y"],
        domain="com.microsoft",
        N=outputs,
        K=inputs,
        bits=bits,
        block_size=BLOCK,
        accuracy_level=accuracy_level,
    )
    graph = helper.make_graph(
        [node],
        "one",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, x.shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [len(x), outputs])],
        [
            numpy_helper.from_array(levels, "levels"),
            numpy_helper.from_array(scales.reshape(-1), "scales"),
        ],
    )
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"x": x})[0]


@pytest.mark.parametrize("bits", [4, 8])
def test_onnxruntime_reads_it_that_way(bits: int) -> None:
    random = np.random.default_rng(0)
    weight = random.standard_normal((5, 96)).astype(np.float32)
    x = random.standard_normal((3, 96)).astype(np.float32)
    expected = x @ restored(weight, bits).T
    assert np.allclose(product(x, weight, bits, 0), expected, atol=1e-4)
    near = product(x, weight, bits, 4)  # as in our graphs: activations are rounded, too
    assert 0 < np.abs(near - expected).max() < 0.02 * np.abs(expected).max()


@pytest.mark.oracle
@pytest.mark.parametrize("weights", [Weights.INT8, Weights.INT4])
@pytest.mark.parametrize("tied", [True, False])
def test_a_model_is_that_of_the_rounded_weights(tmp_path: Path, weights: Weights, tied) -> None:
    """Transformers with the same rounded matrices is the judge."""
    import torch

    from tests.models.reference import pruned_answer, transformers_model

    tiny = Tiny(tied=tied, bias=not tied, seed=5)
    checkpoint = write_checkpoint(tmp_path / "checkpoint", tiny)
    Export(str(checkpoint), "float32", "a test", weights).write(str(tmp_path / "model"))
    model = ModelDirectory.open(str(tmp_path / "model"))
    assert model.manifest.matrices == weights.value
    images = [random_image((3, 4), 1, 0.6)]
    prompt = layout_mrope(ONE, IMAGE_TOKEN, [one.keep for one in images])
    runner = Runner(model, open_sessions(model, ExecutionDevice(Device.CPU)))
    runner.reserve(prompt.length)
    ours = runner.prefill(prompt, runner.embed(patches(images, tiny)))
    reference = transformers_model(tiny)
    bits = 8 if weights is Weights.INT8 else 4
    with torch.no_grad():
        if tied:  # the head is rounded, the embeddings are not
            reference.lm_head.weight = torch.nn.Parameter(reference.lm_head.weight.clone())
        for name, module in reference.named_modules():
            if isinstance(module, torch.nn.Linear) and "visual" not in name:
                module.weight.copy_(torch.tensor(restored(module.weight.numpy(), bits)))
    rounded = pruned_answer(reference, ONE, images, 1).logits[0]
    exact = pruned_answer(transformers_model(tiny), ONE, images, 1).logits[0]
    from_rounded, from_exact = (np.abs(ours - one).max() for one in (rounded, exact))
    assert from_rounded < 0.08 * np.abs(rounded).max()  # the activations are rounded, too
    if weights is Weights.INT4:
        assert from_exact > 2 * from_rounded
