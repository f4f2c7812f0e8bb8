"""UltraMedical preference: two answers of models to one prompt, the better one first (layout unverified).

`chosen` and `rejected` are whole dialogues with the same beginning. Written as preferences, for `training.dpo`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from assistant.errors import DataError
from data_recipes.datasets.catalogue import CARDS
from data_recipes.datasets.convert import recipe
from data_recipes.datasets.files import need_files, split_parts
from data_recipes.datasets.parts import Part, Skip
from data_recipes.datasets.pictures import Pictures
from data_recipes.datasets.row import Row
from data_recipes.datasets.words import dialogue
from data_recipes.schema import Preference

NAME = "ultramedical-preference"


def parts(source: Path) -> list[Part]:
    """Return all pairs, to be split by prompt, whatever the files are called."""
    files = need_files(NAME, source, "*.json", "data/*.json", "*.jsonl", "data/*.parquet", "*.parquet")
    return [Part(None, part.rows) for part in split_parts(NAME, files)]


def examples(row: Row, pictures: Pictures) -> Iterator[Preference]:
    """Yield one pair."""
    better = dialogue(row.list_of("chosen", dict), "chosen")
    worse = dialogue(row.list_of("rejected", dict), "rejected")
    if not better or not worse:
        raise Skip("a dialogue has no answer")
    if better[:-1] != worse[:-1]:
        raise DataError(
            "fields 'chosen' and 'rejected' begin differently; both take the same dialogue up to the answer."
        )
    if better[-1]["content"] == worse[-1]["content"]:
        raise Skip("both answers are the same")
    label = row.maybe("label_type")
    yield Preference(
        id=f"{NAME}/{row.key}",
        images=(),
        messages=better[:-1],
        chosen=better[-1]["content"],
        rejected=worse[-1]["content"],
        reason=f"ranked lower ({label})" if label else "ranked lower",
        source=NAME,
        licence=CARDS[NAME].licence,
    )


build, add_options = recipe(NAME, parts, examples)
