"""VQA-Med 2019: `picture|question|answer`, and for the test `picture|category|question|answer`.

The test file is as published; the names of the train and val files are as their page tells (unverified). Where the
test gives several right answers with "#" between them, the first is taught and all stand in `truth.answers`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from assistant.errors import DataError
from data_recipes.datasets.convert import recipe
from data_recipes.datasets.files import find_files, no_files
from data_recipes.datasets.parts import Part
from data_recipes.datasets.pictures import Pictures
from data_recipes.datasets.row import Row
from data_recipes.datasets.rows import read_lines
from data_recipes.datasets.words import answer_type, example, qa
from data_recipes.schema import Example
from data_recipes.schema_check import show

NAME = "vqa-med-2019"
FILES = {
    "train": "**/All_QA_Pairs_train.txt",
    "dev": "**/All_QA_Pairs_val.txt",
    "test": "**/VQAMed2019_Test_Questions_w_Ref_Answers*.txt",
}
FIELDS = {3: ("picture", "question", "answer"), 4: ("picture", "category", "question", "answer")}


def parts(source: Path) -> list[Part]:
    """Return the splits whose files are there."""
    found: list[Part] = []
    for split, pattern in FILES.items():
        if source.is_dir():
            found += [Part(split, _reader(path)) for path in find_files(source, pattern)[:1]]
        elif source.match(pattern.removeprefix("**/")):
            found.append(Part(split, _reader(source)))
    if not found:
        raise no_files(NAME, source)
    return found


def _reader(path: Path) -> Callable[[], Iterable[Row]]:
    return lambda: split_fields(path)


def split_fields(path: Path) -> Iterator[Row]:
    """Yield the lines of a file split at "|" into the fields that their number means."""
    for row in read_lines(path):
        values = row.fields["line"].split("|")
        names = FIELDS.get(len(values))
        if names is None:
            row.fault = (
                f"{len(values)} fields in {show(row.fields['line'])}; write picture|question|answer, or for the test "
                "picture|category|question|answer."
            )
        else:
            row.fields = dict(zip(names, values, strict=True))
        yield row


def examples(row: Row, pictures: Pictures) -> Iterator[Example]:
    """Yield the example of one question."""
    name = row.text("picture")
    answers = [text.strip() for text in row.text("answer").split("#") if text.strip()]
    if not answers:
        raise DataError(f"field 'answer' is {show(row.fields['answer'])}; give an answer.")
    yield example(
        NAME,
        row.key,
        [pictures.find(name, field="picture")],
        qa(row.text("question"), answers[0]),
        "vqa",
        answer_type(answers[0]),
        truth={**row.about("category"), **({"answers": answers} if len(answers) > 1 else {})},
    )


build, add_options = recipe(
    NAME,
    parts,
    examples,
    roots=(
        "Train_images",
        "Val_images",
        "VQAMed2019_Test_Images",
        "ImageClef-2019-VQA-Med-Training/Train_images",
        "ImageClef-2019-VQA-Med-Validation/Val_images",
        "VQAMed2019Test/VQAMed2019_Test_Images",
        "images",
        "",
    ),
)
