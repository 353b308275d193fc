"""Makes repeated names of inputs unique."""

from array import array
from itertools import count

import xxhash


class UniqueNames:
    """Returns new names unchanged and adds `~2`, `~3` and so on to repeated ones.

    It stores a 64-bit hash of each name: 160 to 320 MB for 10 million names. Of these, one gets a
    number unnecessarily with a probability of three in a million.

    Attributes:
        first: the first changed name, with its number; empty if none was changed.
    """

    def __init__(self) -> None:
        self._hashes = _Hashes()
        self.first = ""

    def __call__(self, name: str) -> str:
        """Return the unique name of an input."""
        if self._hashes.add(_hash(name)):
            return name
        numbered = f"{name}~{self._free_number(name)}"
        self._hashes.add(_hash(numbered))
        self.first = self.first or numbered
        return numbered

    def _free_number(self, name: str) -> int:
        """Return a free number after a taken one: the smallest, unless inputs have such names."""
        taken, free = 1, 2
        for step in count(1):
            if _hash(f"{name}~{free}") not in self._hashes:
                break
            taken, free = free, free + 2**step
        while free - taken > 1:
            middle = (taken + free) // 2
            if _hash(f"{name}~{middle}") in self._hashes:
                taken = middle
            else:
                free = middle
        return free


def _hash(name: str) -> int:
    digest: int = xxhash.xxh3_64_intdigest(name.encode())
    return digest or 1


class _Hashes:
    """A set of non-zero 64-bit numbers that uses 16 to 32 bytes each."""

    def __init__(self) -> None:
        self._slots = array("Q", bytes(8 * 64))
        self._used = 0

    def __contains__(self, number: int) -> bool:
        return self._slots[self._place(number)] == number

    def add(self, number: int) -> bool:
        """Add a number; return whether it is new."""
        place = self._place(number)
        if self._slots[place] == number:
            return False
        self._slots[place] = number
        self._used += 1
        if 2 * self._used > len(self._slots):
            self._grow()
        return True

    def _place(self, number: int) -> int:
        """Return the slot of a number, or the free slot for it."""
        slots = self._slots
        last = len(slots) - 1  # a power of two, less 1
        place = number & last
        while slots[place] not in (0, number):
            place = (place + 1) & last
        return place

    def _grow(self) -> None:
        before, self._slots = self._slots, array("Q", bytes(8 * 2 * len(self._slots)))
        for number in before:
            if number:
                self._slots[self._place(number)] = number
