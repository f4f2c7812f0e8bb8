"""PubMedVision: captions and dialogues on PubMed figures, rewritten by a model (layout unverified).

One record holds one or more pictures and a dialogue. Alignment and instruction files overlap in their pictures, so the
split is by the first picture's name without its last number.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from data_recipes.datasets.convert import recipe
from data_recipes.datasets.files import need_files
from data_recipes.datasets.parts import Part
from data_recipes.datasets.pictures import Pictures
from data_recipes.datasets.row import Row
from data_recipes.datasets.rows import read_rows
from data_recipes.datasets.words import dialogue, example, modality_of
from data_recipes.schema import Example

NAME = "pubmedvision"
_LAST_NUMBER = re.compile(r"_\d+$")


def parts(source: Path) -> list[Part]:
    """Return the records of all files, to be split by figure."""
    files = need_files(NAME, source, "PubMedVision*.json", "*.json", "*.jsonl")
    return [Part(None, lambda: (row for path in files for row in read_rows(path)))]


def examples(row: Row, pictures: Pictures) -> Iterator[Example]:
    """Yield the dialogue of one record; what comes from the alignment file is a caption."""
    names = row.list_of("image") if isinstance(row.fields.get("image"), list) else [row.text("image")]
    yield example(
        NAME,
        f"{row.key}-{row.maybe('id') or ''}".rstrip("-"),
        [pictures.find(name) for name in names],
        dialogue(row.list_of("conversations", dict)),
        "caption" if "alignment" in row.file.lower() else "chat",
        "open",
        modality=modality_of(row.maybe("modality")),
        anatomy=(row.maybe("body_part") or "").lower(),
        patient=_LAST_NUMBER.sub("", PurePosixPath(names[0]).stem) if names else None,
    )


build, add_options = recipe(NAME, parts, examples, roots=("", "images"))
