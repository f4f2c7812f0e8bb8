"""PMC-VQA: multiple choice on figures of open-access articles (layout unverified: columns from public readers).

Version 2 (`train_2.csv`, `test_2.csv`) has the answer's letter in `Answer`; version 1 (`train.csv`, `test.csv`) has
its text there and the letter in `Answer_label`. Both put letters before the choices.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from data_recipes.datasets.convert import recipe
from data_recipes.datasets.files import need_files, split_parts
from data_recipes.datasets.parts import Part
from data_recipes.datasets.pictures import Pictures
from data_recipes.datasets.row import Row
from data_recipes.datasets.rows import read_csv
from data_recipes.datasets.words import article_of, chosen, example, qa, unlettered
from data_recipes.schema import Example

NAME = "pmc-vqa"
CHOICES = ("Choice A", "Choice B", "Choice C", "Choice D")
COLUMNS = ("Figure_path", "Question", "Answer", *CHOICES)


def parts(source: Path) -> list[Part]:
    """Return train and test of version 2, else of version 1."""
    files = need_files(NAME, source, "*_2.csv", "t*.csv")
    if len(files) > 1:  # test_clean.csv is a part of test.csv
        files = [path for path in files if path.stem.removesuffix("_2") in ("train", "test")]
    return split_parts(NAME, files, lambda path: read_csv(path, COLUMNS))


def examples(row: Row, pictures: Pictures) -> Iterator[Example]:
    """Yield the example of one question."""
    choices = unlettered([row.text(name) for name in CHOICES])
    answer = chosen(row.text("Answer_label", "Answer"), choices, "Answer")
    figure = row.text("Figure_path")
    yield example(
        NAME,
        row.key,
        [pictures.find(figure, field="Figure_path")],
        qa(row.text("Question"), answer, choices),
        "vqa",
        "choice",
        choices=choices,
        patient=article_of(figure),
        truth=row.about("Caption"),
    )


build, add_options = recipe(NAME, parts, examples, roots=("figures", "images", "images_2", ""))
