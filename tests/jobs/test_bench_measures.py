"""Speed-ups and the ideals beside them, held against sums made by hand."""

import pytest

from ppcli.jobs.bench_measures import (
    BatchMeasure,
    BenchResult,
    Comparison,
    PageMeasure,
    Paired,
    PhaseTimes,
    RequestSize,
    combined,
)
from ppcli.models.families.base import ModelConfig
from ppcli.models.families.family_registry import published_config

FULL, PRUNED = PhaseTimes(1.0, 60.0, 30.0, 9.0), PhaseTimes(2.0, 20.0, 10.0, 9.0)
SIZES = Paired(RequestSize(100, 120, 10), RequestSize(40, 60, 10))


@pytest.fixture
def config() -> ModelConfig:
    return published_config("qwen3-vl-2b", layers=12)


def page(answers: tuple[list[int], list[int]]) -> PageMeasure:
    return PageMeasure("a.png", SIZES, Paired(FULL, PRUNED), Paired(*answers))


def test_times_faster() -> None:
    faster = Comparison(Paired(FULL, PRUNED), Paired(FULL, PRUNED)).faster
    assert faster == {
        "vision_ms": 3.0,
        "prefill_ms": 3.0,
        "first_token_ms": pytest.approx(91 / 32),
        "decode_ms": 1.0,
        "total_ms": pytest.approx(100 / 41),
    }


def test_the_ideal_is_that_of_the_operations(config: ModelConfig) -> None:
    ideal = Comparison.of(Paired(FULL, PRUNED), [SIZES], config).ideal
    vision = config.vision_operations(400) / config.vision_operations(160)
    prefill = config.decoder_operations(120) / config.decoder_operations(60)
    decode = config.decoder_operations(1, past=125) / config.decoder_operations(1, past=65)
    assert ideal["vision_ms"] == pytest.approx(vision)
    assert ideal["prefill_ms"] == pytest.approx(prefill)
    assert ideal["decode_ms"] == pytest.approx(decode)
    first = 60 / vision + 30 / prefill
    assert ideal["first_token_ms"] == pytest.approx(91 / (2 + first))  # pruning is not free
    assert ideal["total_ms"] == pytest.approx(100 / (2 + first + 9 / decode))


def test_sides_alike_are_no_faster(config: ModelConfig) -> None:
    same = Comparison.of(Paired(FULL, FULL), [Paired(SIZES.full, SIZES.full)], config)
    assert set(same.faster.values()) == set(same.ideal.values()) == {1.0}


def test_layers_that_were_left_out_are_counted_in(config: ModelConfig) -> None:
    whole = published_config("qwen3-vl-2b")
    result = BenchResult(config, whole, pages=[page(([1], [1])), page(([1], [1]))])
    assert result.extrapolated is not None
    full = result.extrapolated.times.full
    ratio = whole.vision_operations(400) / config.vision_operations(400)
    assert 1.7 < ratio < 2  # twice the layers, the same mergers
    assert full.vision_ms == pytest.approx(2 * 60.0 * ratio)
    text = whole.decoder_operations(120) / config.decoder_operations(120)
    assert full.prefill_ms == pytest.approx(2 * 30.0 * text)
    assert full.select_ms == 2.0
    assert BenchResult(config, None, pages=result.pages).extrapolated is None


def test_where_answers_part() -> None:
    assert page(([1, 2, 3], [1, 2, 3])).same_answer
    differing = page(([1, 2, 3], [1, 5, 3]))
    assert (differing.same_answer, differing.same_tokens) == (False, 1)
    shorter = page(([1, 2], [1, 2, 3]))
    assert (shorter.same_answer, shorter.same_tokens) == (False, 2)
    assert page(([1], [1])).keep_ratio == 0.4


def test_requests_a_minute() -> None:
    batch = BatchMeasure(4, 8, Paired(16.0, 4.0), Paired(FULL, PRUNED), [SIZES] * 8, Paired(0, 1))
    assert batch.a_minute == Paired(30.0, 120.0)


def test_combined() -> None:
    rounds = [Paired(PhaseTimes(vision_ms=n), PhaseTimes(decode_ms=2 * n)) for n in (1.0, 5.0, 2.0)]
    assert combined(rounds) == Paired(PhaseTimes(vision_ms=8.0), PhaseTimes(decode_ms=16.0))
    assert combined(rounds, max).full == PhaseTimes(vision_ms=5.0)
