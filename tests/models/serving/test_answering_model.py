"""Requests one by one: what they cannot do to each other, and what each can go wrong with."""

import dataclasses
import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from ppcli.coding.coder_options import CoderOptions
from ppcli.coding.patchset import KeptTiles, encode
from ppcli.errors import ModelError, UsageError
from ppcli.models.kept_patches import patches_of_tiles
from ppcli.models.model_choices import Device, Think
from ppcli.models.onnx.directory import ModelDirectory
from ppcli.models.onnx.execution_device import ExecutionDevice
from ppcli.models.onnx.export import Export
from ppcli.models.onnx.sessions import open_sessions
from ppcli.models.serving import runner
from ppcli.models.serving.answering_model import AnsweringModel
from ppcli.models.serving.generation_request import GenerationRequest
from ppcli.models.text.chat_tokenizer import ChatTokenizer, chat_messages
from ppcli.store.rows import AnswerRow
from tests.conftest import blocks
from tests.models.answering import answered
from tests.models.random_images import Image
from tests.models.tiny_checkpoint import Tiny, write_checkpoint

ASK = GenerationRequest("What is the total?", max_new_tokens=12)
POSITIONS = 400


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> ModelDirectory:
    folder: Path = tmp_path_factory.mktemp("model")
    write_checkpoint(folder / "checkpoint", Tiny(max_positions=POSITIONS))
    Export(str(folder / "checkpoint"), "float32", "a test").write(str(folder / "model"))
    return ModelDirectory.open(str(folder / "model"))


@pytest.fixture(scope="module")
def engine(model: ModelDirectory) -> AnsweringModel:
    return AnsweringModel(model, open_sessions(model, ExecutionDevice(Device.CPU)))


def image(seed: int = 0, grid: tuple[int, int] = (4, 5), **options: float) -> KeptTiles:
    raster = blocks(32 * grid[1], 32 * grid[0], levels=2, seed=seed)
    return encode(raster, 32, CoderOptions(**options))


def row(name: str = "a.png") -> AnswerRow:
    return AnswerRow(image_id=name)


def without_times(answer: AnswerRow) -> dict:
    return {k: v for k, v in dataclasses.asdict(answer).items() if not k.endswith("_ms")}


def test_an_answer(engine) -> None:
    kept = image()
    answer = answered(engine, row(), ASK, [kept])
    assert (answer.status, answer.finish_reason) == ("ok", "length")
    assert answer.answer_tokens == 12
    assert answer.kept == kept.kept
    texts = engine._model.chat_tokenizer.encode_messages(
        [{"role": "user", "content": "What is the total?"}]
    )
    assert answer.prompt_tokens == len(texts) + 2 + kept.kept  # and the image's begin and end
    assert min(answer.select_ms, answer.vision_ms, answer.prefill_ms, answer.decode_ms) > 0


def test_answers_do_not_depend_on_what_was_asked_before(model, engine) -> None:
    asks = [([image(n, (1 + n, 6 - n))], ASK) for n in range(5)] + [([], ASK)]
    alone = []
    for images, ask in asks:
        fresh = AnsweringModel(model, open_sessions(model, ExecutionDevice(Device.CPU)))
        alone.append(without_times(answered(fresh, row(), ask, images)))
    for order in (range(6), reversed(range(6))):
        for n in order:
            assert without_times(answered(engine, row(), asks[n][1], asks[n][0])) == alone[n]
    assert len({one["answer"] for one in alone}) > 3


@pytest.mark.parametrize("grid", [(1, 1), (1, 7), (7, 1)])
def test_small_images(engine, grid) -> None:
    assert answered(engine, row(), ASK, [image(0, grid)]).status == "ok"


def test_an_image_of_which_one_tile_is_kept(engine) -> None:
    plain = encode(np.full((128, 160, 3), 9, dtype=np.uint8), 32, CoderOptions())
    answer = answered(engine, row(), ASK, [plain])
    assert (answer.status, answer.kept) == ("ok", 1)


def test_every_patch_without_pruning(model, engine) -> None:
    kept = image()
    assert kept.kept < kept.keep.size
    whole = KeptTiles(np.ones_like(kept.keep), _all_tiles(kept), kept.options)
    expected = answered(engine, row(), ASK, [whole])
    unpruned = AnsweringModel(model, open_sessions(model, ExecutionDevice(Device.CPU)), prune=False)
    answer = answered(unpruned, row(), ASK, [kept])
    assert without_times(answer) == without_times(expected)
    assert answer.kept == kept.keep.size


def _all_tiles(kept) -> np.ndarray:
    grid_h, grid_w = kept.keep.shape
    raster = kept.reconstruct().reshape(grid_h, 32, grid_w, 32, 3)
    return np.ascontiguousarray(raster.transpose(0, 2, 1, 3, 4)).reshape(-1, 32, 32, 3)


def test_the_token_that_ends_an_answer(model, engine) -> None:
    assert answered(engine, row(), ASK, [image()]).answer_tokens == 12
    every = frozenset(range(512))
    ending = dataclasses.replace(model, end_tokens=every)
    answer = answered(
        AnsweringModel(ending, open_sessions(model, ExecutionDevice(Device.CPU))),
        row(),
        ASK,
        [image()],
    )
    assert (answer.answer, answer.finish_reason, answer.answer_tokens) == ("", "stop", 0)


def test_a_prompt_longer_than_the_context(engine) -> None:
    long = answered(engine, row(), GenerationRequest("word " * POSITIONS), [image()])
    assert (long.status, long.error_code) == ("error", "context_too_long")
    assert f"positions; the model has {POSITIONS}" in long.error_message
    assert answered(engine, row(), ASK, [image()]).status == "ok"


def test_the_context_is_counted_in_positions(engine) -> None:
    """Of an image these are as many as its longer side has tiles, whatever is kept."""
    page = encode(np.zeros((32 * 21, 32 * 20, 3), dtype=np.uint8), 32, CoderOptions())
    assert page.keep.size > POSITIONS
    assert answered(engine, row(), ASK, [page]).status == "ok"
    strip = encode(np.zeros((32, 32 * POSITIONS, 3), dtype=np.uint8), 32, CoderOptions())
    assert answered(engine, row(), ASK, [strip]).error_code == "context_too_long"


def test_an_answer_ends_with_the_context(engine) -> None:
    answer = answered(engine, row(), GenerationRequest("x", max_new_tokens=10_000), [])
    assert answer.finish_reason == "length"
    assert answer.prompt_tokens + answer.answer_tokens == POSITIONS


def test_keys_and_values_that_memory_cannot_hold(model, monkeypatch) -> None:
    engine = AnsweringModel(model, open_sessions(model, ExecutionDevice(Device.CPU)))
    with monkeypatch.context() as patch:
        patch.setattr(runner.psutil, "virtual_memory", lambda: SimpleNamespace(available=1000))
        answer = answered(engine, row(), GenerationRequest("x", max_new_tokens=350), [])
    assert answer.error_code == "out_of_memory"
    assert "lower --max-new-tokens" in answer.error_message
    assert answered(engine, row(), ASK, [image()]).status == "ok"


def test_a_prompt_that_names_image_tokens(engine) -> None:
    answer = answered(engine, row(), GenerationRequest("<|image_pad|>"), [image()])
    assert answer.error_code == "bad_request"


def test_sampling_is_seeded_by_the_request(engine) -> None:
    hot = dataclasses.replace(ASK, temperature=5.0, seed=1)

    def answer(name: str, ask: GenerationRequest) -> str:
        return answered(engine, row(name), ask, [image()]).answer

    assert answer("a", hot) == answer("a", hot)
    assert answer("a", hot) != answer("b", hot)
    assert answer("a", hot) != answer("a", dataclasses.replace(hot, seed=2))
    own = dataclasses.replace(hot, has_own_seed=True)
    assert answer("a", own) == answer("b", own)


def test_pieces_add_up_to_the_answer(engine) -> None:
    for seed in range(8):
        pieces: list[str] = []
        ask = GenerationRequest("x", max_new_tokens=40, temperature=3.0, seed=seed)
        answer = answered(engine, row(), ask, [], on_text=pieces.append)
        assert "".join(pieces) == answer.answer
        assert len(pieces) > 1


@pytest.mark.oracle
def test_penalties_as_transformers_generates(model, engine) -> None:
    """On the same tiny checkpoint, prompt and image included; each says another thing."""
    from tests.models.reference import stock_answer, transformers_model

    theirs = transformers_model(Tiny(max_positions=POSITIONS))
    kept = image(3, (3, 3))
    every = KeptTiles(np.ones_like(kept.keep), _all_tiles(kept), kept.options)
    chat_tokenizer, config = model.chat_tokenizer, model.config
    ids = chat_tokenizer.encode_messages(chat_messages("What is the total?", 1))
    patches = patches_of_tiles(every, model.preset, config)
    whole = Image(patches.pixel_values, every.keep)
    said = set()
    for penalty in (1.0, 1.1, 1.3, 2.0, 0.8):
        tokens = stock_answer(theirs, ids, [whole], 24, repetition_penalty=penalty).tokens
        ask = GenerationRequest("What is the total?", max_new_tokens=24, repetition_penalty=penalty)
        answer = answered(engine, row(), ask, [every])
        assert answer.answer == chat_tokenizer.decode(tokens[: answer.answer_tokens])
        assert answer.answer_tokens == 24 or tokens[answer.answer_tokens] in model.end_tokens
        said.add(answer.answer)
    assert len(said) == 5


def test_the_repetition_penalty_is_the_same_for_pruned_prompts(model, engine) -> None:
    """It goes by which tokens a prompt has, and each image has a tile that is fed."""
    ask = GenerationRequest("x", max_new_tokens=1, repetition_penalty=1.5)
    kept = image()
    unpruned = AnsweringModel(model, open_sessions(model, ExecutionDevice(Device.CPU)), prune=False)
    seen = [
        one.start(row(), ask, [kept]).batch_request.sampler()._seen for one in (engine, unpruned)
    ]
    assert seen[0] == seen[1] >= {model.config.image_token}


def test_a_stop_text_ends_an_answer(engine) -> None:
    whole = answered(engine, row(), ASK, [image()])
    for start in range(len(whole.answer) - 1):
        stop = whole.answer[start : start + 2]
        answer = answered(engine, row(), dataclasses.replace(ASK, stop=(stop,)), [image()])
        assert answer.answer == whole.answer[: whole.answer.index(stop)]
        assert answer.finish_reason == "stop"
        assert answer.answer_tokens <= 12


def test_thinking_that_does_not_end_is_a_warning(tmp_path, model) -> None:
    thinking = shutil.copytree(model.folder, tmp_path / "thinking")
    template = (thinking / "chat_template.jinja").read_text(encoding="utf-8")
    (thinking / "chat_template.jinja").write_text(template + "<think>\n", encoding="utf-8")
    opened = dataclasses.replace(model, chat_tokenizer=ChatTokenizer(str(thinking)))
    engine = AnsweringModel(opened, open_sessions(model, ExecutionDevice(Device.CPU)))
    kept = answered(engine, row(), ASK, [])
    assert kept.answer and kept.thinking is None and kept.warning is None
    split = answered(engine, row(), dataclasses.replace(ASK, think=Think.SPLIT), [])
    assert (split.answer, split.thinking) == ("", kept.answer.strip("\n"))
    assert "ended while the model was thinking" in split.warning


def test_configurations_name_what_is_new_only_where_it_is_used() -> None:
    """Datasets of earlier versions know nothing of it, and are resumed."""
    assert GenerationRequest("x").as_config() == {
        "prompt": "x",
        "system": None,
        "max_new_tokens": 256,
        "temperature": 0.0,
        "top_p": 1.0,
        "seed": 0,
    }
    ask = GenerationRequest("x", stop=("a",), top_k=3, think=Think.DROP, keep_special_tokens=True)
    new = {"stop": ["a"], "top_k": 3, "think": "drop", "keep_special_tokens": True}
    assert ask.as_config() == GenerationRequest("x").as_config() | new
    assert json.loads(json.dumps(ask.as_config())) == ask.as_config()


def test_asking_for_no_answer() -> None:
    with pytest.raises(UsageError, match="max new tokens is 0"):
        GenerationRequest("x", max_new_tokens=0)
    with pytest.raises(UsageError, match="temperature"):
        GenerationRequest("x", temperature=-1)
    with pytest.raises(UsageError, match="stop text is empty"):
        GenerationRequest("x", stop=("a", ""))


@pytest.mark.parametrize(
    ("kind", "advice"), [("float32", "pixelprune verify"), ("float16", "--dtype bfloat16")]
)
def test_numbers_that_are_not_finite_are_no_answer(tmp_path: Path, kind: str, advice: str) -> None:
    """A weight of the model is infinite; the message names the type that the model has."""
    checkpoint = write_checkpoint(tmp_path / "checkpoint", Tiny(layers=1, depth=1, deepstack=()))
    weights, name = checkpoint / "model.safetensors", "model.language_model.norm.weight"
    tensors = load_file(weights)
    tensors[name][0] = np.inf
    save_file(tensors, weights)
    Export(str(checkpoint), kind, "a test").write(str(tmp_path / "model"))
    broken = ModelDirectory.open(str(tmp_path / "model"))
    engine = AnsweringModel(broken, open_sessions(broken, ExecutionDevice(Device.CPU)))
    answer = answered(engine, row(), ASK, [image()])
    assert answer.error_code == "internal"
    assert f"which is in {kind}, produced logits that are not finite" in answer.error_message
    assert advice in answer.error_message
    assert ("float16" in answer.error_message) == (kind == "float16")


def test_weights_that_float16_cannot_hold_are_refused(tmp_path: Path) -> None:
    checkpoint = write_checkpoint(tmp_path / "checkpoint", Tiny(layers=1, depth=1, deepstack=()))
    weights, name = checkpoint / "model.safetensors", "model.language_model.norm.weight"
    tensors = load_file(weights)
    tensors[name][0] = 1e5
    save_file(tensors, weights)
    for kind in ("float32", "bfloat16"):
        Export(str(checkpoint), kind, "a test").write(str(tmp_path / kind))
    with pytest.raises(ModelError, match=rf"{name} has values too large for float16"):
        Export(str(checkpoint), "float16", "a test").write(str(tmp_path / "float16"))
