"""Options of the plugin. Needs no vLLM."""

import subprocess
import sys

import pytest

from ppcli.coding.sequence_options import Direction
from ppcli.errors import UsageError
from ppcli.models.integrations.vllm.vllm_options import Preparation, PruningOptions, chained


def test_the_defaults_are_those_of_infer() -> None:
    options = PruningOptions.merged()
    assert options.enabled
    assert options.preparation is Preparation.PIXELPRUNE
    assert options.coder.label == "pred_2d (anchored, max, threshold 0)"


def test_a_request_wins_over_the_engine() -> None:
    engine = {"threshold": "3/255", "method": "raster", "preparation": "huggingface"}
    options = PruningOptions.merged(engine, None, {"method": "serpentine", "threshold": 0.5})
    assert options.coder.method == "serpentine"
    assert options.coder.threshold == 0.5
    assert options.preparation is Preparation.HUGGINGFACE
    assert PruningOptions.merged(engine).coder.threshold == 3 / 255
    assert PruningOptions.merged(engine, {"threshold": "auto"}).coder.threshold == "auto"
    assert not PruningOptions.merged(engine, {"enabled": False}).enabled


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"tau": 0.1}, "pixelprune has no option 'tau'; known: method, metric, threshold"),
        ({"treshold": 0.1}, "Did you mean 'threshold'"),
        ({"threshold": 3}, "threshold is 3"),
        ({"threshold": "x"}, "'x' is not a number"),
        ({"threshold": None}, "threshold is None"),
        ({"method": "pred_3d"}, "unknown method 'pred_3d'"),
        ({"method": "random"}, "method random is a control"),
        ({"metric": "exact", "threshold": 0.1}, "metric exact requires threshold 0"),
        ({"metric": "rmse", "threshold": "auto"}, "threshold auto is for metrics max"),
        ({"mode": 1}, "unknown mode"),
        ({"sequence": "sideways"}, "pixelprune: unknown sequence 'sideways'"),
        ({"sequence": "reverse", "method": "conncomp"}, "conncomp .* cannot be decoded"),
        ({"enabled": "no"}, "enabled is 'no' .str.; it must be True or False"),
        ({"preparation": "torchvision"}, "unknown pixelprune preparation 'torchvision'"),
        (True, "pixelprune is True .bool.; it must be an object"),
        ([], "it must be an object"),
    ],
)
def test_what_is_refused(given: object, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        PruningOptions.merged(given)


def test_keys_differ_where_images_may_differ() -> None:
    given = [
        {},
        {"threshold": "3/255"},
        {"threshold": "auto"},
        {"threshold": "3/255", "mode": "sliding"},
        {"threshold": "3/255", "metric": "mae"},
        {"method": "raster"},
        {"enabled": False},
        {"preparation": "huggingface"},
        {"preparation": "huggingface", "enabled": False},
    ]
    keys = [PruningOptions.merged(one).key for one in given]
    assert len(set(keys)) == len(given)
    assert PruningOptions.merged({"threshold": 0}).key == keys[0]
    assert PruningOptions.merged({"enabled": False, "threshold": 0.5}).key == keys[6]


def test_hashes_say_what_is_coded_before() -> None:
    """The first one coded is by itself; no other hash is that of another place."""
    forward = chained(["a", "b", "a"], Direction.FORWARD)
    assert forward[0] == "a"
    assert len(set(forward)) == 3
    assert forward[:2] == chained(["a", "b"], Direction.FORWARD)
    assert chained(["c", "b", "a"], Direction.FORWARD)[1] != forward[1]
    assert chained(["a", "b", "a"], Direction.REVERSE) == forward[::-1]
    options = PruningOptions.merged({"sequence": "reverse"}, {"threshold": 0.1})
    assert options.sequence is Direction.REVERSE
    assert PruningOptions.merged({"sequence": "reverse"}, {"sequence": None}).sequence is None
    assert PruningOptions.merged({"sequence": "reverse", "enabled": False}).sequence is None


def test_the_entry_point_imports_nothing_heavy() -> None:
    program = (
        "import sys; import ppcli.models.integrations.vllm.vllm_plugin; "
        "print({'numpy', 'torch', 'vllm', 'transformers'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert done.stdout.strip() == b"set()"
