"""`KeyValues`: what attention remembers of the rows of a batch, written in place.

Transformers' own dynamic cache joins two tensors at every step and copies every row when one ends. Here a step writes
into room that was made before, the room doubles when it is full, and a row that ends is covered by the last one.

Rows end at the same column and begin where they may; a mask says which columns are a row's own. Columns that are
masked hold finite numbers, because 0 times NaN is NaN.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from transformers.cache_utils import Cache, CacheLayerMixin

Part = list[tuple[torch.Tensor, torch.Tensor]]
"""Keys and values of a piece of one row: for each layer (H, t, D) twice. H heads, D width of a head."""

_LEAST_ROOM = 32
_SLACK = 64
"""Columns that may stand unused at the front before the rows are moved there."""


class GrowingLayer(CacheLayerMixin):
    """Keys and values of one layer: its first rows and `length` columns are used of a larger room.

    Args:
        rows: to make room for at once.
        expected: columns to make room for at once.
    """

    is_sliding = False

    def __init__(self, rows: int, expected: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        # Not their owner: in a circle they would wait for the garbage collector, with all their memory.
        self._rows, self._expected = rows, expected
        self.length = 0
        self.room: list[torch.Tensor] = []
        """Keys and values, (R, H, C, D) each; R and C are what there is room for."""

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        """Make room for the rows and columns that are expected."""
        rows, columns = max(len(key_states), self._rows), max(_LEAST_ROOM, self._expected)
        self.room = [one.new_empty((rows, one.shape[1], columns, one.shape[3])) for one in (key_states, value_states)]
        self.is_initialized = True

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Write (B, H, t, D) keys and values after those that are there; return all of the rows', as views."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        end = self.length + key_states.shape[2]
        self.reserve(len(key_states), end)
        for room, new in zip(self.room, (key_states, value_states), strict=True):
            room[: len(new), :, self.length : end] = new
        self.length = end
        keys, values = self.view(len(key_states))
        return keys, values

    def view(self, rows: int) -> list[torch.Tensor]:
        """Return the keys and values of the first rows, (B, H, T, D) each."""
        return [room[:rows, :, : self.length] for room in self.room]

    def reserve(self, rows: int, columns: int) -> None:
        """Double the room until this many rows and columns fit."""
        there = self.room[0].shape
        if rows <= there[0] and columns <= there[2]:
            return
        more_rows, more = max(rows, there[0]), there[2] if columns <= there[2] else max(columns, 2 * there[2])
        for place, room in enumerate(self.room):
            larger = room.new_empty((more_rows, room.shape[1], more, room.shape[3]))
            larger[: there[0], :, : self.length] = room[:, :, : self.length]
            self.room[place] = larger

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """Return how many columns a pass over `query_length` tokens sees, and where they begin."""
        return self.length + query_length, 0

    def get_seq_length(self) -> int:
        """Return the number of columns."""
        return self.length

    def get_max_length(self) -> int:
        """Return -1: there is no limit."""
        return -1


class KeyValues(Cache):
    """The cache of a batch, for any stock decoder whose layers attend to everything before them.

    Args:
        layers: how many the language model has.
        rows: to make room for at once.
        expected: columns to make room for at once.
        device: where the mask lies.
    """

    def __init__(self, layers: int, *, rows: int, expected: int, device: torch.device) -> None:
        self.mask = torch.zeros((0, 0), dtype=torch.bool, device=device)
        """(B, T): which columns are a row's own."""
        self.last: int | None = None
        """How many of the tokens that pass now are read after the last layer; None for all of them."""
        self._seen = torch.zeros((rows, max(_LEAST_ROOM, expected)), dtype=torch.bool, device=device)
        self.own: list[GrowingLayer] = [GrowingLayer(rows, expected) for _ in range(layers)]
        super().__init__(layers=list(self.own))

    def __len__(self) -> int:
        """Return the number of layers, as every cache of transformers does."""
        return len(self.own)

    @property
    def length(self) -> int:
        """Columns so far."""
        return int(self.mask.shape[1])

    def extend(self, mask: torch.Tensor) -> None:
        """Say which of the next columns will be real: (B, t), before the pass that writes them."""
        start, end = self.length, self.length + mask.shape[1]
        self._reserve(len(mask), end)
        self._seen[: len(mask), start:end] = mask
        self.mask = self._seen[: len(mask), :end]

    def _reserve(self, rows: int, columns: int) -> None:
        there = self._seen.shape
        if rows > there[0] or columns > there[1]:
            wider = there[1] if columns <= there[1] else max(columns, 2 * there[1])
            larger = self._seen.new_zeros((max(rows, there[0]), wider))
            larger[: there[0], : there[1]] = self._seen
            self._seen = larger

    def place(self, parts: Sequence[Part]) -> None:
        """Begin with rows whose first tokens were computed before.

        Args:
            parts: one for each row, ending at the same column; may be empty lists.
        """
        sizes = [part[0][0].shape[1] if part else 0 for part in parts]
        longest = max(sizes, default=0)
        mask = torch.zeros((len(parts), longest), dtype=torch.bool)
        for row, size in enumerate(sizes):
            mask[row, longest - size :] = True
        self.extend(mask.to(self._seen.device))
        if not longest:
            return
        pattern = next(part for part in parts if part)
        for number, layer in enumerate(self.own):
            layer.lazy_initialization(*(one[None] for one in pattern[number]))
            layer.reserve(len(parts), longest)
            layer.length = longest
            for row, (size, part) in enumerate(zip(sizes, parts, strict=True)):
                for kind, room in enumerate(layer.room):
                    room[row, :, : longest - size] = 0
                    if size:
                        room[row, :, longest - size : longest] = part[number][kind]

    def part(self, row: int, most: int | None = None) -> Part:
        """Return a copy of the first tokens of a row, of all of them unless `most` says how many."""
        columns = self.mask[row].nonzero()[:, 0][:most]
        return [
            (keys[row].index_select(1, columns), values[row].index_select(1, columns))
            for keys, values in (layer.view(len(self.mask)) for layer in self.own)
        ]

    def keep(self, places: Sequence[int]) -> list[int]:
        """Let all rows go but these: the last ones move into the places that become free.

        Args:
            places: in rising order.
        Returns:
            Which of the old rows stands in each place now.
        """
        left = len(places)
        movers = [place for place in places if place >= left]
        staying = set(places)
        order = [place if place in staying else movers.pop() for place in range(left)]
        for place, old in enumerate(order):
            if place != old:
                self._seen[place] = self._seen[old]
                for layer in self.own:
                    for room in layer.room:
                        room[place, :, : layer.length] = room[old, :, : layer.length]
        self.mask = self._seen[:left, : self.length]
        return order

    def repeated(self, rows: torch.Tensor, more: int) -> KeyValues:
        """Return a copy of some rows, in any order and as often as wished.

        Args:
            rows: (N,) places.
            more: columns that will be added.
        Returns:
            N rows of their own.
        """
        made = KeyValues(len(self.own), rows=len(rows), expected=self.length + more, device=rows.device)
        made.extend(self.mask[rows])
        for layer, new in zip(self.own, made.own, strict=True):
            if layer.is_initialized:
                new.update(*(one[rows] for one in layer.view(len(self.mask))))
        return made

    def absorb(self, other: KeyValues) -> None:
        """Take the rows of another batch after those that are here; the shorter rows move to the right."""
        here, there = len(self.mask), len(other.mask)
        length = max(self.length, other.length)
        self._shift(length - self.length)
        self._reserve(here + there, length)
        self._seen[here : here + there, :length] = False
        self._seen[here : here + there, length - other.length : length] = other.mask
        self.mask = self._seen[: here + there, :length]
        for layer, new in zip(self.own, other.own, strict=True):
            layer.reserve(here + there, length)
            for room, added in zip(layer.room, new.view(there), strict=True):
                room[here : here + there, :, : length - other.length] = 0
                room[here : here + there, :, length - other.length : length] = added

    def _shift(self, columns: int) -> None:
        """Move every row to the right."""
        if not columns:
            return
        rows, old = self.mask.shape
        self._reserve(rows, old + columns)
        self._seen[:rows, columns : old + columns] = self.mask.clone()
        self._seen[:rows, :columns] = False
        self.mask = self._seen[:rows, : old + columns]
        for layer in self.own:
            layer.reserve(rows, old + columns)
            for room in layer.room:
                room[:rows, :, columns : old + columns] = room[:rows, :, :old].clone()
                room[:rows, :, :columns] = 0
            layer.length += columns

    def written(self) -> None:
        """Count one more column, which every row's own step writes into the room itself."""
        self.extend(self.mask.new_ones((len(self.mask), 1)))
        for layer in self.own:
            layer.length += 1

    def move(self, rooms: Sequence[list[torch.Tensor]], seen: torch.Tensor) -> None:
        """Move into other rooms, which are at least as large.

        Args:
            rooms: for each layer keys and values, (R, H, C, D) each.
            seen: (R, C) bool, all false.
        """
        rows, length = self.mask.shape
        seen[:rows, :length] = self.mask
        self._seen, self.mask = seen, seen[:rows, :length]
        for layer, room in zip(self.own, rooms, strict=True):
            for new, old in zip(room, layer.room, strict=True):
                new[:rows, :, :length] = old[:rows, :, :length]
            layer.room = list(room)

    def lies_in(self, rooms: Sequence[list[torch.Tensor]]) -> bool:
        """Tell whether the rows still lie in these rooms; they move where one becomes too small."""
        return all(layer.room[0] is room[0] for layer, room in zip(self.own, rooms, strict=True))

    def trim(self) -> None:
        """Drop the columns at the front that no row uses any more, where there are many of them."""
        rows, length = self.mask.shape
        used = self.mask.any(0).nonzero()
        first = int(used[0, 0]) if len(used) else 0
        if first < max(_SLACK, length // 4):
            return
        self._seen[:rows, : length - first] = self._seen[:rows, first:length].clone()
        self._seen[:, length - first :] = False
        self.mask = self._seen[:rows, : length - first]
        for layer in self.own:
            for room in layer.room:
                room[:rows, :, : length - first] = room[:rows, :, first:length].clone()
            layer.length -= first
