"""The order of a local folder, from the order in which stores list one."""

from hypothesis import given
from hypothesis import strategies as st

from ppcli.filesystems.local_order import in_local_order

_NAMES = st.lists(st.text("ab!-./", min_size=1, max_size=4), unique=True, max_size=20)


def _as_stored(names: list[str]) -> list[tuple[bytes, tuple[str, bool]]]:
    """Return entries as S3 lists them; names with a slash at their end are folders."""
    plain = [name for name in names if "/" not in name[:-1] and name != "/"]
    entries = [(name.encode(), (name.rstrip("/"), name.endswith("/"))) for name in plain]
    return sorted(entries)


@given(_NAMES)
def test_names_come_in_bytewise_order_without_the_slashes(names: list[str]) -> None:
    stored = _as_stored(names)
    found = list(in_local_order(iter(stored), lambda one: one[0]))
    assert [name for name, _ in found] == sorted(name for _, (name, _) in stored)
    assert sorted(found) == sorted(entry for _, entry in stored)


def test_a_file_is_not_held_longer_than_a_folder_may_precede_it() -> None:
    taken: list[str] = []

    def stored():
        for name in ("a-1.png", "a-2.png", "b.png", "c.png", "d.png"):
            taken.append(name)
            yield name.encode(), name

    found = in_local_order(stored(), lambda name: name)
    assert next(found) == "a-1.png"
    assert taken == ["a-1.png", "a-2.png", "b.png"]  # now no folder `a` can come
    assert [next(found), next(found), next(found)] == ["a-2.png", "b.png", "c.png"]
    assert taken[-1] == "d.png"
