"""Every answer as if it were alone, with the models of other families than test_batch.py's."""

from pathlib import Path

import pytest

from ppcli.models.model_choices import Device
from ppcli.models.onnx.directory import ModelDirectory
from ppcli.models.onnx.execution_device import ExecutionDevice
from ppcli.models.onnx.export import Export
from ppcli.models.onnx.sessions import Sessions, open_sessions
from ppcli.models.serving.answering_model import AnsweringModel
from tests.models.families.qwen2_5_vl.tiny_qwen25 import TinyQwen25
from tests.models.serving.batched_answers import answers, requests_of_many_kinds
from tests.models.tiny_checkpoint import write_checkpoint

MODELS = {"qwen2.5-vl": TinyQwen25(seed=13)}


@pytest.fixture(scope="module", params=MODELS)
def opened(request, tmp_path_factory: pytest.TempPathFactory) -> tuple[ModelDirectory, Sessions]:
    folder: Path = tmp_path_factory.mktemp("model")
    write_checkpoint(folder / "checkpoint", MODELS[request.param])
    Export(str(folder / "checkpoint"), "float32", "a test").write(str(folder / "model"))
    model = ModelDirectory.open(str(folder / "model"))
    return model, open_sessions(model, ExecutionDevice(Device.CPU))


def test_answers_do_not_depend_on_the_batch(opened) -> None:
    requests = requests_of_many_kinds(opened[0].config.tile)
    alone = {}
    for number in range(len(requests)):
        alone |= answers(AnsweringModel(*opened), requests, [number])
    del alone[-1]
    assert all(row["status"] == "ok" for row in alone.values())
    assert len({row["answer"] for row in alone.values()}) > 7
    for size in (1, 2, 4, 7):
        for order in (list(range(len(requests))), list(range(len(requests)))[::-1]):
            found = answers(AnsweringModel(*opened, batch_size=size), requests, order)
            most = found.pop(-1)
            assert found == alone
            assert 1 < most["most at once"] <= size or size == 1
