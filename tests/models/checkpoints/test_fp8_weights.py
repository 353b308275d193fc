"""FP8 checkpoints: what they are dequantized to, against twins and transformers, and refusals."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save_file

from ppcli.errors import ModelError
from ppcli.models.checkpoints.checkpoint_weights import CheckpointWeights
from ppcli.models.checkpoints.fp8_layout import Fp8Layout
from ppcli.models.checkpoints.fp8_weights import Fp8Weights, dequantize
from ppcli.models.model_choices import Head, Weights
from ppcli.models.onnx.export import Export
from tests.models.checkpoints.fp8_checkpoint import (
    FORMATS,
    SINGLE,
    Format,
    Tensors,
    change_settings,
    compressed_tensors,
    fine_grained,
    rounded,
    write_fp8_checkpoint,
)
from tests.models.families.qwen2_5_vl.tiny_qwen25 import TinyQwen25
from tests.models.families.qwen3_5.tiny_qwen3_5 import TinyQwen35
from tests.models.tiny_checkpoint import Tiny, write_json
from tests.models.tiny_model import TinyModel

TINY = Tiny(layers=1, depth=1, deepstack=(), tied=False)
BLOCKS = FORMATS["fp8 in blocks"]
UP = "model.language_model.layers.0.mlp.up_proj.weight"
SCALE = UP + "_scale_inv"
EMBEDDING, HEAD = "model.language_model.embed_tokens.weight", "lm_head.weight"
GRAPHS = ("vision.onnx", "vision.onnx.data", "decoder.onnx", "decoder.onnx.data")


def export(folder: Path, head: Head | None = None) -> Export:
    return Export(str(folder), "float32", "a test", head=head)


def graphs(folder: Path, dtype: str, matrices: Weights, out: Path) -> list[bytes]:
    """Every byte of the graphs that are made of a checkpoint."""
    Export(str(folder), dtype, "a test", matrices).write(str(out))
    return [(out / name).read_bytes() for name in GRAPHS]


def weights_of(folder: Path, layout: Fp8Layout, tiny: TinyModel = TINY) -> Fp8Weights:
    return Fp8Weights(str(folder), tiny.model_config().family.canonical_tensor_name, layout)


def layout_of(kind: Format) -> Fp8Layout:
    rows, columns = (size or None for size in kind.block)
    return Fp8Layout((f".weight{kind.suffix}",), (rows, columns))


def all_read(weights: CheckpointWeights, meant: Tensors) -> bool:
    """Whether every tensor has the values that the twin says, bit for bit."""
    return all(
        weights.tensor(name).astype(np.float32).tobytes() == tensor.astype(np.float32).tobytes()
        for name, tensor in meant.items()
    )


@pytest.mark.parametrize("kind", FORMATS.values(), ids=FORMATS)
def test_an_export_is_that_of_the_dequantized_checkpoint(tmp_path: Path, kind: Format) -> None:
    stored, meant = write_fp8_checkpoint(tmp_path / "fp8", TINY, kind)
    assert sum(one.dtype == ml_dtypes.float8_e4m3fn for one in stored.values()) > 10
    assert stored[HEAD].dtype == ml_dtypes.float8_e4m3fn
    ours = graphs(tmp_path / "fp8", "float32", Weights.FLOAT, tmp_path / "ours")
    change_settings(tmp_path / "fp8", None)
    save_file(meant, tmp_path / "fp8" / SINGLE)
    assert ours == graphs(tmp_path / "fp8", "float32", Weights.FLOAT, tmp_path / "plain")


@pytest.mark.parametrize(
    ("dtype", "matrices"),
    [
        ("bfloat16", Weights.FLOAT),
        ("float16", Weights.FLOAT),
        ("float32", Weights.INT8),
        ("float32", Weights.INT4),
    ],
)
def test_rounding_once_more(tmp_path: Path, dtype: str, matrices: Weights) -> None:
    _, meant = write_fp8_checkpoint(tmp_path / "fp8", TINY, BLOCKS)
    ours = graphs(tmp_path / "fp8", dtype, matrices, tmp_path / "ours")
    change_settings(tmp_path / "fp8", None)
    save_file(meant, tmp_path / "fp8" / SINGLE)
    assert ours == graphs(tmp_path / "fp8", dtype, matrices, tmp_path / "plain")


@pytest.mark.parametrize("tiny", [TinyQwen35(depth=1), TinyQwen25()], ids=["3.5", "2.5-vl"])
def test_another_family(tmp_path: Path, tiny: TinyModel) -> None:
    """Gates, convolutions and norms of Qwen3.5 stay in bfloat16."""
    stored, meant = write_fp8_checkpoint(tmp_path / "fp8", tiny, BLOCKS)
    kept = [one for name, one in stored.items() if "in_proj_a" in name or "conv1d" in name]
    assert all(one.dtype == ml_dtypes.bfloat16 for one in kept)
    ours = graphs(tmp_path / "fp8", "float32", Weights.FLOAT, tmp_path / "ours")
    change_settings(tmp_path / "fp8", None)
    save_file(meant, tmp_path / "fp8" / SINGLE)
    assert ours == graphs(tmp_path / "fp8", "float32", Weights.FLOAT, tmp_path / "plain")


@pytest.mark.oracle
@pytest.mark.parametrize("scale_type", [np.float32, ml_dtypes.bfloat16])
@pytest.mark.parametrize("tiny", [TINY, TinyQwen35(depth=1, tied=False)], ids=["3-vl", "3.5"])
def test_transformers_reads_the_same(tmp_path: Path, tiny: Tiny, scale_type: type) -> None:
    """It takes whole blocks only."""
    import torch
    from transformers import AutoModelForImageTextToText

    kind = Format(fine_grained([32, 32]), "_scale_inv", (32, 32), scale_type=scale_type)
    if isinstance(tiny, TinyQwen35):
        tiny = replace(tiny, value_size=16)
    write_fp8_checkpoint(tmp_path, tiny, kind)
    model = AutoModelForImageTextToText.from_pretrained(tmp_path, dtype=torch.float32)
    theirs = {name: one.float().numpy() for name, one in model.state_dict().items()}
    assert theirs.keys() >= tiny.shapes().keys()
    assert all_read(weights_of(tmp_path, layout_of(kind), tiny), theirs)


@given(
    rows=st.integers(1, 20),
    columns=st.integers(1, 20),
    block=st.tuples(st.integers(1, 24), st.integers(1, 24)),
    part=st.tuples(st.integers(0, 19), st.integers(0, 20)),
    seed=st.integers(0, 99),
)
def test_some_rows_against_a_plain_twin(rows, columns, block, part, seed) -> None:
    drawn = np.random.default_rng(seed)
    matrix = drawn.standard_normal((rows, columns)).astype(ml_dtypes.float8_e4m3fn)
    scales = drawn.standard_normal(Fp8Layout((), block).grid(rows, columns)).astype(np.float32)
    start, stop = min(part[0], rows - 1), min(max(part), rows)
    expected = [
        [
            np.float32(matrix[row, column]) * scales[row // block[0], column // block[1]]
            for column in range(columns)
        ]
        for row in range(start, stop)
    ]
    found = dequantize(matrix[start:stop], scales, start, block)
    assert found.dtype == np.float32
    assert found.tolist() == np.array(expected).reshape(-1, columns).tolist()


def test_reading_some_rows_at_a_time(tmp_path: Path, monkeypatch) -> None:
    _, meant = write_fp8_checkpoint(tmp_path, TINY, BLOCKS)
    monkeypatch.setattr("ppcli.models.checkpoints.fp8_weights.ROWS_PER_READ", 50)
    weights = weights_of(tmp_path, layout_of(BLOCKS))
    assert all_read(weights, meant)
    assert np.array_equal(weights.rows(UP, 31, 70), meant[UP][31:70])


def test_scales_in_another_file(tmp_path: Path) -> None:
    stored, meant = write_fp8_checkpoint(tmp_path, TINY, BLOCKS)
    (tmp_path / SINGLE).unlink()
    scales = {name for name in stored if name.endswith(BLOCKS.suffix)}
    for file, names in (("1.safetensors", stored.keys() - scales), ("2.safetensors", scales)):
        save_file({name: stored[name] for name in names}, tmp_path / file)
    export(tmp_path)
    assert all_read(weights_of(tmp_path, layout_of(BLOCKS)), meant)


def test_a_matrix_that_was_not_rounded(tmp_path: Path) -> None:
    """Its type decides, whatever the lists of modules in the settings say."""
    stored, meant = write_fp8_checkpoint(tmp_path, TINY, BLOCKS)
    plain = meant[UP] * 3
    spoilt(tmp_path, stored, UP=plain, SCALE=None)
    assert len(export(tmp_path).warnings) == 1
    assert np.array_equal(weights_of(tmp_path, layout_of(BLOCKS)).tensor(UP), plain)


def spoilt(folder: Path, stored: Tensors, **changes: np.ndarray | None) -> None:
    """Write the tensors again, with changes; None leaves one out."""
    named = {{"UP": UP, "SCALE": SCALE}.get(name, name): one for name, one in changes.items()}
    changed = {name: one for name, one in (stored | named).items() if one is not None}
    save_file(changed, folder / SINGLE)


@pytest.mark.parametrize(
    "change",
    [
        lambda scale: 1 / scale,
        lambda scale: np.ascontiguousarray(scale[::-1]),
        lambda scale: np.ascontiguousarray(scale[:, ::-1]),
        lambda scale: scale.astype(ml_dtypes.bfloat16),
    ],
)
def test_the_comparison_notices_other_scales(tmp_path: Path, change: Callable) -> None:
    stored, meant = write_fp8_checkpoint(tmp_path, TINY, BLOCKS)
    assert all_read(weights_of(tmp_path, layout_of(BLOCKS)), meant)
    spoilt(tmp_path, stored, SCALE=change(stored[SCALE]))
    assert not all_read(weights_of(tmp_path, layout_of(BLOCKS)), meant)


def test_the_comparison_notices_other_blocks(tmp_path: Path) -> None:
    """Of a size that cuts the matrices into as many blocks."""
    _, meant = write_fp8_checkpoint(tmp_path, TINY, BLOCKS)
    other = Fp8Layout((".weight_scale_inv",), (32, 50))
    assert not all_read(weights_of(tmp_path, other), meant)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"SCALE": None}, f"{UP} is FP8, and there is no tensor {SCALE} to scale it"),
        ({"SCALE": np.ones((2, 3), np.float32)}, f"{SCALE} is 2×3; .* matrix of 96×64 are 3×2"),
        ({"SCALE": np.ones(6, np.float32)}, f"{SCALE} is 6; .* are 3×2"),
        ({"SCALE": np.ones((), np.float32)}, f"{SCALE} is a scalar; .* are 3×2"),
        ({"SCALE": np.full((3, 2), np.inf, np.float32)}, f"{SCALE} has a scale that is not a fin"),
        ({"SCALE": np.full((3, 2), np.nan, np.float32)}, f"{SCALE} has a scale that is not a fin"),
        ({"SCALE": np.ones((3, 2), np.uint8)}, f"{SCALE} is of type U8, which is not supported"),
        ({"UP": np.ones((96, 64), np.float32)}, f"{SCALE} scales a weight that is not FP8 but F32"),
        ({"UP": np.ones((96, 64), ml_dtypes.float8_e5m2)}, "of type F8_E5M2"),
        ({"UP": np.ones((64, 96), ml_dtypes.float8_e4m3fn)}, "it is 64×96, expected 96×64"),
    ],
)
def test_scales_that_do_not_belong_to_a_weight(tmp_path: Path, changes, words) -> None:
    stored, _ = write_fp8_checkpoint(tmp_path, TINY, BLOCKS)
    spoilt(tmp_path, stored, **changes)
    with pytest.raises(ModelError, match=words.replace("(", "\\(")) as refused:
        export(tmp_path)
    assert str(tmp_path) in str(refused.value)


def test_two_scales_of_one_weight(tmp_path: Path) -> None:
    stored, _ = write_fp8_checkpoint(tmp_path, TINY, FORMATS["fp8, one scale"])
    save_file(stored | {UP + "_scale": np.ones((), np.float32)}, tmp_path / SINGLE)
    with pytest.raises(ModelError, match=r"there is both .* to scale it"):
        export(tmp_path)


def test_fp8_that_is_not_a_matrix(tmp_path: Path) -> None:
    stored, _ = write_fp8_checkpoint(tmp_path, TINY, BLOCKS)
    norm = "model.language_model.norm.weight"
    stored[norm] = stored[norm].astype(ml_dtypes.float8_e4m3fn)
    save_file(stored, tmp_path / SINGLE)
    with pytest.raises(ModelError, match=f"{norm} is FP8, but not a matrix: it is 64"):
        export(tmp_path)


def test_a_file_that_becomes_shorter(tmp_path: Path) -> None:
    stored, _ = write_fp8_checkpoint(tmp_path, TINY, BLOCKS)
    weights = weights_of(tmp_path, layout_of(BLOCKS))
    last = max(name for name in stored if stored[name].dtype == ml_dtypes.float8_e4m3fn)
    path = tmp_path / SINGLE
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size - stored[last].nbytes - 1)
    with pytest.raises(ModelError, match="is truncated or damaged"):
        weights.rows(last, len(stored[last]) - 1, len(stored[last]))


@pytest.mark.parametrize("name", ["weight_packed", "weight_scale_2", "weight_zero_point", "g_idx"])
def test_parts_of_other_methods_beside_fp8(tmp_path: Path, name: str) -> None:
    stored, _ = write_fp8_checkpoint(tmp_path, TINY, BLOCKS)
    part = f"{UP.removesuffix('weight')}{name}"
    save_file(stored | {part: np.ones(4, np.float32)}, tmp_path / SINGLE)
    with pytest.raises(ModelError, match=f"its tensor {re.escape(part)} of type F32"):
        export(tmp_path)


def test_one_warning_says_what_is_not_rounded(tmp_path: Path) -> None:
    """Scales of activations and of the cache are a part of it, not tensors without use."""
    kind = FORMATS["compressed-tensors, channel"]
    stored, _ = write_fp8_checkpoint(tmp_path, TINY, kind)
    module = "model.language_model.layers.0.self_attn."
    others = ("q_proj.input_scale", "k_proj.k_scale", "v_proj.v_scale", "k_scale", "v_scale")
    save_file(stored | {module + one: np.ones(1, np.float32) for one in others}, tmp_path / SINGLE)
    (said,) = export(tmp_path).warnings
    assert "activations, and cached keys and values, are not rounded to FP8" in said


def test_a_scale_without_a_weight_is_told(tmp_path: Path) -> None:
    stored, _ = write_fp8_checkpoint(tmp_path, TINY, BLOCKS)
    stray = UP.replace(".0.", ".7.") + "_scale_inv"
    save_file(stored | {stray: np.ones((3, 2), np.float32)}, tmp_path / SINGLE)
    assert any(said.endswith(f"does not use: {stray}") for said in export(tmp_path).warnings)


def test_settings_that_are_not_known_are_told(tmp_path: Path) -> None:
    write_fp8_checkpoint(tmp_path, TINY, BLOCKS)
    change_settings(tmp_path, BLOCKS.settings | {"new_key": 1, "other_key": None})
    assert any(said.endswith("not applied: new_key") for said in export(tmp_path).warnings)


@pytest.mark.parametrize("where", ["file", "file too", "text_config"])
def test_where_the_settings_are(tmp_path: Path, where: str) -> None:
    kind = FORMATS["modelopt"]
    write_fp8_checkpoint(tmp_path, TINY, kind)
    if where == "text_config":
        config = TINY.config()
        config["text_config"]["quantization_config"] = kind.settings
        write_json(tmp_path / "config.json", config)
    else:
        change_settings(tmp_path, kind.settings if where == "file too" else None)
        settings = {"quant_algo": "FP8", "kv_cache_quant_algo": "FP8", "exclude_modules": []}
        write_json(tmp_path / "hf_quant_config.json", {"quantization": settings})
    assert len(export(tmp_path).warnings) == 1


def test_two_places_that_disagree(tmp_path: Path) -> None:
    write_fp8_checkpoint(tmp_path, TINY, FORMATS["compressed-tensors, channel"])
    write_json(tmp_path / "hf_quant_config.json", {"quantization": {"quant_algo": "FP8"}})
    with pytest.raises(ModelError, match=r"quantization_config in config.json and hf_quant_con"):
        export(tmp_path)


@pytest.mark.parametrize("fp8_name", [EMBEDDING, HEAD])
def test_a_head_that_is_tied(tmp_path: Path, fp8_name: str) -> None:
    """One of the two matrices is FP8; their values decide, not how they are stored."""
    kind = Format(compressed_tensors("block", [32, 48]), "_scale", (32, 48))
    stored, meant = write_fp8_checkpoint(tmp_path, TINY, kind)
    stored = {name: one for name, one in stored.items() if not name.startswith(HEAD)}
    numbers, scales, values = rounded(meant[EMBEDDING].astype(np.float32), kind)
    plain = EMBEDDING if fp8_name == HEAD else HEAD
    both = {fp8_name: numbers, fp8_name + "_scale": scales, plain: values}
    save_file(stored | both, tmp_path / SINGLE)
    config = replace(TINY, tied=True).config() | {"quantization_config": kind.settings}
    write_json(tmp_path / "config.json", config)
    assert len(export(tmp_path).warnings) == 1
    save_file(stored | both | {plain: 2 * values}, tmp_path / SINGLE)
    with pytest.raises(ModelError, match="the weights have both, and they differ"):
        export(tmp_path)
    for head in Head:
        export(tmp_path, head).write(str(tmp_path / head.value))
    own, tied = ((tmp_path / head.value / GRAPHS[3]).read_bytes() for head in (Head.OWN, Head.TIED))
    assert own != tied
