"""`bench` against `infer`: it must measure what is really asked and answered."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ppcli.coding.coder_options import CoderOptions, Method
from ppcli.coding.patchset import KeptTiles, cut_tiles, encode
from ppcli.coding.prune import keep_mask
from ppcli.errors import ErrorCode, ImageError, NothingToDoError, UsageError
from ppcli.files import LocalFile
from ppcli.imaging.fit_options import FitOptions
from ppcli.inputs.refs import ImageRef
from ppcli.jobs.analysis_options import AnalysisOptions
from ppcli.jobs.bench import BenchOptions, bench_model, bench_pages, until_end
from ppcli.jobs.bench_measures import BenchResult
from ppcli.jobs.page_analysis import PageResult
from ppcli.jobs.peak_memory import peak_bytes
from ppcli.jobs.selected_pages import selected_pages
from ppcli.models.model_choices import Device
from ppcli.models.onnx.directory import ModelDirectory
from ppcli.models.onnx.execution_device import ExecutionDevice
from ppcli.models.onnx.export import Export
from ppcli.models.onnx.sessions import open_sessions
from ppcli.models.serving.answering_model import AnsweringModel
from ppcli.models.serving.generation_request import GenerationRequest
from ppcli.models.serving.runner import Runner
from ppcli.store.rows import AnswerRow, as_error_row
from tests.conftest import blocks
from tests.models.answering import answered
from tests.models.tiny_checkpoint import Tiny, write_checkpoint

ASK = GenerationRequest("What is the total?", max_new_tokens=6)
CPU = ExecutionDevice(Device.CPU)
GRIDS = {"a.png": (8, 8), "b.png": (9, 10), "c.png": (12, 7)}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> ModelDirectory:
    folder: Path = tmp_path_factory.mktemp("model")
    write_checkpoint(folder / "checkpoint", Tiny(seed=5, depth=2, layers=2, deepstack=(0,)))
    Export(str(folder / "checkpoint"), "float32", "a test").write(str(folder / "model"))
    return ModelDirectory.open(str(folder / "model"))


def raster(name: str) -> np.ndarray:
    rows, columns = GRIDS[name]
    return blocks(32 * columns, 32 * rows, levels=2, seed=rows)


@pytest.fixture
def refs(tmp_path: Path) -> list[ImageRef]:
    """Three pages that are on the grid already, and a file that ends too soon."""
    for name in GRIDS:
        Image.fromarray(raster(name)).save(tmp_path / name)
    (tmp_path / "broken.png").write_bytes((tmp_path / "a.png").read_bytes()[:90])
    return [
        ImageRef(LocalFile(str(tmp_path / name)), name)
        for name in ("a.png", "broken.png", "b.png", "c.png")
    ]


def measured(model: ModelDirectory, refs: list[ImageRef], *sizes: int, **coder) -> BenchResult:
    analysis = AnalysisOptions(
        CoderOptions(**coder), FitOptions.of_preset(model.preset), rebuildable=False
    )
    pages, failures = bench_pages(refs, analysis)
    assert [one.name for one in failures] == ["broken.png"] * (len(refs) == 4)
    return bench_model(model, CPU, pages, BenchOptions(ASK, repeats=2, batch_sizes=sizes))


def test_sizes_and_answers_are_those_of_infer(model: ModelDirectory, refs: list[ImageRef]) -> None:
    result = measured(model, refs, 1)
    engine = AnsweringModel(model, open_sessions(model, CPU))
    assert [page.image_id for page in result.pages] == list(GRIDS)
    answers = set()
    for page in result.pages:
        pixels = raster(page.image_id)
        pruned = encode(pixels, 32, CoderOptions())
        everything = np.ones_like(pruned.keep)
        full = KeptTiles(everything, cut_tiles(pixels, everything, 32), pruned.options)
        for side, tiles in (("full", full), ("pruned", pruned)):
            row = answered(engine, AnswerRow(image_id="x", page=1), ASK, [tiles])
            size, tokens = getattr(page.sizes, side), getattr(page.answers, side)
            assert (size.tiles, size.prompt_tokens) == (tiles.kept, row.prompt_tokens)
            assert model.chat_tokenizer.decode(tokens) == row.answer
            answers.add(row.answer)
        assert min(page.times.full.vision_ms, page.times.pruned.decode_ms) > 0
        assert page.sizes.full.steps == ASK.max_new_tokens - 1
    assert len(answers) > 1


def test_what_cannot_be_read_is_a_failure(model: ModelDirectory, refs: list[ImageRef]) -> None:
    analysis = AnalysisOptions(CoderOptions(), FitOptions.of_preset(model.preset))
    pages, failures = bench_pages(refs[:2], analysis)
    assert [page.image_id for page in pages] == ["a.png"]
    assert [(one.name, one.error.code) for one in failures] == [("broken.png", "truncated")]
    with pytest.raises(NothingToDoError):
        bench_pages([], analysis)


def test_a_page_that_only_the_full_run_cannot_have_is_a_failure(
    model: ModelDirectory, refs: list[ImageRef], monkeypatch
) -> None:
    def selected(ref: ImageRef, options: AnalysisOptions) -> list[PageResult]:
        found = selected_pages(ref, options)
        if options.coder.threshold:
            return found
        error = ImageError(ErrorCode.OUT_OF_MEMORY, "too large")
        return [PageResult(as_error_row(page.row, error, page.row.image_id)) for page in found]

    monkeypatch.setattr("ppcli.jobs.bench.selected_pages", selected)
    analysis = AnalysisOptions(CoderOptions(threshold=0.1), FitOptions.of_preset(model.preset))
    pages, [failure] = bench_pages(refs[:1], analysis)
    assert pages == []
    assert (failure.error.code, failure.error.message) == ("out_of_memory", "a.png: too large")


def test_batches_give_the_answers_of_each_page_alone(
    model: ModelDirectory, refs: list[ImageRef]
) -> None:
    result = measured(model, refs, 1, 2)
    assert [(one.batch_size, one.requests) for one in result.batches] == [(1, 3), (2, 4)]
    assert all(sum(one.differing) == 0 for one in result.batches)
    tiles = [size.full.tiles for size in result.batches[1].sizes]
    assert tiles == [64, 90, 84, 64]
    assert result.peak_batch_size == 2
    assert result.peak_bytes is not None
    assert min(result.peak_bytes) > 1 << 26


def test_memory_where_the_largest_page_is_not_the_one_that_keeps_most(
    model: ModelDirectory, tmp_path: Path
) -> None:
    Image.new("RGB", (640, 640)).save(tmp_path / "blank.png")
    noise = np.random.default_rng(0).integers(0, 256, (512, 544, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "noise.png")
    refs = [ImageRef(LocalFile(str(tmp_path / name)), name) for name in ("blank.png", "noise.png")]
    result = measured(model, refs, 2)
    assert [tuple(size.tiles for size in page.sizes) for page in result.pages] == [
        (400, 1),
        (272, 272),
    ]
    assert (result.failures, result.peak_batch_size) == ([], 2)
    assert result.peak_bytes is not None


def test_an_answer_that_a_batch_changes_is_counted(
    model: ModelDirectory, refs: list[ImageRef], monkeypatch: pytest.MonkeyPatch
) -> None:
    right = Runner.step

    def wrong(self, tokens, positions, lengths):
        return right(self, tokens, positions, lengths) * (-1 if len(tokens) > 1 else 1)

    monkeypatch.setattr(Runner, "step", wrong)
    result = measured(model, refs, 1, 3)
    assert [list(one.differing) for one in result.batches] == [[0, 0], [3, 3]]


def test_a_batch_that_fails_is_told_and_the_others_stay(
    model: ModelDirectory, refs: list[ImageRef], monkeypatch: pytest.MonkeyPatch
) -> None:
    right = Runner.step

    def failing(self, tokens, positions, lengths):
        if len(tokens) > 2:
            raise ImageError(ErrorCode.OUT_OF_MEMORY, "no room")
        return right(self, tokens, positions, lengths)

    monkeypatch.setattr(Runner, "step", failing)
    result = measured(model, refs, 4, 2)
    assert [one.batch_size for one in result.batches] == [2]
    (failure,) = result.failures
    assert (failure.name, failure.error.code) == ("batch of 4", "out_of_memory")


def test_a_batch_that_no_memory_holds(
    model: ModelDirectory, refs: list[ImageRef], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Runner, "free_bytes", property(lambda self: 3 << 20))
    result = measured(model, refs, 1, 1_000_000_000)
    (failure,) = result.failures
    assert failure.error.code == "out_of_memory"
    assert "the largest batch that fits is" in failure.error.message
    assert [one.batch_size for one in result.batches] == [1]


def test_memory_that_cannot_be_taken_costs_no_figures(
    model: ModelDirectory, refs: list[ImageRef], monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = partial(peak_bytes, "nowhere")
    monkeypatch.setattr("ppcli.jobs.bench.peak_bytes", lambda _, *rest: lost(*rest))
    result = measured(model, refs, 1)
    (failure,) = result.failures
    assert failure.name == "peak memory"
    assert "nowhere is not a folder" in failure.error.message
    assert len(result.pages) == 3


def test_pages_are_pruned_as_asked(model: ModelDirectory, refs: list[ImageRef]) -> None:
    (page,) = measured(model, refs[:1], 1, method=Method.RANDOM, seed=7).pages
    assert page.sizes.pruned.tiles == int(keep_mask(raster("a.png")).sum()) < 64
    (page,) = measured(model, refs[:1], 1, threshold=1.0).pages
    assert (page.sizes.full.tiles, page.sizes.pruned.tiles) == (64, 1)


def test_until_the_token_that_ends_an_answer() -> None:
    assert until_end([4, 7, 9, 7], frozenset({7, 9})) == [4]
    assert until_end([4, 5], frozenset({7})) == [4, 5]
    assert until_end([4, 5], frozenset()) == [4, 5]


def test_one_token_has_no_time_of_its_own() -> None:
    with pytest.raises(UsageError, match="generate 2 tokens or more"):
        BenchOptions(GenerationRequest("?", max_new_tokens=1))
