"""PathVQA: questions made from the figures of pathology textbooks (layout unverified).

The hub's Parquet files hold pictures, questions and answers. The original comes as pickles, which can run code when
they are opened and are never read; JSON files of the same records are, with pictures in `images/<split>/`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from assistant.errors import DataError
from data_recipes.datasets.convert import recipe
from data_recipes.datasets.files import find_files, need_files, split_parts
from data_recipes.datasets.parts import Part
from data_recipes.datasets.pictures import Pictures
from data_recipes.datasets.row import Row
from data_recipes.datasets.words import answer_type, example, qa
from data_recipes.schema import Example

NAME = "pathvqa"


def parts(source: Path) -> list[Part]:
    """Return train, dev and test."""
    patterns = ("data/*.parquet", "*.parquet", "*[tv]*.json", "*[tv]*.jsonl", "qas/*/*.json", "qas/*/*.jsonl")
    if not find_files(source, *patterns) and (pickles := find_files(source, "**/*.pkl", "**/*.pickle")):
        raise DataError(
            f"{pickles[0]} is a pickle, which can run code when it is opened and is never read here. Use the hub's "
            "Parquet files (--source hub), or write its records as JSON Lines on a machine where that does no harm."
        )
    return split_parts(NAME, need_files(NAME, source, *patterns))


def examples(row: Row, pictures: Pictures) -> Iterator[Example]:
    """Yield the example of one question; names such as "train_0422" lie in a folder of their first word."""
    cell = row.fields.get("image")
    name = cell if isinstance(cell, str) else ""
    answer = row.text("answer")
    yield example(
        NAME,
        row.key,
        [pictures.find(name, f"{name.partition('_')[0]}/{name}") if name else pictures.take(cell)],
        qa(row.text("question"), answer),
        "vqa",
        answer_type(answer),
    )


build, add_options = recipe(NAME, parts, examples)
