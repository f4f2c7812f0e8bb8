"""Which of a million keys stand twice: 24 bytes a record while reading, sorted at the end."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field

_NUMBER_BITS = 40


@dataclass(frozen=True)
class Met:
    """One record that has a key which others have too."""

    split: str
    place: str
    """As in `Row`."""
    value: int
    """Hash of what it says, where that was given."""


@dataclass
class Meetings:
    """Keys, each with the place where it stood and what was said there, as numbers."""

    _keys: array[int] = field(default_factory=lambda: array("Q"))
    _places: array[int] = field(default_factory=lambda: array("Q"))
    _values: array[int] = field(default_factory=lambda: array("Q"))
    _files: dict[tuple[str, str], int] = field(default_factory=dict)

    def add(self, key: int, split: str, place: str, value: int = 0) -> None:
        """Note a key.

        Args:
            key: from `number_of`.
            split: of the record.
            place: of the record; a text that ends in a number.
            value: of what it says.
        """
        name, _, number = place.rpartition(" ")
        file = self._files.setdefault((split, name), len(self._files))
        self._keys.append(key)
        self._places.append(file << _NUMBER_BITS | int(number))
        self._values.append(value)

    def groups(self) -> Iterator[list[Met]]:
        """Yield the records of each key that stands more than once, in the order in which they were noted."""
        import numpy as np

        if not self._keys:
            return
        keys = np.frombuffer(self._keys, dtype=np.uint64)
        order = np.argsort(keys, kind="stable")
        starts = np.flatnonzero(np.diff(keys[order], prepend=keys[order[0]] ^ np.uint64(1)))
        sizes = np.diff(starts, append=len(keys))
        several = np.flatnonzero(sizes > 1)
        files = list(self._files)
        for place in several[np.argsort(order[starts[several]])].tolist():
            rows = order[starts[place] : starts[place] + sizes[place]].tolist()
            yield [self._met(row, files) for row in rows]

    def _met(self, row: int, files: list[tuple[str, str]]) -> Met:
        file, number = divmod(self._places[row], 1 << _NUMBER_BITS)
        split, name = files[file]
        return Met(split, f"{name} {number}", self._values[row])


def number_of(*parts: str) -> int:
    """Return 64 bits that stand for texts; two of a million differ by chance in all but 3 of 100 million sets."""
    digest = hashlib.blake2b("\0".join(parts).encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big")
