"""The method registry: what each method declares is true, and no name falls through."""

from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest

import ppcli.coding.methods
from ppcli.coding.coder_options import CoderOptions, Method
from ppcli.coding.methods.interface import METHOD_OPTIONS, PruningMethod
from ppcli.coding.patchset import PatchSet, encode
from ppcli.coding.selection import select_tiles
from ppcli.errors import UsageError
from tests.coding.rasters import of_letters

RASTER = of_letters(["AABB", "AABB", "CCAB", "CAAA"], 7)
OTHER_VALUES = {"skip_ratio": 0.5, "match_count": True, "seed": 1}


def with_unknown_method(options: CoderOptions) -> CoderOptions:
    """Options that no check has seen."""
    forged = replace(options)
    object.__setattr__(forged, "method", "no_such")
    return forged


def test_an_unknown_method_selects_nothing() -> None:
    """It gave the mask of raster."""
    with pytest.raises(UsageError, match="unknown method 'no_such'"):
        select_tiles(RASTER, 7, with_unknown_method(CoderOptions()))


def test_an_unknown_method_decodes_nothing() -> None:
    """It decoded as serpentine."""
    patches = encode(RASTER, 7, CoderOptions())
    object.__setattr__(patches, "options", with_unknown_method(patches.options))
    with pytest.raises(UsageError, match="unknown method 'no_such'"):
        patches.reconstruct()
    with pytest.raises(UsageError, match="unknown method 'no_such'"):
        PatchSet(patches.keep, patches.tiles, patches.options)


@pytest.mark.parametrize("method", [one for one in Method if not CoderOptions(one).decodable])
def test_a_method_that_cannot_be_decoded_has_no_sources(method: Method) -> None:
    good = encode(RASTER, 7, CoderOptions())
    with pytest.raises(NotImplementedError, match=str(method)):
        method.implementation.sources(good.keep, good.tiles, None, None)


def test_every_file_is_registered_under_its_own_name() -> None:
    folder = Path(ppcli.coding.methods.__file__).parent
    names = {path.stem for path in folder.glob("*.py")}
    assert names - {"__init__", "interface", "method_registry"} == set(Method)
    assert len(Method.__members__) == len(Method), "two methods have one name"
    for method in Method:
        assert isinstance(method.implementation, PruningMethod)
        assert type(method.implementation).__module__.endswith(f".{method}")


def test_options_of_methods_are_options_of_the_coder() -> None:
    assert set(METHOD_OPTIONS) < {field.name for field in fields(CoderOptions)}
    for method in Method:
        assert method.implementation.used_options <= set(METHOD_OPTIONS)


@pytest.mark.parametrize("method", Method)
@pytest.mark.parametrize("option", METHOD_OPTIONS)
def test_an_option_has_an_effect_where_the_method_says_so(method: Method, option: str) -> None:
    used = option in method.implementation.used_options
    assert (option not in CoderOptions(method).unused_options) is used
    if option == "match_count" and not used:
        pytest.skip("it is refused")
    changed = CoderOptions(method, **{option: OTHER_VALUES[option]})
    same = np.array_equal(
        select_tiles(RASTER, 7, CoderOptions(method)), select_tiles(RASTER, 7, changed)
    )
    assert same is not used


def test_a_control_keeps_as_many_tiles_as_pred_2d() -> None:
    wanted = np.count_nonzero(select_tiles(RASTER, 7, CoderOptions()))
    controls = [method for method in Method if method.implementation.is_control]
    assert controls == [Method.RANDOM]
    for method in controls:
        keep = select_tiles(RASTER, 7, CoderOptions(method))
        assert np.count_nonzero(keep) == wanted


@pytest.mark.parametrize("method", Method)
def test_help_is_a_phrase(method: Method) -> None:
    phrase = method.implementation.help
    assert phrase[0].islower()
    assert len(phrase.split()) > 3
    assert phrase[-1] not in ".;"
