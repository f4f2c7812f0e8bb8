"""MedMCQA: questions of Indian entrance examinations. `cop`, the right option, counts from 1 or from 0.

The original JSON Lines count from 1, the hub's files from 0 with -1 where the answer is kept back, and copies of either
do not say which. The whole file decides: a 0 or -1 in it means from 0, a 4 means from 1, both at once is a fault. Where
neither occurs, Parquet counts from 0 and all else from 1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from assistant.errors import DataError
from data_recipes.datasets.convert import recipe
from data_recipes.datasets.files import need_files, split_of
from data_recipes.datasets.parts import Part, Skip
from data_recipes.datasets.pictures import Pictures
from data_recipes.datasets.row import Row
from data_recipes.datasets.rows import read_rows
from data_recipes.datasets.words import example, qa
from data_recipes.schema import Example
from data_recipes.schema_check import show

NAME = "medmcqa"
OPTIONS = ("opa", "opb", "opc", "opd")


def parts(source: Path) -> list[Part]:
    """Return train, dev and test."""
    files = need_files(NAME, source, "*.json", "data/*.parquet", "*.parquet", "*.jsonl")

    def reader(path: Path) -> Callable[[], Iterator[Row]]:
        return lambda: read_counted(path)

    return [Part(split_of(path) or "train", reader(path)) for path in files]


def read_counted(path: Path) -> Iterator[Row]:
    """Yield the questions with `first`, the number of the first option."""
    first: int | None = None
    for row in read_rows(path):
        if first is None:
            first = _first_option(path)
        row.fields["first"] = first
        yield row


def _first_option(path: Path) -> int:
    seen = {right for row in read_rows(path) if isinstance(right := row.fields.get("cop"), int)}
    if seen & {0, -1} and 4 in seen:
        raise DataError(
            f"{path}: field 'cop' holds both 4 and 0 or -1, so it counts neither from 0 nor from 1; files of two kinds "
            "were joined. Give them apart."
        )
    if seen & {0, -1} or 4 in seen:
        return 1 if 4 in seen else 0
    return 0 if path.suffix == ".parquet" else 1


def examples(row: Row, pictures: Pictures) -> Iterator[Example]:
    """Yield the example of one question."""
    first = row.fields["first"]
    right = row.fields.get("cop")
    if right is None or right == -1:
        raise Skip("its answer is not published")
    if not isinstance(right, int) or not first <= right < first + len(OPTIONS):
        raise DataError(f"field 'cop' is {show(right)}; it counts the options from {first} to {first + 3}.")
    choices = tuple(row.text(name) for name in OPTIONS)
    answer = choices[right - first]
    yield example(
        NAME,
        row.maybe("id") or row.key,
        (),
        qa(row.text("question"), answer, choices),
        "chat",
        "choice",
        choices=choices,
        truth=row.about("exp", "subject_name", "topic_name", "choice_type"),
    )


build, add_options = recipe(NAME, parts, examples)
