"""PathMMU: multiple choice on pathology, checked by experts (layout unverified). Its page grants access on request.

`data.json` holds subsets (PubMed, SocialPath, EduContent, Atlas, PathCLS), each with its splits; a plain list of
records is read as a test. `test_tiny` is the part of the test that experts answered and gets a file of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from data_recipes.datasets.convert import recipe
from data_recipes.datasets.files import need_files, split_word
from data_recipes.datasets.json_stream import JsonStream
from data_recipes.datasets.parts import Part
from data_recipes.datasets.pictures import Pictures
from data_recipes.datasets.row import Row
from data_recipes.datasets.rows import read_jsonl
from data_recipes.datasets.words import chosen, example, qa, unlettered
from data_recipes.schema import Example

NAME = "pathmmu"


def parts(source: Path) -> list[Part]:
    """Return the splits that the file names."""
    path = need_files(NAME, source, "data.json", "*.json", "*.jsonl")[0]
    names = dict.fromkeys(str(row.fields.get("split")) for row in read_subsets(path))

    def of(name: str) -> Callable[[], Iterator[Row]]:
        return lambda: (row for row in read_subsets(path) if str(row.fields.get("split")) == name)

    return [Part(split_word(name) or name, of(name), apart=split_word(name) is None) for name in names]


def read_subsets(path: Path) -> Iterator[Row]:
    """Yield the records of all subsets, with `subset` and `split` added."""
    if path.suffix == ".jsonl":
        for row in read_jsonl(path):
            row.fields.setdefault("split", "test")
            yield row
        return
    with JsonStream(path) as stream:
        if stream.peek() == "[":
            yield from stream.rows(split="test")
            return
        for _, subset in stream.members():
            for _, split in stream.members():
                yield from stream.rows(subset=subset, split=split)


def examples(row: Row, pictures: Pictures) -> Iterator[Example]:
    """Yield the example of one question."""
    choices = unlettered(row.list_of("options"))
    answer = chosen(row.text("answer"), choices)
    yield example(
        NAME,
        row.key,
        [pictures.find(row.text("img"), field="img")],
        qa(row.text("question"), answer, choices),
        "vqa",
        "choice",
        choices=choices,
        modality="Histopathology",
        truth=row.about("subset", "explanation", "source_img"),
    )


build, add_options = recipe(NAME, parts, examples)
