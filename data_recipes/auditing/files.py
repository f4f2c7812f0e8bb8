"""Which files are audited, which split each belongs to, and their records one after the other."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assistant.errors import DataError
from data_recipes.jsonl import read_records
from data_recipes.judged import Judged
from data_recipes.schema import Example, Preference
from data_recipes.splits import SPLITS

UNNAMED = "other"
"""Split of a file whose name tells none; such files are compared with the named splits like any split."""

_ALIASES = {"training": "train", "val": "dev", "valid": "dev", "validation": "dev", "testing": "test"}


@dataclass(frozen=True)
class DataFile:
    """One file of examples, preferences or judged answers."""

    path: Path
    """JSON Lines; its pictures lie relative to its folder."""
    split: str
    """One of `SPLITS`, `UNNAMED`, or what the caller called it."""


@dataclass(frozen=True)
class Row:
    """One record in the form that the audit reads, and where it stands."""

    example: Example
    """The record; of a preference, with the chosen answer."""
    split: str
    """Split of its file."""
    place: str
    """"train.jsonl line 7": shown in messages instead of anything about a patient."""
    folder: Path
    """Where its pictures are relative to."""
    rejected: str | None = None
    """The worse answer of a preference."""
    reason: str | None = None
    """What is wrong with it."""


def split_of(name: str) -> str:
    """Tell a file's split from its name: "train.jsonl", "vqa-train.jsonl", "validation_en.jsonl".

    Args:
        name: a file name.
    Returns:
        One of `SPLITS`, or `UNNAMED` where no part of the name, or more than one, is a split.
    """
    words = re.split(r"[^a-z]+", name.lower().removesuffix(".jsonl"))
    found = {_ALIASES.get(word, word) for word in words} & set(SPLITS)
    return found.pop() if len(found) == 1 else UNNAMED


def split_order(split: str) -> int:
    """Return the place of a split among the known ones; others come last."""
    return SPLITS.index(split) if split in SPLITS else len(SPLITS)


def find_files(inputs: Sequence[str | Path]) -> list[DataFile]:
    """Find the files to audit.

    Args:
        inputs: folders (their own JSONL files; not those of folders within), files, or `SPLIT=FILE`.
    Returns:
        The files whose records are examples, preferences or judged answers, each once; training first.
    Raises:
        DataError: a path does not exist, or there is no such file.
    """
    found: dict[Path, DataFile] = {}
    for given in inputs:
        name, sign, rest = str(given).partition("=")
        path, split = (Path(rest), name) if sign and name and not Path(str(given)).exists() else (Path(given), None)
        if not path.exists():
            raise DataError(f"{path} does not exist; give a folder, a JSONL file, or SPLIT=FILE.")
        files = sorted(path.glob("*.jsonl")) if path.is_dir() else [path]
        for file in files:
            if not path.is_dir() or _holds_examples(file):
                found.setdefault(file.resolve(), DataFile(file, split or split_of(file.name)))
    if not found:
        raise DataError(
            f"no example file in {', '.join(map(str, inputs))}; give a folder that python -m data_recipes.build wrote."
        )
    return sorted(found.values(), key=lambda file: split_order(file.split))


def read_rows(files: Sequence[DataFile]) -> Iterator[Row]:
    """Read the records of some files one by one; constant memory.

    Args:
        files: what `find_files` returned.
    Yields:
        Records in the order of files and lines.
    Raises:
        DataError: a line breaks the format; names file, line, field, value and mend.
    """
    several = len({file.path.parent for file in files}) > 1
    for file in files:
        shown = str(file.path) if several else file.path.name
        for number, (example, rejected, reason) in enumerate(read_records(file.path, _parsed), 1):
            yield Row(example, file.split, f"{shown} record {number}", file.path.parent, rejected, reason)


def _holds_examples(file: Path) -> bool:
    """Tell by its first record whether a file is ours to audit; passages and other lists are passed over."""
    with file.open("rb") as stream:
        first = next((line for line in stream if line.strip()), b"")
    try:
        record = json.loads(first)
    except ValueError:
        return bool(first)  # broken: reading it will say how
    return isinstance(record, dict) and "messages" in record


def _parsed(record: dict[str, Any]) -> tuple[Example, str | None, str | None]:
    if isinstance(record, dict) and "chosen" in record:
        pair = Preference.from_dict(record)
        answer = [*pair.messages, {"role": "assistant", "content": pair.chosen}]
        example = Example(
            pair.id, pair.images, answer, "chat", "open", source=pair.source, licence=pair.licence, truth=pair.truth,
            modality=pair.modality, anatomy=pair.anatomy, patient=pair.patient, site=pair.site,
        )  # fmt: skip
        return example, pair.rejected, pair.reason
    if isinstance(record, dict) and "good" in record:
        return Judged.from_dict(record).example, None, None
    return Example.from_dict(record), None, None
