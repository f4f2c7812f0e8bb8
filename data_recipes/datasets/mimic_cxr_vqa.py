"""MIMIC-CXR-VQA: questions from Chest ImaGenome's labels. Credentialed: reads a local copy, never fetches.

Its repository ships questions only; `build_dataset.sh` there adds answers, patients and paths for those who have
access. Answers are lists: several, one, or none for "list all" questions where nothing is there.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from assistant.errors import DataError
from data_recipes.datasets.convert import recipe
from data_recipes.datasets.files import need_files, split_parts
from data_recipes.datasets.parts import Part
from data_recipes.datasets.pictures import Pictures
from data_recipes.datasets.row import Row
from data_recipes.datasets.words import answer_type, example, qa
from data_recipes.schema import Example
from data_recipes.schema_check import show

NAME = "mimic-cxr-vqa"
NOTHING = "none"


def parts(source: Path) -> list[Part]:
    """Return train, dev and test; files that begin with "_" hold no answers and are passed over."""
    files = need_files(NAME, source, "[tv]*.json", "dataset/[tv]*.json", "*/dataset/[tv]*.json")
    return split_parts(NAME, files)


def examples(row: Row, pictures: Pictures) -> Iterator[Example]:
    """Yield the example of one question."""
    listed = row.fields.get("answer")
    path = row.maybe("image_path")
    if not isinstance(listed, list) or path is None or not path.endswith(".jpg"):
        raise DataError(
            f"field 'answer' is {show(listed)}: this file holds questions only. Run build_dataset.sh of its repository "
            "on your copy of MIMIC-CXR-JPG and Chest ImaGenome, and give the folder that it writes."
        )
    answers = [str(item).strip() for item in listed]
    answer = ", ".join(answers) or NOTHING
    patient = row.text("subject_id")
    yield example(
        NAME,
        f"{row.file.partition('.')[0]}-{row.text('idx')}",
        [pictures.find(path, field="image_path")],
        qa(row.text("question"), answer),
        "vqa",
        answer_type(answer),
        truth={**row.about("content_type", "semantic_type", "template_program", "study_id"), "answers": answers},
        modality="X-ray",
        anatomy="chest",
        patient=patient,
    )


build, add_options = recipe(NAME, parts, examples, roots=("files", "images", ""))
