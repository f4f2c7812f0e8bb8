"""ROCO: radiology figures of open-access articles, their captions, and for many their licence, article and concepts.

Layout as published: for each split and for `radiology` a folder with tab-separated files and `licences.txt`, a CSV.
Not every figure is in every file. Pictures lie in `images/` of the folder, or are fetched from the articles' archives
by `dlinks.txt`. `non-radiology`, which holds no medical pictures in the main, is not read.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from data_recipes.datasets.convert import recipe
from data_recipes.datasets.fetch import Job
from data_recipes.datasets.files import find_files, need_files, split_word
from data_recipes.datasets.parts import Part
from data_recipes.datasets.pictures import Pictures
from data_recipes.datasets.row import Row
from data_recipes.datasets.rows import read_csv, read_lines
from data_recipes.datasets.words import CAPTION_REQUEST, article_of, example, qa
from data_recipes.schema import Example

NAME = "roco"
NO_LICENCE = "no Creative Commons licence (NO-CC CODE)"
LISTS = ("keywords", "cuis")
_LINK = re.compile(r"(?:ftp|https?)://\S+")


def parts(source: Path) -> list[Part]:
    """Return the splits whose folders are there; a file of captions alone is a test."""
    files = need_files(NAME, source, "*/radiology/captions*.txt", "*/*/radiology/captions*.txt", "*captions*.txt")

    def reader(path: Path) -> Callable[[], Iterable[Row]]:
        return lambda: read_captions(path)

    return [Part(split_of_captions(path) or "test", reader(path)) for path in files]


def split_of_captions(path: Path) -> str | None:
    """Return the split of a captions file: by the folder two above, or by its own name."""
    words = [path.parent.parent.name, *path.stem.split("_")]
    return next((split for word in words if (split := split_word(word))), None)


def read_captions(path: Path) -> Iterator[Row]:
    """Yield id and caption of each figure, with what the files beside say of it."""
    licences = {row.fields["ROCO_ID"]: row.fields for row in _beside(path, "licences")}
    links = {row.fields["id"]: row.fields["rest"] for row in _beside(path, "dlinks")}
    lists = {
        name: {
            row.fields["id"]: [word for word in row.fields["rest"].split("\t") if word] for row in _beside(path, name)
        }
        for name in LISTS
    }
    folder = "/".join(path.parts[-3:-1]) if path.parent.name == "radiology" else ""
    for row in split_lines(path):
        if row.fault is None:
            key = row.fields["id"]
            row.fields |= {"folder": folder, "caption": row.fields["rest"], "link": links.get(key)}
            row.fields |= {name: lists[name].get(key) for name in LISTS}
            row.fields |= {"licence": licences.get(key, {}).get("CC"), "pmc": licences.get(key, {}).get("PMC_ID")}
        yield row


def split_lines(path: Path) -> Iterator[Row]:
    """Yield the lines of a tab-separated file as `id` and `rest`."""
    for row in read_lines(path):
        key, tab, rest = row.fields["line"].partition("\t")
        row.fields = {"id": key.strip(), "rest": rest.strip()}
        if not tab:
            row.fault = "no tab; each line holds an id, a tab and the rest."
        yield row


def _beside(captions: Path, name: str) -> Iterator[Row]:
    """Yield the sound rows of another file of the same figures; nothing if there is none."""
    path = captions.with_name(captions.name.replace("captions", name))
    if path.is_file():
        rows = read_csv(path, ("ROCO_ID", "PMC_ID", "CC")) if name == "licences" else split_lines(path)
        yield from (row for row in rows if row.fault is None)


def examples(row: Row, pictures: Pictures) -> Iterator[Example]:
    """Yield the caption of one figure."""
    key, folder = row.text("id"), row.fields["folder"]
    file = f"{key}.jpg"
    names = [f"{folder}/images/{file}", file] if folder else [file]
    article = article_of(row.maybe("pmc") or "") or article_of(row.maybe("link") or "")
    licence = row.maybe("licence")
    truth = {name: row.fields[name] for name in LISTS if row.fields.get(name)}
    yield example(
        NAME,
        key,
        [pictures.find(*names, field="id")],
        qa(CAPTION_REQUEST, row.text("caption")),
        "caption",
        "open",
        patient=article,
        truth=truth,
        licence=NO_LICENCE if licence == "NO-CC CODE" else licence or "not stated by the data set",
    )


def jobs(source: Path) -> Iterator[Job]:
    """Yield where each figure is: an article's archive, and its name there."""
    for path in find_files(source, "*/radiology/dlinks*.txt", "*/*/radiology/dlinks*.txt", "*dlinks*.txt"):
        folder = "/".join(path.parts[-3:-1]) + "/images/" if path.parent.name == "radiology" else ""
        for row in split_lines(path):
            command, tab, file = row.fields.get("rest", "").partition("\t")
            link = _LINK.search(command)
            if link and tab:
                yield Job(f"{folder}{row.fields['id']}.jpg", link[0], file.strip())


build, add_options = recipe(NAME, parts, examples, roots=("", "images"), jobs=jobs)
