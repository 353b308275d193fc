"""Half precision and rounded matrices: near to float32, windows and biases included."""

from pathlib import Path

import numpy as np
import pytest

from ppcli.models.families.prompt_layout import layout_mrope
from ppcli.models.model_choices import Device, Weights
from ppcli.models.onnx.directory import ModelDirectory
from ppcli.models.onnx.execution_device import ExecutionDevice
from ppcli.models.onnx.export import Export
from ppcli.models.onnx.sessions import open_sessions
from ppcli.models.serving.runner import Runner
from tests.models.families.qwen2_5_vl.tiny_qwen25 import TinyQwen25
from tests.models.random_images import IMAGE_TOKEN, ONE, patches, random_image
from tests.models.tiny_checkpoint import write_checkpoint

TINY = TinyQwen25(seed=3)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("checkpoint"), TINY)


def answer(checkpoint: Path, out: Path, dtype: str, weights: Weights) -> tuple[np.ndarray, ...]:
    """The embeddings of an image with pruned tiles, and the logits after a prompt with it."""
    Export(str(checkpoint), dtype, "a test", weights).write(str(out))
    model = ModelDirectory.open(str(out))
    runner = Runner(model, open_sessions(model, ExecutionDevice(Device.CPU)))
    image = random_image((5, 7), 0, 0.5, TINY.patch_values)
    prompt = layout_mrope(ONE, IMAGE_TOKEN, [image.keep])
    runner.reserve(prompt.length)
    features = runner.embed(patches([image], TINY))
    return features["image_embeds"], runner.prefill(prompt, features)


@pytest.mark.parametrize(
    ("dtype", "weights", "share"),
    [("float16", Weights.FLOAT, 0.01), ("float32", Weights.INT8, 0.1)],
)
def test_they_stay_near(checkpoint: Path, tmp_path: Path, dtype, weights, share) -> None:
    exact = answer(checkpoint, tmp_path / "exact", "float32", Weights.FLOAT)
    near = answer(checkpoint, tmp_path / "near", dtype, weights)
    for ours, expected in zip(near, exact, strict=True):
        assert np.abs(ours - expected).max() < share * np.abs(expected).max()
    assert not np.array_equal(near[1], exact[1])
