"""MediConfusion: two pictures that encoders confuse, and one question that tells them apart. Test only.

Each pair gives two examples with the same choices and the same `truth.pair`; a model has a pair right when it has both
right. Pictures are ROCO's: under ROCO's path, under its file name, under the set's own number, or fetched from the
articles' archives by `image_dict.json`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from assistant.errors import DataError
from data_recipes.datasets.convert import recipe
from data_recipes.datasets.fetch import Job
from data_recipes.datasets.files import find_files, need_files
from data_recipes.datasets.json_stream import JsonStream
from data_recipes.datasets.parts import Part
from data_recipes.datasets.pictures import Pictures
from data_recipes.datasets.row import Row, as_row
from data_recipes.datasets.rows import read_csv
from data_recipes.datasets.words import example, qa
from data_recipes.schema import Example
from data_recipes.schema_check import show

NAME = "mediconfusion"
COLUMNS = ("id", "im_1", "im_2", "question", "option_A", "option_B", "im_1_correct", "im_2_correct")


def parts(source: Path) -> list[Part]:
    """Return all pairs as one test."""
    path = need_files(NAME, source, "dataset*.json", "data/dataset*.json", "dataset*.csv", "data/dataset*.csv")[0]
    return [Part("test", lambda: read_csv(path, COLUMNS) if path.suffix == ".csv" else read_keyed(path))]


def read_keyed(path: Path) -> Iterator[Row]:
    """Yield the members of an object of objects, with their keys as `id`."""
    with JsonStream(path) as stream:
        for number, (line, key) in enumerate(stream.members(), 1):
            row = as_row(path.name, number, stream.value(), "record", line)
            row.fields.setdefault("id", key)
            yield row


def examples(row: Row, pictures: Pictures) -> Iterator[Example]:
    """Yield the two examples of a pair."""
    pair = row.text("id")
    options = {"A": row.text("option_A"), "B": row.text("option_B")}
    question = row.text("question")
    for number in ("1", "2"):
        name, local = row.text(f"im_{number}"), row.maybe(f"im_{number}_local")
        letter = row.text(f"im_{number}_correct")
        if letter not in options:
            raise DataError(f"field 'im_{number}_correct' is {show(letter)}; use A or B.")
        other_names = [PurePosixPath(name).name, *([f"{local}{PurePosixPath(name).suffix}"] if local else [])]
        yield example(
            NAME,
            f"{pair}-{number}",
            [pictures.find(name, *other_names, field=f"im_{number}")],
            qa(question, options[letter], tuple(options.values())),
            "vqa",
            "choice",
            choices=tuple(options.values()),
            truth={
                "pair": int(pair) if pair.isdigit() else pair,
                **row.about(f"category_{number}", f"cap_{number}"),
                **_categories(row, number),
            },
        )


def _categories(row: Row, number: str) -> dict[str, list[str]]:
    listed = row.fields.get(f"category_{number}")
    return {"categories": [str(item) for item in listed]} if isinstance(listed, list) else {}


def jobs(source: Path) -> Iterator[Job]:
    """Yield where each picture is: an article's archive, and its name there."""
    for path in find_files(source, "image_dict*.json", "data/image_dict*.json")[:1]:
        for row in read_keyed(path):
            yield Job(row.text("id"), row.text("dlink"), row.text("file_name"))


build, add_options = recipe(NAME, parts, examples, roots=("", "images", "data/images"), jobs=jobs)
