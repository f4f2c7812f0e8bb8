"""SLAKE: questions in English and Chinese about radiology pictures, with organ masks and boxes.

The question files are as published. `detection.json` beside each picture, a list of {name: [x, y, width, height]} in
pixels, is read as its paper tells: that part of the layout is unverified, and anything else in it is a fault.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from assistant.errors import DataError
from data_recipes.datasets.convert import recipe
from data_recipes.datasets.files import need_files, split_of
from data_recipes.datasets.parts import Part
from data_recipes.datasets.pictures import Pictures
from data_recipes.datasets.row import Row
from data_recipes.datasets.rows import read_rows
from data_recipes.datasets.words import example, modality_of, qa
from data_recipes.schema import Example
from data_recipes.schema_check import show

NAME = "slake"
LANGUAGES = {"en": "", "zh": "zh"}
"""Language of a question to what its files are labelled with."""
ROOTS = ("imgs", "", "images")


def parts(source: Path) -> list[Part]:
    """Return the splits in English, then in Chinese; other languages are faults of the first."""
    files = need_files(NAME, source, "*[tv]*.json", "*/*[tv]*.json")

    def of(path: Path, language: str) -> Callable[[], Iterator[Row]]:
        def read() -> Iterator[Row]:
            for row in read_rows(path):
                found = row.maybe("q_lang")
                if found == language or (language == "en" and found not in LANGUAGES):
                    yield row

        return read

    return [
        Part(split_of(path), of(path, language), label)
        for path in files
        if split_of(path)
        for language, label in LANGUAGES.items()
    ]


def examples(row: Row, pictures: Pictures) -> Iterator[Example]:
    """Yield the example of one question, with the regions of its picture."""
    language = row.text("q_lang")
    if language not in LANGUAGES:
        raise DataError(f"field 'q_lang' is {show(language)}; use one of {', '.join(LANGUAGES)}.")
    name = row.text("img_name")
    folder = name.rpartition("/")[0]
    truth: dict[str, Any] = {"about": {**row.held("content_type", "base_type"), "language": language}}
    triple = row.fields.get("triple")
    if isinstance(triple, list) and "_" not in triple:
        truth["triple"] = triple
    image = pictures.find(name, field="img_name")
    if regions := _regions(pictures, f"{folder}/detection.json"):
        truth["regions"] = regions
    if mask := pictures.optional(f"{folder}/mask.png"):
        truth["masks"] = [mask]
    kind = (row.maybe("answer_type") or "").lower()
    yield example(
        NAME,
        f"{row.file.partition('.')[0]}-{row.text('qid')}",
        [image],
        qa(row.text("question"), row.text("answer")),
        "vqa",
        kind if kind in ("closed", "open") else "open",
        truth=truth,
        modality=modality_of(row.maybe("modality")),
        anatomy=(row.maybe("location") or "").lower(),
    )


def _regions(pictures: Pictures, name: str) -> list[dict[str, Any]]:
    """Return the boxes of a picture: label and x, y, width, height in pixels."""
    held = pictures.read(name)
    if held is None:
        return []
    try:
        listed = json.loads(held.decode("utf-8-sig"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise DataError(f"{name} is no JSON ({error}); download it again.") from error
    regions = []
    for item in listed if isinstance(listed, list) else [listed]:
        if not isinstance(item, dict):
            raise DataError(f"{name} holds {show(item)}; it takes objects of a label and its box.")
        for label, box in item.items():
            if not (isinstance(box, list) and len(box) == 4 and all(isinstance(value, int | float) for value in box)):
                raise DataError(f"{name}: box of {show(label)} is {show(box)}; it takes x, y, width and height.")
            regions.append({"label": label, "box": box})
    return regions


build, add_options = recipe(NAME, parts, examples, roots=ROOTS)
