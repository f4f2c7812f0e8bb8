"""Beginnings that prompts share are read once: in a batch, and from one call to the next.

Every prompt of a model begins with the same system text, and questions about one picture share the picture too. What
attention remembers of such a beginning is computed once, copied into each row, and the latest ones are kept.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np

from assistant.engine.batch import Batch
from assistant.engine.cache import Part
from assistant.engine.language import Language

if TYPE_CHECKING:
    from assistant.engine.prompt import Prompt

LEAST = 16
"""Fewer shared tokens than this are not worth a copy."""
_TEXT = 32
"""So many equal tokens at the beginning of prompts without pictures make them share it."""
_MOST_HELD = 64
_NONE = np.iinfo(np.int64).min
"""Stands in no key."""


@dataclass(frozen=True, eq=False)
class Keyed:
    """A prompt as it is compared with others. T tokens."""

    prompt: Prompt
    key: np.ndarray
    """(T,) int64: the token's id, or for a picture's tokens a negative number made of the picture and the place."""
    cut: int
    """Where the prompt's last picture ends."""
    lasting: bool
    """Whether the key means the same in the next call: every picture is known by its content."""


def keyed(prompt: Prompt, image_id: int) -> Keyed:
    """Return a prompt with its key."""
    key = np.asarray(prompt.ids, dtype=np.int64)
    places = np.flatnonzero(key == image_id) if prompt.features else np.zeros(0, np.int64)
    start = 0
    for one in prompt.features:
        name = one.content_id or f"at {id(one)}"
        base = int.from_bytes(hashlib.blake2b(name.encode(), digest_size=7).digest(), "big") << 6
        inside = places[start : start + len(one.patches)]
        key[inside] = -1 - base - np.arange(len(inside))
        start += len(one.patches)
    cut = int(places[-1]) + 1 if len(places) else _TEXT
    return Keyed(prompt, key, cut, all(one.content_id for one in prompt.features))


def shared(one: np.ndarray, other: np.ndarray) -> int:
    """Return how many tokens two keys have in common at their beginning."""
    size = min(len(one), len(other))
    differ = np.flatnonzero(one[:size] != other[:size])
    return int(differ[0]) if len(differ) else size


class PrefixCache:
    """Remembers what attention made of the latest prompts, within a bound of memory.

    Args:
        most_bytes: what it may hold; 0 remembers nothing.
    """

    def __init__(self, most_bytes: int) -> None:
        self._most = most_bytes
        self._held: OrderedDict[bytes, tuple[np.ndarray, Part]] = OrderedDict()
        self._table: np.ndarray | None = None
        self._lock = Lock()
        self._stamp: Any = None
        self.bytes = 0
        """What it holds now."""

    def check(self, stamp: Any) -> None:
        """Forget everything if the weights or the adapter are no longer those that it was made with."""
        with self._lock:
            if stamp != self._stamp:
                self._held.clear()
                self._stamp, self._table, self.bytes = stamp, None, 0

    def _common(self, key: np.ndarray) -> np.ndarray:
        """Return how many tokens each beginning that is held has in common with a key: (N,)."""
        if self._table is None:
            longest = max((len(held) for held, _ in self._held.values()), default=0)
            self._table = np.full((len(self._held), longest + 1), _NONE)
            for row, (held, _) in enumerate(self._held.values()):
                self._table[row, : len(held)] = held
        differ = self._table[:, : len(key)] != key[: self._table.shape[1]]
        whole = differ.shape[1]
        return np.where(differ.any(1), differ.argmax(1), whole) if whole else np.zeros(len(differ), np.int64)

    def find(self, key: np.ndarray) -> tuple[int, Part]:
        """Return how many tokens at the beginning are known, one less than all at most, and what they left."""
        with self._lock:
            if not self._held:
                return 0, []
            common = self._common(key)
            row = int(common.argmax())
            best = min(int(common[row]), len(key) - 1)
            if best < LEAST:
                return 0, []
            name = list(self._held)[row]
            part = self._held[name][1]
            if row < len(self._held) - 1:
                self._held.move_to_end(name)
                self._table = None
        return best, [(keys[:, :best], values[:, :best]) for keys, values in part]

    def wants(self, one: Keyed) -> bool:
        """Tell whether a prompt is worth keeping: it is, unless all up to its last picture is held already."""
        if not self._most or not one.lasting:
            return False
        with self._lock:
            common = self._common(one.key)
            sizes = np.asarray([len(held) for held, _ in self._held.values()], dtype=np.int64)
            return bool((common < np.minimum(sizes, one.cut)).all())

    def put(self, key: np.ndarray, part: Part) -> None:
        """Remember a beginning, and forget the oldest until all fit; shorter beginnings of it are let go."""
        size = sum(keys.nbytes + values.nbytes for keys, values in part)
        if size > self._most:
            return
        with self._lock:
            for name, (held, _) in list(self._held.items()):
                if len(held) <= len(key) and np.array_equal(held, key[: len(held)]):
                    self._drop(name)
            self._held[key.tobytes()] = (key, part)
            self.bytes += size
            while self.bytes > self._most or len(self._held) > _MOST_HELD:
                self._drop(next(iter(self._held)))
            self._table = None

    def _drop(self, name: bytes) -> None:
        _, part = self._held.pop(name)
        self.bytes -= sum(keys.nbytes + values.nbytes for keys, values in part)


def prefill(
    language: Language,
    prompts: Sequence[Prompt],
    cache: PrefixCache,
    *,
    more: int,
    sharing: bool = True,
    keep: bool = True,
    rows_later: int = 0,
) -> Batch:
    """Read prompts, each shared beginning once.

    Args:
        language: the model.
        prompts: B of them.
        cache: of beginnings that were read before; it takes new ones.
        more: tokens that will be written after the prompts, to make room for.
        sharing: False reads every prompt whole.
        keep: whether the cache takes these prompts' beginnings; not where none of them will come again.
        rows_later: how many rows others may make of it, to make room for.
    Returns:
        A row for each prompt, with the logits of its first new token.
    """
    if not sharing or language.windowed:
        return _read(language, prompts, [(0, len(one.ids)) for one in prompts], [[]] * len(prompts), more, rows_later)
    cache.check(language.stamp())
    rows = [keyed(prompt, language.image_id) for prompt in prompts]
    known = [cache.find(row.key) for row in rows]
    groups = _groups(rows, known)
    if any(len(group) > 1 for group in groups):
        known = _read_groups(language, rows, known, groups, cache if keep else PrefixCache(0))
    spans = [(size, len(row.key)) for row, (size, _) in zip(rows, known, strict=True)]
    batch = _read(language, prompts, spans, [part for _, part in known], more, rows_later)
    for place, row in enumerate(rows):
        if keep and cache.wants(row):
            cache.put(row.key, batch.cache.part(place))
    return batch


def _groups(rows: Sequence[Keyed], known: Sequence[tuple[int, Part]]) -> list[list[int]]:
    """Return the rows that have the same beginning up to their last picture, where that is not known yet."""
    found: dict[bytes, list[int]] = {}
    for place, (row, (size, _)) in enumerate(zip(rows, known, strict=True)):
        if row.cut < len(row.key) and size < row.cut:
            found.setdefault(row.key[: row.cut].tobytes(), []).append(place)
    return list(found.values())


def _read_groups(
    language: Language,
    rows: Sequence[Keyed],
    known: Sequence[tuple[int, Part]],
    groups: Sequence[Sequence[int]],
    cache: PrefixCache,
) -> list[tuple[int, Part]]:
    """Read what each group shares; return what is known of every row then."""
    firsts = [group[0] for group in groups]
    sizes = []
    for group in groups:
        first = rows[group[0]].key
        least = min(len(rows[place].key) for place in group) - 1
        sizes.append(min([least, *(shared(first, rows[place].key) for place in group[1:])]))
    spans = [(known[first][0], size) for first, size in zip(firsts, sizes, strict=True)]
    batch = _read(language, [rows[first].prompt for first in firsts], spans, [known[one][1] for one in firsts], 0)
    found = list(known)
    for place, (group, size) in enumerate(zip(groups, sizes, strict=True)):
        part = batch.cache.part(place)
        for row in group:
            found[row] = (size, part)
        if cache.wants(rows[group[0]]):
            cache.put(rows[group[0]].key[:size], part)
    return found


def _read(
    language: Language,
    prompts: Sequence[Prompt],
    spans: Sequence[tuple[int, int]],
    parts: Sequence[Part],
    more: int,
    rows_later: int = 0,
) -> Batch:
    """Read a stretch of each prompt after what is known of it."""
    embeds, mask = language.embeds(prompts, spans)
    longest = max(start for start, _ in spans)
    batch = language.begin(parts, longest + embeds.shape[1] + more, rows_later)
    batch.logits = language.extend(batch, embeds, mask)[:, -1]
    return batch
