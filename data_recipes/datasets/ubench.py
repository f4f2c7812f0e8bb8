"""μ-Bench, perception: microscopy pictures with questions of several kinds, each with its choices.

Fields as two public evaluation programs read them: `questions` maps a kind to question, options and answer, or to
null; `license` is each picture's own. The files themselves are unverified.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from assistant.errors import DataError
from data_recipes.datasets.convert import recipe
from data_recipes.datasets.files import need_files, split_word
from data_recipes.datasets.parts import Part, by_field
from data_recipes.datasets.pictures import Pictures
from data_recipes.datasets.row import Row
from data_recipes.datasets.rows import read_rows
from data_recipes.datasets.words import chosen, example, qa
from data_recipes.schema import Example
from data_recipes.schema_check import show

NAME = "ubench"


def parts(source: Path) -> list[Part]:
    """Return the splits that the rows name; the published rows are all of the test."""
    files = need_files(NAME, source, "**/*.arrow", "**/*.parquet", "*.jsonl")

    def rows() -> Iterator[Row]:
        for path in files:
            yield from read_rows(path)

    return by_field("split", lambda row: split_word(row.maybe("split") or "test"), rows)


def examples(row: Row, pictures: Pictures) -> Iterator[Example]:
    """Yield one example for each kind of question that a picture has."""
    questions = row.fields.get("questions")
    if not isinstance(questions, dict):
        raise DataError(f"field 'questions' is {show(questions)}; it takes an object of questions by kind.")
    image = pictures.take(row.fields.get("image"))
    shown = row.held("domain", "subdomain", "submodality", "stain", "label_name")
    modality = row.maybe("modality")
    for kind, asked in questions.items():
        if not isinstance(asked, dict) or asked.get("question") is None:
            continue
        inner = Row(row.file, row.number, asked, row.unit)
        choices = tuple(text.strip() for text in inner.list_of("options"))
        answer = chosen(inner.text("answer"), choices)
        yield example(
            NAME,
            f"{row.key}-{kind}",
            [image],
            qa(inner.text("question"), answer, choices),
            "vqa",
            "choice",
            choices=choices,
            modality=modality,
            truth={**shown, "about": {**row.held("dataset", "institution"), "question_type": kind}},
            licence=row.maybe("license"),
        )


build, add_options = recipe(NAME, parts, examples)
