"""VQA-Med 2021, task 1: what is abnormal in a picture.

The test comes from `Task1*ReferenceAnswers_mscoco_format_vqa.json`, as published, which holds questions and all right
answers; the first is taught and all stand in `truth.answers`. Train and val files hold `picture|question|answer` and
are found by their names (unverified).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from data_recipes.datasets.convert import recipe
from data_recipes.datasets.files import no_files, split_of
from data_recipes.datasets.json_stream import JsonStream
from data_recipes.datasets.parts import Part
from data_recipes.datasets.pictures import Pictures
from data_recipes.datasets.row import Row
from data_recipes.datasets.vqa_med_2019 import split_fields
from data_recipes.datasets.words import answer_type, example, qa
from data_recipes.schema import Example

NAME = "vqa-med-2021"
ANSWERS = "Task1*ReferenceAnswers_mscoco_format_vqa*.json"


def parts(source: Path) -> list[Part]:
    """Return the splits whose files are there."""
    there = sorted(source.rglob("*")) if source.is_dir() else [source]
    found = [Part("test", _reader(read_answers, path)) for path in there if path.match(ANSWERS)]
    for path in there:
        name = path.name.lower()
        if path.suffix == ".txt" and split_of(path) in ("train", "dev") and ("qa" in name or "answer" in name):
            found.append(Part(split_of(path), _reader(split_fields, path)))
    if not found:
        raise no_files(NAME, source)
    return found


def _reader(read: Callable[[Path], Iterable[Row]], path: Path) -> Callable[[], Iterable[Row]]:
    return lambda: read(path)


def read_answers(path: Path) -> Iterator[Row]:
    """Yield the objects of the list `annotations`."""
    with JsonStream(path) as stream:
        for _, key in stream.members():
            if key == "annotations":
                yield from stream.rows()
            else:
                stream.value()


def examples(row: Row, pictures: Pictures) -> Iterator[Example]:
    """Yield the example of one question."""
    listed = row.fields.get("answers")
    if listed is None:
        answers = [row.text("answer")]
    else:
        answers = [Row(row.file, row.number, item).text("answer") for item in row.list_of("answers", dict)]
    key = row.maybe("question_id")
    yield example(
        NAME,
        f"test-{key}" if key else row.key,
        [pictures.find(row.text("image_id", "picture"), field="image_id")],
        qa(row.text("question"), answers[0]),
        "vqa",
        answer_type(answers[0]),
        truth={**row.about("question_type"), **({"answers": answers} if len(answers) > 1 else {})},
    )


build, add_options = recipe(
    NAME,
    parts,
    examples,
    roots=(
        "images",
        "VQA-Med-2021-Tasks-1-2-NewTestSet/VQA-500-Images",
        "VQA-500-Images",
        "VQAnswering_2020_Train_images",
        "",
    ),
)
