"""LLaVA-Med alignment: half a million figures, each with a request and its caption (layout unverified).

The repository holds only Git LFS pointers; `download_data.sh` there fetches the JSON files. Pictures come from the
articles' archives by `llava_med_image_urls.jsonl` (`pair_id`, `pmc_tar_url`, `image_file_path`): `--fetch`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from data_recipes.datasets.convert import recipe
from data_recipes.datasets.fetch import Job
from data_recipes.datasets.files import find_files, need_files
from data_recipes.datasets.parts import Part
from data_recipes.datasets.pictures import Pictures
from data_recipes.datasets.row import Row
from data_recipes.datasets.rows import read_jsonl, read_rows
from data_recipes.datasets.words import dialogue, example
from data_recipes.schema import Example

NAME = "llava-med-alignment"
MODALITIES = {"chest_xray": "X-ray", "mri": "MRI", "ct_scan": "CT", "histology": "Histopathology"}


def parts(source: Path) -> list[Part]:
    """Return all records, to be split by article."""
    path = need_files(NAME, source, "llava_med_alignment*.json", "alignment/llava_med_alignment*.json", "*.json")[0]
    return [Part(None, lambda: read_rows(path))]


def examples(row: Row, pictures: Pictures) -> Iterator[Example]:
    """Yield the caption of one figure."""
    yield from figure_examples(NAME, "caption", row, pictures)


def figure_examples(name: str, task: str, row: Row, pictures: Pictures) -> Iterator[Example]:
    """Yield the dialogue on one figure, for alignment and instruct alike.

    Args:
        name: of the recipe.
        task: of the example.
        row: with `image`, `conversations` (in some files misspelt `conversatons`), `domain`, `pair_id` or `id`.
        pictures: of the data set.
    Yields:
        One example.
    """
    image = row.text("image", "imgs")
    domain = row.fields.get("domain")
    kinds = [kind for kind, holds in domain.items() if holds is True] if isinstance(domain, dict) else []
    field = "conversations" if "conversations" in row.fields else "conversatons"
    key = row.maybe("pair_id") or PurePosixPath(image).stem
    yield example(
        name,
        f"{row.key}-{key}",
        [pictures.find(image)],
        dialogue(row.list_of(field, dict), field),
        task,
        "open",
        modality=MODALITIES.get(kinds[0]) if len(kinds) == 1 else None,
        patient=row.maybe("pmid") or key.partition("_")[0],
        truth=row.about("fig_caption"),
    )


def jobs(source: Path) -> Iterator[Job]:
    """Yield where each figure is: an article's archive, and its path there."""
    for path in find_files(source, "llava_med_image_urls.jsonl", "../llava_med_image_urls.jsonl")[:1]:
        for row in read_jsonl(path):
            if row.fault is None and "pmc_tar_url" in row.fields:
                yield Job(f"{row.text('pair_id')}.jpg", row.text("pmc_tar_url"), row.text("image_file_path"))


build, add_options = recipe(NAME, parts, examples, jobs=jobs)
