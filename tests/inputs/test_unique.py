"""Names that come more than once, against a plain set."""

import random

from hypothesis import given
from hypothesis import strategies as st

from ppcli.inputs.unique import UniqueNames

NAMES = st.lists(st.sampled_from(["a", "b", "a~2", "a~3", "b~2", "a~2~2", "", "~2"]))


@given(NAMES)
def test_all_are_different_and_the_first_of_each_stays(names: list[str]) -> None:
    unique = UniqueNames()
    given_out: list[str] = []
    for name in names:
        free = name not in given_out
        given_out.append(unique(name))
        assert (given_out[-1] == name) == free
        assert given_out[-1].startswith(name)
    assert len(set(given_out)) == len(names)
    changed = [new for new, name in zip(given_out, names, strict=True) if new != name]
    assert unique.first == (changed[0] if changed else "")


def test_many() -> None:
    names = [f"folder/{number}.png" for number in range(20_000)]
    unique = UniqueNames()
    assert [unique(name) for name in names] == names
    assert [unique(name) for name in names] == [f"{name}~2" for name in names]
    random.Random(0).shuffle(names)
    assert [unique(name) for name in names[:100]] == [f"{name}~3" for name in names[:100]]


def test_one_name_many_times() -> None:
    unique = UniqueNames()
    numbered = [unique("a") for _ in range(10_000)]
    assert numbered == ["a", *(f"a~{number}" for number in range(2, 10_001))]
