"""Parts of a data set: which records belong to which split, in which order they are read, and which are left out."""

from __future__ import annotations

import re
import string
from argparse import _ActionsContainer
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from assistant.errors import DataError
from data_recipes.datasets.fetch import FetchSettings
from data_recipes.datasets.row import Row
from data_recipes.schema import Example, Preference
from data_recipes.schema_check import show

SPLIT_WAYS: dict[str, str] = {
    "clean": "the set's own splits; training records that share a group with held-out ones are left out",
    "own": "the set's own splits as published, leaks and all",
    "fresh": "new splits by a hash of the group",
}
"""What `--splits` takes. A group is a patient, else an article or study, else a picture."""
HELD_OUT: tuple[str, ...] = ("test", "dev")
"""Splits in the order in which they win a group."""
_NO_WORDS = str.maketrans(dict.fromkeys(string.punctuation + "“”‘’–—…，。？：；（）", " "))
_SPLIT_NAME = re.compile(r"[\w-]+")


class Skip(Exception):
    """A record cannot become an example, by no fault of the file; its text says why and is counted."""


@dataclass(frozen=True)
class Part:
    """Some records of a data set that belong to one split."""

    split: str | None
    """Split that the set itself gives; None where it gives none."""
    rows: Callable[[], Iterable[Row]]
    """Reads the records anew."""
    label: str = ""
    """Stands after the split in the file name: "zh" gives train-zh.jsonl."""
    apart: bool = False
    """Whether it overlaps another part by intent, so that groups are not compared."""

    def __post_init__(self) -> None:
        if self.split is not None and not _SPLIT_NAME.fullmatch(self.split):
            raise DataError(f"split {show(self.split)} cannot name a file; use letters, digits, - and _.")


def group_keys(record: Example | Preference) -> list[str]:
    """Return what must not stand in two splits, the largest group first: patient, pictures, or a bare question.

    A record without a picture is found again by its question and choices, whatever its case and punctuation.
    """
    keys = [f"patient {record.patient}"] if record.patient else []
    keys += [f"picture {name}" for name in record.images]
    if not record.images:
        asked = record.messages if isinstance(record, Preference) else record.messages[:-1]
        choices = () if isinstance(record, Preference) else sorted(record.choices or ())
        text = " ".join([*(message["content"] for message in asked), *choices])
        keys.append("question " + " ".join(text.lower().translate(_NO_WORDS).split()))
    return keys


def in_turn(parts: Sequence[Part], limit: int | None) -> Iterator[tuple[Part, int | None]]:
    """Yield the parts in the order they are read, held-out ones first, so that a group's home is known in time.

    Args:
        parts: of a data set.
        limit: at most so many records of all; None for no limit.
    Yields:
        Each part with how many records it may give: about as many as every other.
    """
    order = {split: place for place, split in enumerate(HELD_OUT)}
    ordered = sorted(parts, key=lambda part: (part.apart, order.get(part.split or "", len(order))))
    if limit is None:
        yield from ((part, None) for part in ordered)
        return
    left = limit
    for place, part in enumerate(ordered):
        quota = -(-left // (len(ordered) - place))
        left -= quota
        if quota:
            yield part, quota


def by_field(name: str, split_of: Callable[[Row], str | None], rows: Callable[[], Iterable[Row]]) -> list[Part]:
    """Make one part a split from rows that name their split themselves, with one reading each.

    Args:
        name: of the field that holds the split, for the message.
        split_of: gives a row's split; None for a value that is none.
        rows: reads them.
    Returns:
        Parts for train, dev and test; what names no split is a fault of the first.
    """

    def of(split: str, first: bool) -> Iterator[Row]:
        for row in rows():
            found = split_of(row)
            if found == split or (row.fault is not None and first):
                yield row
            elif found is None and row.fault is None and first:
                held = row.fields.get(name)
                yield replace(row, fault=f"field {name!r} is {show(held)}; use train, validation or test.")

    return [
        Part(split, lambda split=split, first=first: of(split, first))  # type: ignore[misc]
        for split, first in (("test", True), ("dev", False), ("train", False))
    ]


@dataclass(frozen=True)
class SetOptions:
    """What the public sets take beyond what every recipe takes; the names are those of the command line."""

    splits: str = "clean"
    """One of `SPLIT_WAYS`."""
    skip_missing: bool = False
    """Leave out records whose pictures are missing."""
    fetch: bool = False
    """Fetch missing pictures from the links in the set."""
    fetch_rate: float = FetchSettings.rate
    """Requests a second."""
    fetch_workers: int = FetchSettings.workers
    """Requests at a time."""

    def __post_init__(self) -> None:
        if self.splits not in SPLIT_WAYS:
            raise DataError(f"--splits is {self.splits!r}; use one of {', '.join(SPLIT_WAYS)}.")


def add_set_options(group: _ActionsContainer, *, fetches: bool) -> None:
    """Add the options that public sets share to a command line.

    Args:
        group: of a parser, or a parser.
        fetches: whether the set has links to fetch pictures from.
    """
    ways = "; ".join(f"{name}: {told}" for name, told in SPLIT_WAYS.items())
    own = SetOptions()
    group.add_argument("--splits", choices=SPLIT_WAYS, default=own.splits, help=f"{ways} (default {own.splits})")
    group.add_argument("--skip-missing", action="store_true", help="leave out records whose pictures are missing")
    if fetches:
        group.add_argument("--fetch", action="store_true", help="fetch missing pictures from the links in the set")
        for name, kind, metavar, told in (
            ("--fetch-rate", float, "R", f"requests a second (default {own.fetch_rate:g})"),
            ("--fetch-workers", int, "N", f"requests at a time (default {own.fetch_workers})"),
        ):
            default = getattr(own, name.removeprefix("--").replace("-", "_"))
            group.add_argument(name, type=kind, default=default, metavar=metavar, help=told)
