"""Finding the files of a data set, and what split their names mean."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from assistant.errors import DataError
from data_recipes.datasets.catalogue import CARDS
from data_recipes.datasets.parts import Part
from data_recipes.datasets.row import Row
from data_recipes.datasets.rows import read_rows

_SPLIT_WORDS = {
    "train": "train",
    "training": "train",
    "trainset": "train",
    "dev": "dev",
    "val": "dev",
    "valid": "dev",
    "validate": "dev",
    "validation": "dev",
    "test": "test",
    "testset": "test",
}


def split_word(word: str | None) -> str | None:
    """Return the split that a word such as "validation" means, or None."""
    return _SPLIT_WORDS.get((word or "").strip().lower())


def split_of(path: Path) -> str | None:
    """Return the split that a file's name means by its last such word, or None: "new_train_2.csv" is train."""
    words = [split_word(word) for word in re.split(r"[^a-z]+", path.stem.lower())]
    return next((word for word in reversed(words) if word), None)


def find_files(source: Path, *patterns: str) -> list[Path]:
    """Return the files that match the first pattern that any does.

    Args:
        source: a folder, or one file, which is taken as it is.
        *patterns: as `Path.glob` takes them; the best known layout first.
    Returns:
        Files in the order of the alphabet; none if no pattern matches.
    """
    if source.is_file():
        return [source]
    for pattern in patterns:
        found = sorted(path for path in source.glob(pattern) if path.is_file())
        if found:
            return found
    return []


def need_files(name: str, source: Path, *patterns: str) -> list[Path]:
    """Return what `find_files` does, or refuse the folder.

    Args:
        name: of the recipe.
        source: a folder or a file.
        *patterns: as in `find_files`.
    Returns:
        At least one file.
    Raises:
        DataError: there is none; names the layout and what lies in the folder.
    """
    found = find_files(source, *patterns)
    if not found:
        raise no_files(name, source)
    return found


def no_files(name: str, source: Path) -> DataError:
    """Return the error for a folder that holds nothing of a recipe's layout."""
    there = sorted(path.name for path in source.iterdir()) if source.is_dir() else [source.name]
    shown = ", ".join(there[:10]) + (f" and {len(there) - 10} more" if len(there) > 10 else "")
    card = CARDS[name]
    return DataError(
        f"{source} holds nothing that {name} can read. Expected: {card.layout}. Found: {shown or 'nothing'}. "
        f"The set is at {card.home}."
    )


def split_parts(
    name: str, files: Sequence[Path], read: Callable[[Path], Iterable[Row]] = read_rows, *, default: str | None = None
) -> list[Part]:
    """Make one part a file, with the split that its name means.

    Args:
        name: of the recipe.
        files: what `find_files` gave.
        read: reads a file.
        default: split of files whose names mean none; None splits by hash.
    Returns:
        Parts in the order of the files.
    """

    def reader(path: Path) -> Callable[[], Iterable[Row]]:
        return lambda: read(path)

    return [Part(split_of(path) or default, reader(path)) for path in files]
