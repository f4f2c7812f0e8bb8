"""VQA-RAD: clinicians' questions on radiology pictures, in three layouts.

`trainset.json` and `testset.json` (fields as in MEVF and MMQ), the original `VQA_RAD Dataset Public.json`, whose
`phrase_type` begins with "test" for the test (layout unverified), and the hub's Parquet files with the pictures
inside (layout unverified).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from data_recipes.datasets.convert import recipe
from data_recipes.datasets.files import find_files, need_files, split_parts
from data_recipes.datasets.parts import Part, by_field
from data_recipes.datasets.pictures import Pictures
from data_recipes.datasets.row import Row
from data_recipes.datasets.rows import read_rows
from data_recipes.datasets.words import answer_type, example, qa
from data_recipes.schema import Example

NAME = "vqa-rad"
ORGANS = {"HEAD": "head", "CHEST": "chest", "ABD": "abdomen"}


def parts(source: Path) -> list[Part]:
    """Return train and test, from whichever layout is there."""
    public = find_files(source, "VQA_RAD*Public.json", "*/VQA_RAD*Public.json")
    if public and (source.is_dir() or "Public" in source.name):
        return by_field("phrase_type", _published_split, lambda: read_rows(public[0]))
    files = need_files(
        NAME, source, "*set.json", "*/*set.json", "data/*.parquet", "*.parquet", "[Tt]*.json", "[Tt]*.jsonl"
    )
    return split_parts(NAME, files)


def _published_split(row: Row) -> str:
    return "test" if str(row.fields.get("phrase_type", "")).startswith("test") else "train"


def examples(row: Row, pictures: Pictures) -> Iterator[Example]:
    """Yield the example of one question."""
    question, answer = row.text("question"), row.text("answer")
    kind = (row.maybe("answer_type") or "").lower()
    named = "image_name" if "image_name" in row.fields else "image"
    qid = row.maybe("qid")
    yield example(
        NAME,
        f"{row.file.partition('.')[0]}-{qid}" if qid else row.key,
        [pictures.take(row.fields.get(named), field=named)],
        qa(question, answer),
        "vqa",
        kind if kind in ("closed", "open") else answer_type(answer),
        anatomy=ORGANS.get(row.maybe("image_organ") or ""),
        truth=row.about("question_type", "phrase_type", "image_case_url"),
    )


build, add_options = recipe(NAME, parts, examples)
