"""Names of inputs that come more than once, told apart."""

from array import array
from itertools import count

import xxhash


class UniqueNames:
    """Gives names as they are, and those that came before with `~2`, `~3` and so on behind them.

    It remembers 64 bits of each name: of 10 million names one gets a number without need in
    three of a million cases, and 160 to 320 MB are taken.

    Attributes:
        first: the first name that had to be changed, as it was changed; empty when none was.
    """

    def __init__(self) -> None:
        self._hashes = _Hashes()
        self.first = ""

    def __call__(self, name: str) -> str:
        """The name that this input has."""
        if self._hashes.add(_hash(name)):
            return name
        numbered = f"{name}~{self._free_number(name)}"
        self._hashes.add(_hash(numbered))
        self.first = self.first or numbered
        return numbered

    def _free_number(self, name: str) -> int:
        """One behind a number that is taken; the smallest, where none was given by hand."""
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
    """A set of numbers of 64 bits, none of them 0, in 16 to 32 bytes each."""

    def __init__(self) -> None:
        self._slots = array("Q", bytes(8 * 64))
        self._used = 0

    def __contains__(self, number: int) -> bool:
        return self._slots[self._place(number)] == number

    def add(self, number: int) -> bool:
        """Take a number in; whether it was not there yet."""
        place = self._place(number)
        if self._slots[place] == number:
            return False
        self._slots[place] = number
        self._used += 1
        if 2 * self._used > len(self._slots):
            self._grow()
        return True

    def _place(self, number: int) -> int:
        """Where it is, or where it would go."""
        slots = self._slots
        last = len(slots) - 1  # their number is a power of two
        place = number & last
        while slots[place] not in (0, number):
            place = (place + 1) & last
        return place

    def _grow(self) -> None:
        before, self._slots = self._slots, array("Q", bytes(8 * 2 * len(self._slots)))
        for number in before:
            if number:
                self._slots[self._place(number)] = number
