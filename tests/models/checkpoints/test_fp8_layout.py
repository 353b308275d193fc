"""The settings of FP8 checkpoints: which are read, and which are refused and why."""

from copy import deepcopy
from typing import Any

import pytest

from ppcli.models.checkpoints.fp8_layout import parse_fp8_layout
from tests.models.checkpoints.fp8_checkpoint import (
    FORMATS,
    compressed_tensors,
    fine_grained,
    modelopt,
)

GROUP = compressed_tensors("channel")["config_groups"]["group_0"]


@pytest.mark.parametrize("kind", FORMATS.values(), ids=FORMATS)
def test_what_is_read(kind) -> None:
    layout = parse_fp8_layout(kind.settings)
    assert f".weight{kind.suffix}" in layout.scale_suffixes
    assert layout.block == tuple(size or None for size in kind.block)
    assert layout.unread == ()


def with_weights(**changes: Any) -> dict[str, Any]:
    settings = deepcopy(compressed_tensors("channel"))
    settings["config_groups"]["group_0"]["weights"] |= changes
    return settings


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (fine_grained([128]), r"weight_block_size is \[128\]; it must be two whole numbers"),
        (fine_grained([0, 128]), "must be two whole numbers"),
        (fine_grained([128.0, 128]), "must be two whole numbers"),
        (fine_grained([True, 128]), "must be two whole numbers"),
        (fine_grained(None) | {"fmt": "e5m2"}, "fmt is 'e5m2'; supported: e4m3"),
        (with_weights(num_bits=4), r"group_0.weights.num_bits is 4; supported: 8"),
        (with_weights(type="int"), "group_0.weights.type is 'int'; supported: float"),
        (with_weights(symmetric=False), "group_0.weights.symmetric is False"),
        (with_weights(dynamic=True), "group_0.weights.dynamic is True"),
        (with_weights(group_size=32), "group_0.weights.group_size is 32; supported: None"),
        (with_weights(strategy="group"), "strategy is 'group'; supported: tensor, channel, block"),
        (with_weights(strategy=None), "strategy is None"),
        (with_weights(strategy="block"), "block_structure is None; it must be two whole numbers"),
        (with_weights(block_structure=[1, 1]), "group_0.weights.block_structure is"),
        (compressed_tensors("channel") | {"config_groups": None}, "config_groups are missing"),
        (compressed_tensors("channel") | {"config_groups": {}}, "its 0 config_groups"),
        (
            compressed_tensors("channel") | {"config_groups": {"a": GROUP | {"weights": None}}},
            "a.weights is None",
        ),
        (
            compressed_tensors("channel") | {"config_groups": {"a": GROUP | {"format": "x"}}},
            "a.format is 'x'; supported: float-quantized",
        ),
        (
            compressed_tensors("channel") | {"sparsity_config": {"format": "sparse-24-bitmask"}},
            "its sparsity_config is not supported",
        ),
        (
            compressed_tensors("channel") | {"transform_config": {"config_groups": {"u": {}}}},
            "its transform_config is not supported",
        ),
        (
            modelopt() | {"config_groups": {"a": {"weights": {"num_bits": 4, "type": "float"}}}},
            "a.weights.num_bits is 4",
        ),
    ],
)
def test_what_is_refused_with_a_reason(settings, words) -> None:
    with pytest.raises(ValueError, match=words):
        parse_fp8_layout(settings)


@pytest.mark.parametrize(
    "settings",
    [
        {"quant_method": "gptq"},
        {"quant_method": "fbgemm_fp8"},
        compressed_tensors("channel") | {"format": "int-quantized"},
        compressed_tensors("channel") | {"format": "mixed-precision"},
        compressed_tensors("channel") | {"format": "nvfp4-pack-quantized"},
        modelopt() | {"quant_algo": "NVFP4"},
        modelopt() | {"quant_algo": "MIXED_PRECISION"},
        modelopt() | {"quant_algo": "FP8_PER_CHANNEL_PER_TOKEN"},
    ],
)
def test_other_methods(settings) -> None:
    with pytest.raises(ValueError, match=r"^$"):
        parse_fp8_layout(settings)


def test_groups_of_two_kinds() -> None:
    settings = compressed_tensors("channel")
    settings["config_groups"]["group_1"] = deepcopy(GROUP)
    assert parse_fp8_layout(settings).block == (1, None)
    settings["config_groups"]["group_1"]["weights"]["strategy"] = "tensor"
    with pytest.raises(ValueError, match="its 2 config_groups do not scale weights in one way"):
        parse_fp8_layout(settings)


def test_keys_that_are_not_known_are_told() -> None:
    settings = with_weights(new=1)
    settings["config_groups"]["group_0"]["odd"] = 2
    settings |= {"later": 3, "never": None}
    assert parse_fp8_layout(settings).unread == ("later", "group_0.odd", "group_0.weights.new")
