"""ROCOv2: captions and UMLS concepts of radiology figures (layout unverified).

`{train,valid,test}_captions.csv` with `ID,Caption` and `_concepts.csv` with `ID,CUIs` beside the pictures' folders, or
the hub's Parquet files with `image_id`, `caption`, `cui` and the pictures inside.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from data_recipes.datasets.convert import recipe
from data_recipes.datasets.files import need_files, split_parts
from data_recipes.datasets.parts import Part
from data_recipes.datasets.pictures import Pictures
from data_recipes.datasets.row import Row
from data_recipes.datasets.rows import read_csv, read_rows
from data_recipes.datasets.words import CAPTION_REQUEST, example, qa
from data_recipes.schema import Example

NAME = "rocov2"


def parts(source: Path) -> list[Part]:
    """Return train, dev and test."""
    files = need_files(NAME, source, "*_captions.csv", "*/*_captions.csv", "data/*.parquet", "*.parquet")
    return split_parts(NAME, files, read_captions)


def read_captions(path: Path) -> Iterable[Row]:
    """Yield figures; those of a CSV file with the concepts of the file beside it."""
    if path.suffix != ".csv":
        return read_rows(path)
    beside = path.with_name(path.name.replace("_captions", "_concepts"))
    concepts = (
        {row.fields["ID"]: row.fields["CUIs"] for row in read_csv(beside, ("ID", "CUIs"))} if beside.exists() else {}
    )

    def rows() -> Iterator[Row]:
        for row in read_csv(path, ("ID", "Caption")):
            row.fields["cui"] = [cui for cui in concepts.get(row.fields["ID"], "").split(";") if cui]
            row.fields["image"] = f"{path.stem.removesuffix('_captions')}/{row.fields['ID']}"
            yield row

    return rows()


def examples(row: Row, pictures: Pictures) -> Iterator[Example]:
    """Yield the caption of one figure."""
    cell, key = row.fields.get("image"), row.text("ID", "image_id")
    concepts = row.fields.get("cui")
    yield example(
        NAME,
        key,
        [pictures.find(cell, key, field="ID") if isinstance(cell, str) else pictures.take(cell)],
        qa(CAPTION_REQUEST, row.text("Caption", "caption")),
        "caption",
        "open",
        truth={"cuis": [str(cui) for cui in concepts]} if concepts else {},
    )


build, add_options = recipe(NAME, parts, examples, roots=("", "images"))
