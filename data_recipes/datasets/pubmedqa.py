"""PubMedQA: a question that an article's title asks, its abstract without the conclusion, and yes, no or maybe.

`ori_pqal.json` holds the thousand labelled by people, `test_ground_truth.json` which of them are the test; the rest is
split by hash into train and dev. `ori_pqaa.json`, labelled by a program, is read the same way when it is given alone.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

from data_recipes.datasets.convert import recipe
from data_recipes.datasets.files import find_files, need_files
from data_recipes.datasets.mediconfusion import read_keyed
from data_recipes.datasets.parts import Part, Skip
from data_recipes.datasets.pictures import Pictures
from data_recipes.datasets.row import Row, check_file
from data_recipes.datasets.words import chosen, example, qa
from data_recipes.schema import Example
from data_recipes.splits import assign_split

NAME = "pubmedqa"
CHOICES = ("yes", "no", "maybe")
SHARES = {"train": 0.9, "dev": 0.1}


def parts(source: Path) -> list[Part]:
    """Return the published test, and train and dev; all by hash where no test is listed."""
    path = need_files(NAME, source, "ori_pqal*.json", "data/ori_pqal*.json", "ori_pqa*.json", "data/ori_pqa*.json")[0]
    listed = find_files(path.parent, "test_ground_truth*.json")
    if not listed:
        return [Part(None, lambda: read_keyed(path))]
    check_file(listed[0])
    test = frozenset(json.loads(listed[0].read_text(encoding="utf-8")))

    def of(split: str) -> Callable[[], Iterator[Row]]:
        def rows() -> Iterator[Row]:
            for row in read_keyed(path):
                key = str(row.fields.get("id"))
                if ("test" if key in test else assign_split(key, shares=SHARES)) == split:
                    yield row

        return rows

    return [Part(split, of(split)) for split in ("train", "dev", "test")]


def examples(row: Row, pictures: Pictures) -> Iterator[Example]:
    """Yield the question with the abstract before it."""
    if "final_decision" not in row.fields:
        raise Skip("it has no label")
    key = row.text("id")
    contexts = row.list_of("CONTEXTS")
    labels = row.fields.get("LABELS")
    if isinstance(labels, list) and len(labels) == len(contexts):
        contexts = [f"{str(label).capitalize()}: {text}" for label, text in zip(labels, contexts, strict=True)]
    answer = chosen(row.text("final_decision"), CHOICES, "final_decision")
    messages = qa(row.text("QUESTION"), answer, CHOICES)
    messages[0]["content"] = "\n".join([*contexts, messages[0]["content"]])
    meshes = row.fields.get("MESHES")
    yield example(
        NAME,
        key,
        (),
        messages,
        "chat",
        "choice",
        choices=CHOICES,
        patient=key,
        truth={**row.about("LONG_ANSWER", "YEAR"), **({"meshes": meshes} if isinstance(meshes, list) else {})},
    )


build, add_options = recipe(NAME, parts, examples)
