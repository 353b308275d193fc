"""Many requests at once: every answer as if it were alone, whoever else is there."""

import itertools
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ppcli.coding.coder_options import CoderOptions
from ppcli.coding.patchset import encode
from ppcli.errors import ErrorCode, ImageError, UsageError
from ppcli.models.model_choices import Device
from ppcli.models.onnx.directory import ModelDirectory
from ppcli.models.onnx.execution_device import ExecutionDevice
from ppcli.models.onnx.export import Export
from ppcli.models.onnx.sessions import Sessions, open_sessions
from ppcli.models.serving import batch as batches
from ppcli.models.serving import runner
from ppcli.models.serving.answering_model import AnsweringModel
from ppcli.models.serving.batch import Batch
from ppcli.models.serving.generation_request import GenerationRequest
from ppcli.store.rows import AnswerRow
from tests.models.answering import answered
from tests.models.families.qwen3_5.tiny_qwen3_5 import TinyQwen35
from tests.models.serving.batched_answers import answers, image, requests_of_many_kinds
from tests.models.tiny_checkpoint import Tiny, write_checkpoint
from tests.models.tiny_model import TinyModel


def family_name(tiny: TinyModel) -> str:
    return tiny.config()["model_type"]


@pytest.fixture(scope="module", params=[Tiny(seed=11), TinyQwen35(seed=12)], ids=family_name)
def model(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> ModelDirectory:
    folder: Path = tmp_path_factory.mktemp("model")
    write_checkpoint(folder / "checkpoint", request.param)
    Export(str(folder / "checkpoint"), "float32", "a test").write(str(folder / "model"))
    return ModelDirectory.open(str(folder / "model"))


@pytest.fixture(scope="module")
def sessions(model: ModelDirectory) -> Sessions:
    return open_sessions(model, ExecutionDevice(Device.CPU))


REQUESTS = requests_of_many_kinds(tile=32)


@pytest.fixture(scope="module")
def alone(model, sessions) -> dict[int, dict[str, Any]]:
    found = {}
    for number in range(len(REQUESTS)):
        engine = AnsweringModel(model, sessions)
        found |= answers(engine, REQUESTS, [number])
    del found[-1]
    assert all(row["status"] == "ok" for row in found.values())
    assert len({row["answer"] for row in found.values()}) > 7
    assert [n for n, row in found.items() if row["finish_reason"] == "stop"] == [10]
    return found


@pytest.mark.parametrize("size", [1, 2, 4, 7])
@pytest.mark.parametrize("backwards", [False, True])
def test_answers_do_not_depend_on_the_batch(model, sessions, alone, size, backwards) -> None:
    engine = AnsweringModel(model, sessions, batch_size=size)
    order = list(range(len(REQUESTS)))[:: -1 if backwards else 1]
    found = answers(engine, REQUESTS, order)
    most = found.pop(-1)
    assert found == alone
    assert 1 < most["most at once"] <= size or size == 1


@settings(max_examples=15)
@given(order=st.permutations(range(len(REQUESTS))), size=st.integers(2, 5))
def test_slots_are_reused_in_every_order(model, sessions, alone, order, size) -> None:
    engine = AnsweringModel(model, sessions, batch_size=size)
    for _ in range(2):  # the second time in slots that have all been used
        found = answers(engine, REQUESTS, list(order))
        del found[-1]
        assert found == alone


def test_the_same_prompt_over_very_different_images(model, sessions) -> None:
    asks = [
        (GenerationRequest("What is the total?", max_new_tokens=24), [image(s, (4, 4))])
        for s in range(12)
    ]
    single = [
        answered(AnsweringModel(model, sessions), AnswerRow(image_id="x"), *one) for one in asks
    ]
    engine = AnsweringModel(model, sessions, batch_size=4)
    found: dict[int, str] = {}
    waiting = list(enumerate(asks))
    while waiting or engine.batch.active:
        while waiting and not engine.batch.full:
            number, (ask, images) = waiting.pop(0)
            request = engine.start(AnswerRow(image_id="x"), ask, images)
            engine.batch.start((number, request), request.batch_request)
        for (number, request), made in engine.batch.step():
            found[number] = engine.finish(request, made).answer
    assert [found[number] for number in range(12)] == [row.answer for row in single]
    assert len(set(found.values())) > 6


def test_a_long_prefill_does_not_stall_the_others(model, sessions, monkeypatch) -> None:
    monkeypatch.setattr(runner, "PREFILL_CHUNK", 16)
    monkeypatch.setattr(batches, "PREFILL_CHUNK", 16)
    engine = AnsweringModel(model, sessions, batch_size=2)
    quick = engine.start(AnswerRow(), GenerationRequest("x", max_new_tokens=30), [])
    noise = np.random.default_rng(0).integers(0, 256, (320, 320, 3), dtype=np.uint8)
    slow = engine.start(AnswerRow(), GenerationRequest("x"), [encode(noise, 32, CoderOptions())])
    engine.batch.start("slow", slow.batch_request)
    engine.batch.step()
    engine.batch.start("quick", quick.batch_request)
    done: list[str] = []
    came: list[int] = []
    for step in itertools.count():
        done += [key for key, _ in engine.batch.step()]
        slots = engine.batch._slots
        came.append(len(slots[1].generated.tokens) if slots[1] else -1)
        if "quick" in done or step > 100:
            break
    assert "slow" not in done
    fed_while_it_decoded = [count for count in came if 0 < count < 30]
    assert len(fed_while_it_decoded) > 20


class Failing:
    """A runner whose steps fail when more than so many are active."""

    def __init__(self, real: runner.Runner, most: int) -> None:
        self._real, self._most = real, most
        self.failed = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def step(self, tokens, positions, lengths) -> Any:
        if len(tokens) > self._most:
            self.failed += 1
            raise ImageError(ErrorCode.OUT_OF_MEMORY, "too many")
        return self._real.step(tokens, positions, lengths)


@pytest.mark.parametrize("most", [1, 2, 3])
def test_a_step_that_fails_is_tried_with_fewer(model, sessions, alone, most) -> None:
    engine = AnsweringModel(model, sessions, batch_size=7)
    failing = Failing(engine.batch._runner, most)
    engine.batch._runner = failing  # type: ignore[assignment]
    found = answers(engine, REQUESTS, list(range(len(REQUESTS))))
    del found[-1]
    assert found == alone
    assert failing.failed > 0


def test_a_device_that_fails_for_good_costs_each_request_a_row(model, sessions) -> None:
    engine = AnsweringModel(model, sessions, batch_size=4)
    engine.batch._runner = Failing(engine.batch._runner, 0)  # type: ignore[assignment]
    found = answers(engine, REQUESTS, [0, 1, 2, 3, 4, 5])
    codes = {number: row["error_code"] for number, row in found.items() if number >= 0}
    assert codes == {0: "out_of_memory", 1: "out_of_memory", 2: "out_of_memory"} | {
        3: "out_of_memory",
        4: None,  # its one token came with the prefill
        5: "out_of_memory",
    }


def test_the_largest_batch_is_found_where_free_memory_is_not_known(
    model, sessions, monkeypatch
) -> None:
    engine = AnsweringModel(model, sessions, batch_size=64)
    request = engine.start(AnswerRow(), GenerationRequest("x", max_new_tokens=200), [])
    right = runner.Runner.reserve

    def reserve(self, length, slots=1):
        if slots > 21:
            raise ImageError(ErrorCode.OUT_OF_MEMORY, "no room")
        right(self, length, slots)

    monkeypatch.setattr(runner.Runner, "free_bytes", None)
    monkeypatch.setattr(runner.Runner, "reserve", reserve)
    with pytest.raises(UsageError, match="the largest batch that fits is 21"):
        engine.batch.start(0, request.batch_request)


def test_a_batch_that_does_not_fit_names_the_largest_that_does(
    model, sessions, monkeypatch
) -> None:
    engine = AnsweringModel(model, sessions, batch_size=64)
    request = engine.start(AnswerRow(), GenerationRequest("x", max_new_tokens=200), [])
    five, six = (engine.batch._runner.cache_bytes(slots, 256) for slots in (5, 6))
    room = SimpleNamespace(available=int((five + six) / 2 / 0.9))
    monkeypatch.setattr(runner.psutil, "virtual_memory", lambda: room)
    with pytest.raises(UsageError, match=r"64 requests of up to 256 tokens .* that fits is 5"):
        engine.batch.start("x", request.batch_request)
    chosen = AnsweringModel(model, sessions, batch_size=None)
    chosen.batch.start("x", request.batch_request)
    assert len(chosen.batch._slots) == 2  # of half of what is free


def test_the_memory_is_reported_before_it_is_allocated(model, sessions, caplog) -> None:
    engine = AnsweringModel(model, sessions, batch_size=3)
    request = engine.start(AnswerRow(), GenerationRequest("x", max_new_tokens=200), [])
    with caplog.at_level("INFO", logger="pixelprune"):
        engine.batch.start("x", request.batch_request)
    assert " for 3 requests of up to 256 tokens" in caplog.text


def test_longer_requests_wait_for_room(model, sessions, alone) -> None:
    engine = AnsweringModel(model, sessions, batch_size=3)
    short = engine.start(AnswerRow(), *REQUESTS[1])
    long = engine.start(AnswerRow(), GenerationRequest("word " * 200, max_new_tokens=300), [])
    engine.batch.start("short", short.batch_request)
    assert not engine.batch.full
    assert not engine.batch.can_start(long.batch_request)
    while engine.batch.active:
        engine.batch.step()
    assert engine.batch.can_start(long.batch_request)


def test_an_empty_batch_does_nothing(model, sessions) -> None:
    batch: Batch[str] = Batch(runner.Runner(model, sessions), frozenset(), 2)
    assert (batch.active, batch.full, batch.step()) == (0, False, [])
