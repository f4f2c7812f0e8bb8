"""LLaVA-Med instruct: dialogues on figures, written by a model from captions and the text around them.

Fields from one record of a file made from it. The 10k file is a part of the 60k ones, so one file is read: that with
inline mentions, else 60k, else 10k; or the file that `--source` names. Pictures as in `llava_med_alignment`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from data_recipes.datasets.convert import recipe
from data_recipes.datasets.files import need_files
from data_recipes.datasets.llava_med_alignment import figure_examples, jobs
from data_recipes.datasets.parts import Part
from data_recipes.datasets.pictures import Pictures
from data_recipes.datasets.row import Row
from data_recipes.datasets.rows import read_rows
from data_recipes.schema import Example

NAME = "llava-med-instruct"
FILES = ("_60k_inline_mention", "_60k", "_10k")


def parts(source: Path) -> list[Part]:
    """Return all dialogues of the fullest file, to be split by article."""
    names = [f"llava_med_instruct{kind}.json" for kind in FILES]
    path = need_files(NAME, source, *names, *(f"instruct/{name}" for name in names), "*instruct*.json")[0]
    return [Part(None, lambda: read_rows(path))]


def examples(row: Row, pictures: Pictures) -> Iterator[Example]:
    """Yield the dialogue on one figure."""
    yield from figure_examples(NAME, "chat", row, pictures)


build, add_options = recipe(NAME, parts, examples, jobs=jobs)
