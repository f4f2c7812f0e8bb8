"""What must not be: the same record, patient, picture or question in two splits, and pictures that cannot be read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

from assistant.errors import DataError
from data_recipes.auditing.tally import Tally

if TYPE_CHECKING:
    from data_recipes.auditing.images import Images, Pair

KINDS: dict[str, str] = {
    "id": "Give each record an id of its own, or build the splits again",
    "patient": "Give all records of a patient the same split",
    "image": "Keep a picture's records in one split",
    "near-image": "Keep a picture and its copies, and the frames of one patient, in one split; look at the pairs",
    "turned-image": "Look at the pairs, and keep a picture and its mirrored copies in one split",
    "question": "Ask a question without a picture in one split only",
}
"""Kind of leak to how it is mended."""

NO_FAILURE = ("turned-image",)
"""Kinds that are told but do not fail a build: a symmetric body is alike in the mirror, too."""

_SHOWN = 5
_NAMES = {
    "id": "record ids",
    "patient": "patients",
    "image": "pictures, equal byte for byte,",
    "near-image": "pictures, saved anew (resized, recompressed) or next to each other in one examination,",
    "turned-image": "pictures, mirrored or turned,",
    "question": "questions without a picture",
}


@dataclass(frozen=True)
class Leak:
    """One kind of thing that stands in two splits."""

    kind: str
    """Key in `KINDS`."""
    count: int
    """How many of them."""
    examples: tuple[str, ...]
    """The first few: where they stand."""
    allowed: str | None = None
    """The declared reason why it may be so."""

    @property
    def fails(self) -> bool:
        """Whether it stops a build."""
        return self.allowed is None and self.kind not in NO_FAILURE

    @property
    def text(self) -> str:
        """The leak in words: how many, where, and how it is mended."""
        where = "".join(f"\n    {one}" for one in self.examples)
        return f"leak {self.kind}: {self.count} {_NAMES[self.kind]} stand in two splits. {KINDS[self.kind]}.{where}"

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "kind": self.kind,
            "count": self.count,
            "examples": list(self.examples),
            "allowed": self.allowed,
            "fails": self.fails,
        }


def read_allowed(given: Sequence[str]) -> dict[str, str]:
    """Read what `--allow-leak` was given.

    Args:
        given: `KIND=REASON` each.
    Returns:
        Kind to reason.
    Raises:
        DataError: the kind is unknown or no reason is given.
    """
    allowed = {}
    for one in given:
        kind, _, reason = one.partition("=")
        if kind not in KINDS or len(reason.split()) < 2:
            raise DataError(
                f"--allow-leak is {one!r}; write KIND=REASON with a kind of {', '.join(KINDS)} and the reason "
                "in words, such as --allow-leak 'image=official split of the data set'."
            )
        allowed[kind] = reason.strip()
    return allowed


def find_leaks(tally: Tally, images: Images, allowed: Mapping[str, str]) -> tuple[list[Leak], list[str]]:
    """Compare the splits.

    Args:
        tally: what all records tell.
        images: their pictures.
        allowed: kind of leak to the declared reason why it may be so.
    Returns:
        The leaks, and pairs of pictures in two splits that are alike without being the same, in words.
    """
    found: dict[str, list[str]] = {}
    for kind in ("id", "patient", "question"):
        for places in tally.crossing.get(kind, []):
            found.setdefault(kind, []).append(" and ".join(places.values()))
    from data_recipes.auditing.images import SAME

    homes: dict[int, dict[str, str]] = {}
    for path, place in images.content.items():
        for split, where in tally.images[path].items():
            homes.setdefault(place, {}).setdefault(split, f"{where} ({path.rpartition('/')[2]})")
    # A picture of one grey shows nothing that could leak.
    found["image"] = [
        " and ".join(home.values()) for place, home in homes.items() if len(home) > 1 and not images.flat[place]
    ]
    alike: list[str] = []
    for pair, text in _near(tally, images, homes):
        if pair.value < SAME:
            alike.append(text)
        else:
            found.setdefault("turned-image" if pair.turned else "near-image", []).append(text)
    leaks = [
        Leak(kind, len(found[kind]), tuple(found[kind][:_SHOWN]), allowed.get(kind))
        for kind in KINDS
        if found.get(kind)
    ]
    return leaks, alike


def _near(tally: Tally, images: Images, homes: Mapping[int, Mapping[str, str]]) -> Iterator[tuple[Pair, str]]:
    """Yield pictures of two splits that look alike, and where they stand."""
    import numpy as np

    from data_recipes.auditing.images import near_pairs

    drawn = np.zeros(len(images.names), bool)
    drawn[[place for path, place in images.content.items() if path in tally.drawn]] = True
    seen: set[tuple[int, int]] = set()
    for one, other in combinations(sorted({split for home in homes.values() for split in home}), 2):
        sides = [np.array([place for place, home in homes.items() if split in home], int) for split in (one, other)]
        if len(sides[0]) > len(sides[1]):
            sides.reverse()
            one, other = other, one
        for pair in near_pairs(images, sides[0], sides[1], drawn):
            key = (min(pair.first, pair.second), max(pair.first, pair.second))
            # A picture that stands in both splits is told of as such already.
            if key not in seen and not set(homes[pair.first]) & set(homes[pair.second]):
                seen.add(key)
                yield pair, f"{homes[pair.first][one]} and {homes[pair.second][other]}, correlation {pair.value:.3f}"


def faults(tally: Tally, images: Images) -> list[str]:
    """Say what is wrong apart from leaks: ids twice in a split, pictures that are missing or broken.

    Args:
        tally: what all records tell.
        images: their pictures.
    Returns:
        One text a fault kind, with the first few cases.
    """
    told = []
    if tally.repeated:
        cases = "".join(f"\n    {one} and {other}" for one, other in tally.repeated[:_SHOWN])
        told.append(f"{len(tally.repeated)} records have an id that is taken. Give each its own.{cases}")
    if images.broken:
        cases = "".join(
            f"\n    {path} {why} ({next(iter(tally.images[path].values()))})"
            for path, why in list(images.broken.items())[:_SHOWN]
        )
        told.append(f"{len(images.broken)} pictures are missing or broken. Add them, or delete their records.{cases}")
    return told
