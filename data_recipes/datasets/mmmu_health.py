"""MMMU's five subjects of health and medicine (layout unverified): college examinations, some with several pictures.

`validation`, the part that papers report on, becomes the test; the set's own test has no answers and is left out.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from assistant.errors import DataError
from data_recipes.datasets.convert import recipe
from data_recipes.datasets.files import need_files, split_parts
from data_recipes.datasets.parts import Part, Skip
from data_recipes.datasets.pictures import Pictures
from data_recipes.datasets.row import Row
from data_recipes.datasets.words import chosen, example, qa
from data_recipes.schema import Example
from data_recipes.schema_check import show

NAME = "mmmu-health"
SUBJECTS = (
    "Basic_Medical_Science",
    "Clinical_Medicine",
    "Diagnostics_and_Laboratory_Medicine",
    "Pharmacy",
    "Public_Health",
)
PICTURES = 7
_MARK = re.compile(r"<image (\d)>")


def parts(source: Path) -> list[Part]:
    """Return dev and validation of all subjects; validation is called test."""
    files = [
        path
        for path in need_files(NAME, source, "*/*.parquet", "*.parquet", "*.jsonl")
        if path.parent.name in SUBJECTS or path.parent == source or path == source
    ]
    published = {"dev": "test", "test": "test"}
    found = []
    for path, part in zip(files, split_parts(NAME, files, default="test"), strict=True):
        split = "dev" if path.name.startswith("dev") else published.get(part.split or "", "test")
        found.append(replace(part, split=split))
    return found


def examples(row: Row, pictures: Pictures) -> Iterator[Example]:
    """Yield the example of one question; "<image 2>" becomes "image 2"."""
    given = row.text("answer")
    if given == "?":
        raise Skip("its answer is not published")
    options = _options(row.fields.get("options"))
    images = [
        pictures.take(cell, field)
        for number in range(1, PICTURES + 1)
        if (cell := row.fields.get(field := f"image_{number}")) is not None
    ]
    question = _MARK.sub(r"image \1", row.text("question"))
    choices = tuple(_MARK.sub(r"image \1", option) for option in options)
    answer = chosen(given, choices) if choices else given
    yield example(
        NAME,
        row.text("id"),
        images,
        qa(question, answer, choices),
        "vqa",
        "choice" if choices else "open",
        choices=choices or None,
        truth=row.about("subfield", "topic_difficulty", "explanation", "img_type"),
    )


def _options(held: object) -> list[str]:
    """Return the options, which the set writes as the text of a Python list."""
    try:
        listed = ast.literal_eval(held) if isinstance(held, str) else held
    except (ValueError, SyntaxError) as error:
        raise DataError(f"field 'options' is {show(held)}; it takes a list of texts.") from error
    if not isinstance(listed, list) or not all(isinstance(item, str) for item in listed):
        raise DataError(f"field 'options' is {show(held)}; it takes a list of texts.")
    return listed


build, add_options = recipe(NAME, parts, examples)
