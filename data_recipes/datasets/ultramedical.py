"""UltraMedical: instructions from examinations, literature and the web, answered by models.

Much of it is made from the training parts of MedQA, MedMCQA and PubMedQA: the id tells from which. Split by question.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from data_recipes.datasets.convert import recipe
from data_recipes.datasets.files import need_files
from data_recipes.datasets.parts import Part
from data_recipes.datasets.pictures import Pictures
from data_recipes.datasets.row import Row
from data_recipes.datasets.rows import read_rows
from data_recipes.datasets.words import dialogue, example
from data_recipes.schema import Example

NAME = "ultramedical"


def parts(source: Path) -> list[Part]:
    """Return all records, to be split by question."""
    files = need_files(NAME, source, "*.json", "data/*.json", "*.jsonl", "data/*.parquet", "*.parquet")
    return [Part(None, lambda: (row for path in files for row in read_rows(path)))]


def examples(row: Row, pictures: Pictures) -> Iterator[Example]:
    """Yield one dialogue."""
    key = row.text("id")
    yield example(
        NAME,
        f"{row.key}-{key}",
        (),
        dialogue(row.list_of("conversations", dict)),
        "chat",
        "open",
        truth=row.about("type", "answer"),
    )


build, add_options = recipe(NAME, parts, examples)
