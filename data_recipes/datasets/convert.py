"""The path that every public data set takes to example files: read, check, split, place pictures, write.

A module gives its parts (files with their splits) and a function that makes the examples of one record; `recipe` makes
the `build` of them. Records stream: what is kept in memory is 8 bytes an id, the groups held out, and the names of
missing pictures. All faults are told at once, and then nothing is written.
"""

from __future__ import annotations

import hashlib
import json
import logging
from argparse import _ActionsContainer
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence, Sized
from contextlib import ExitStack, suppress
from itertools import islice
from pathlib import Path
from typing import Any, Protocol, TextIO

from assistant.errors import DataError
from data_recipes.datasets.catalogue import CARDS
from data_recipes.datasets.fetch import FetchSettings, Job, fetch_pictures
from data_recipes.datasets.parts import HELD_OUT, Part, SetOptions, Skip, add_set_options, group_keys, in_turn
from data_recipes.datasets.pictures import MissingPicture, Pictures, missing_records, missing_text
from data_recipes.datasets.row import Row
from data_recipes.jsonl import write_records
from data_recipes.schema import Example, Preference
from data_recipes.schema_check import show
from data_recipes.splits import assign_split

logger = logging.getLogger(__name__)

FAULTS_SHOWN = 20
FAULT_LIMIT = 1000
"""Reading stops at so many faults: the layout is another."""
REPORT_EVERY = 200_000
_encode = json.JSONEncoder(ensure_ascii=False).encode

Record = Example | Preference


class MakeExamples(Protocol):
    """What a module does with one record."""

    def __call__(self, row: Row, pictures: Pictures) -> Iterator[Record]:
        """Yield the examples of a record, with the pictures' names as `pictures` gives them."""


class BuildSet(Protocol):
    """What `recipe` makes."""

    def __call__(
        self, source: Path, out: Path, *, limit: int | None = None, seed: int = 0, link: bool = False, **options: Any
    ) -> dict[str, int]:
        """Write the example files of `source` into `out` and return their names with their numbers of examples.

        `options` are those of `SetOptions`.
        """


AddOptions = Callable[[_ActionsContainer], None]
"""Adds options to a command line's parser or to a group of it."""


def recipe(
    name: str,
    parts: Callable[[Path], Sequence[Part]],
    examples: MakeExamples,
    *,
    roots: Sequence[str] = ("images", ""),
    jobs: Callable[[Path], Iterable[Job]] | None = None,
) -> tuple[BuildSet, AddOptions]:
    """Make the `build` and the `add_options` of a data set.

    Args:
        name: key in `CARDS`.
        parts: finds the files in a folder, or in the folder of a file.
        examples: makes the examples of one record.
        roots: folders where pictures may lie.
        jobs: where each picture can be fetched from, for sets that say so.
    Returns:
        What `data_recipes.build` calls to build, and to add the set's own options to its command line.
    """

    def add_options(group: _ActionsContainer) -> None:
        add_set_options(group, fetches=jobs is not None)

    def build(
        source: Path, out: Path, *, limit: int | None = None, seed: int = 0, link: bool = False, **options: Any
    ) -> dict[str, int]:
        own = SetOptions(**options)
        folder = source if source.is_dir() else source.parent
        found = list(parts(source))
        with Pictures(folder, out, roots=roots, link=link) as pictures:
            run = _Run(name, examples, pictures, out, own.splits, seed)
            if own.fetch and jobs is not None:
                settings = FetchSettings(rate=own.fetch_rate, workers=own.fetch_workers)
                pictures.collecting = True
                wanted = run.missing_pictures(found, limit)
                pictures.collecting = False
                pictures.missing.clear()
                fetch_pictures((job for job in jobs(folder) if job.picture in wanted), folder, settings)
            return run.write(found, limit, skip_missing=own.skip_missing, fetches=jobs is not None)

    return build, add_options


class _Run:
    """One conversion."""

    def __init__(
        self, name: str, examples: MakeExamples, pictures: Pictures, out: Path, splits: str, seed: int
    ) -> None:
        self.name, self.examples, self.pictures, self.out = name, examples, pictures, out
        self.splits, self.seed = splits, seed
        self.faults: list[str] = []
        self.left_out: Counter[str] = Counter()
        self.homes: dict[bytes, str] = {}
        self.ids = array("q")
        self.counts: Counter[str] = Counter()

    def missing_pictures(self, parts: Sequence[Part], limit: int | None) -> set[str]:
        """Read all records once and return the pictures that they lack; faults are told by the reading to come."""
        for part, quota in in_turn(parts, limit):
            for row in islice(part.rows(), quota):
                if row.fault is None:
                    with suppress(DataError, MissingPicture, Skip):
                        list(self.examples(row, self.pictures))
                    self.pictures.drop()
        return set(self.pictures.missing)

    def write(self, parts: Sequence[Part], limit: int | None, *, skip_missing: bool, fetches: bool) -> dict[str, int]:
        """Write the example files, `build.json` and, where pictures are missing, `missing.jsonl`."""
        records = 0
        with ExitStack() as stack:
            files: dict[str, TextIO] = {}
            for part, quota in in_turn(parts, limit):
                for row in islice(part.rows(), quota):
                    records += 1
                    if records % REPORT_EVERY == 0:
                        logger.info("%s: read %d records", self.name, records)
                    for name, record in self._made(part, row):
                        if name not in files:
                            files[name] = stack.enter_context((self.out / name).open("w", encoding="utf-8"))
                        files[name].write(_encode(record.to_dict()) + "\n")
                        self.counts[name] += 1
        self._check_ids()
        self._raise_faults()
        if self.pictures.missing:
            self._tell_missing(skip_missing, fetches)
        if not self.counts:
            raise DataError(f"{self.name}: no record of {records} gave an example ({self._reasons() or 'none read'}).")
        self._note(records, limit)
        return dict(sorted(self.counts.items()))

    def _made(self, part: Part, row: Row) -> Iterator[tuple[str, Record]]:
        """Return file name and example for all that a record gives, and place its pictures; faults are noted."""
        if row.fault is not None:
            self._note_fault(f"{row.place}: {row.fault}")
            return iter(())
        made: list[tuple[str, Record]] = []
        try:
            for record in self.examples(row, self.pictures):
                keys = group_keys(record)
                split = part.split
                if split is None or self.splits == "fresh":
                    split = assign_split(keys[0], self.seed)
                    self._stay(keys[1:] if record.patient and not record.images else (), split, HELD_OUT + ("train",))
                elif self.splits == "clean" and not part.apart:
                    self._stay(keys, split, HELD_OUT)
                made.append((f"{split}-{part.label}.jsonl" if part.label else f"{split}.jsonl", record))
        except Skip as reason:
            self.left_out[str(reason)] += 1
            self.pictures.drop()
            return iter(())
        except MissingPicture:
            self.left_out["a picture is missing"] += 1
            self.pictures.drop()
            return iter(())
        except DataError as error:
            self._note_fault(f"{row.place}: {error}")
            self.pictures.drop()
            return iter(())
        self.pictures.keep()
        self.ids.extend(hash(record.id) for _, record in made)
        return iter(made)

    def _stay(self, keys: Sequence[str], split: str, homes: tuple[str, ...]) -> None:
        """Give keys that are new their home, where `split` is one of `homes`; skip a record whose key is elsewhere."""
        # 8 bytes of each key: a question can be a page long.
        hashes = [hashlib.blake2b(key.encode(), digest_size=8).digest() for key in keys]
        for key in hashes:
            home = self.homes.get(key, split)
            if home != split:
                raise Skip(f"shares a patient, article, picture or question with {home}")
        if split in homes:
            self.homes.update(dict.fromkeys(hashes, split))

    def _note_fault(self, text: str) -> None:
        self.faults.append(text)
        if len(self.faults) >= FAULT_LIMIT:
            self._raise_faults()

    def _raise_faults(self) -> None:
        if not self.faults:
            return
        shown = "\n  ".join(self.faults[:FAULTS_SHOWN])
        more = len(self.faults) - FAULTS_SHOWN
        tail = f"\n  … and {more} more" if more > 0 else ""
        count = f"at least {FAULT_LIMIT} faults" if len(self.faults) >= FAULT_LIMIT else _number(self.faults, "fault")
        layout = CARDS[self.name].layout
        raise DataError(f"{self.name}: {count}, nothing was written.\n  {shown}{tail}\nLayout expected: {layout}")

    def _check_ids(self) -> None:
        """Refuse ids that stand twice. Hashes are compared first; the files are read again only where two agree."""
        import numpy as np

        hashes = np.sort(np.frombuffer(self.ids, np.int64)) if self.ids else np.zeros(0, np.int64)
        suspects = set(hashes[1:][hashes[1:] == hashes[:-1]].tolist())
        if not suspects:
            return
        seen: Counter[str] = Counter()
        for name in self.counts:
            with (self.out / name).open(encoding="utf-8") as stream:
                for line in stream:
                    key = json.loads(line)["id"]
                    if hash(key) in suspects:
                        seen[key] += 1
        for key, count in seen.items():
            if count > 1:
                self._note_fault(f"id {show(key)} stands {count} times; delete the doubles, or give each its own.")

    def _tell_missing(self, skip_missing: bool, fetches: bool) -> None:
        missing = self.pictures.missing
        told = f"{_number(missing, 'picture')} missing (needed {missing.total()} times)"
        if not skip_missing:
            ways = "Add them" + (", fetch them with --fetch" if fetches else "")
            raise DataError(
                f"{self.name}: {told}; looked in {self.pictures.places()}.\n  {missing_text(missing)}\n"
                f"{ways}, or give --skip-missing to build without these records."
            )
        write_records(self.out / "missing.jsonl", missing_records(missing))
        logger.info("%s: %s; these records are left out, and missing.jsonl lists the pictures", self.name, told)

    def _reasons(self) -> str:
        return "; ".join(f"{count} left out: {reason}" for reason, count in self.left_out.most_common())

    def _note(self, records: int, limit: int | None) -> None:
        """Write how the files came about, and say what was left out."""
        card = CARDS[self.name]
        note: dict[str, Any] = {
            "recipe": self.name,
            "title": card.title,
            "licence": card.licence,
            "home": card.home,
            "splits": self.splits,
            "seed": self.seed,
            "limit": limit,
            "records_read": records,
            "examples": dict(sorted(self.counts.items())),
            "left_out": dict(self.left_out.most_common()),
            "missing_pictures": len(self.pictures.missing),
        }
        text = json.dumps(note, ensure_ascii=False, indent=2)
        (self.out / "build.json").write_text(text + "\n", encoding="utf-8")
        if self.left_out:
            logger.info("%s: %d records read; %s", self.name, records, self._reasons())


def _number(things: Sized, word: str) -> str:
    """Return how many there are, in words: "1 fault", "2 faults"."""
    return f"{len(things)} {word}{'' if len(things) == 1 else 's'}"
