"""MedQA: questions of the US medical licensing examination, with four or five choices."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from assistant.errors import DataError
from data_recipes.datasets.convert import recipe
from data_recipes.datasets.files import need_files, split_parts
from data_recipes.datasets.parts import Part
from data_recipes.datasets.pictures import Pictures
from data_recipes.datasets.row import Row
from data_recipes.datasets.words import chosen, example, qa
from data_recipes.schema import Example
from data_recipes.schema_check import show

NAME = "medqa"


def parts(source: Path) -> list[Part]:
    """Return train, dev and test; of the original's folders the US questions with four choices, else with five."""
    patterns = ("phrases_no_exclude_*.jsonl", "**/US/4_options/*.jsonl", "**/US/*.jsonl", "*.jsonl", "*.parquet")
    files = [path for path in need_files(NAME, source, *patterns) if path.stem != "US_qbank"]
    return split_parts(NAME, files)


def examples(row: Row, pictures: Pictures) -> Iterator[Example]:
    """Yield the example of one question."""
    options = row.fields.get("options")
    if not isinstance(options, dict) or not all(isinstance(text, str) for text in options.values()):
        raise DataError(f"field 'options' is {show(options)}; it takes an object of letters with texts.")
    held = {letter: text.strip() for letter, text in options.items() if isinstance(text, str)}
    letter = row.maybe("answer_idx")
    if letter is not None and letter not in held:
        raise DataError(f"field 'answer_idx' is {show(letter)}; use one of {', '.join(held)}.")
    choices = tuple(held.values())
    answer = held[letter] if letter else chosen(row.text("answer"), choices)
    yield example(
        NAME,
        row.key,
        (),
        qa(row.text("question"), answer, choices),
        "chat",
        "choice",
        choices=choices,
        truth=row.about("meta_info"),
    )


build, add_options = recipe(NAME, parts, examples)
