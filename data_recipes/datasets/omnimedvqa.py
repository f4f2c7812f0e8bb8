"""OmniMedVQA: multiple choice made from the labels of open data sets (layout unverified). Test only.

Some questions have fewer than four choices; the empty ones are left out. One known record says `modality` where all
others say `modality_type`.
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
from data_recipes.datasets.words import chosen, example, modality_of, qa, unlettered
from data_recipes.schema import Example

NAME = "omnimedvqa"


def parts(source: Path) -> list[Part]:
    """Return all files as one test."""
    patterns = ("QA_information/Open-access/*.json", "*/QA_information/Open-access/*.json", "Open-access/*.json")
    files = need_files(NAME, source, *patterns, "*.json", "*.jsonl")
    return [Part("test", lambda: (row for path in files for row in read_rows(path)))]


def examples(row: Row, pictures: Pictures) -> Iterator[Example]:
    """Yield the example of one question."""
    options = [text for letter in "ABCD" if (text := row.maybe(f"option_{letter}"))]
    choices = unlettered(options)
    answer = chosen(row.text("gt_answer"), choices, "gt_answer")
    yield example(
        NAME,
        f"{row.key}-{row.text('question_id')}",
        [pictures.find(row.text("image_path"), field="image_path")],
        qa(row.text("question"), answer, choices),
        "vqa",
        "choice",
        choices=choices,
        modality=modality_of(row.maybe("modality_type", "modality")),
        truth=row.about("question_type", "dataset"),
    )


build, add_options = recipe(NAME, parts, examples, roots=("", "OmniMedVQA", "Images"))
