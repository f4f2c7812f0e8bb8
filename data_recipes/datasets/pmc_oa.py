"""PMC-OA: figures of open-access articles with captions (layout unverified: `image`, `caption` and alignment)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from data_recipes.datasets.convert import recipe
from data_recipes.datasets.files import need_files, split_parts
from data_recipes.datasets.parts import Part
from data_recipes.datasets.pictures import Pictures
from data_recipes.datasets.row import Row
from data_recipes.datasets.words import CAPTION_REQUEST, article_of, example, qa
from data_recipes.schema import Example

NAME = "pmc-oa"


def parts(source: Path) -> list[Part]:
    """Return the files of the splits, else the one file of all, to be split by article."""
    files = need_files(NAME, source, "[tv]*.jsonl", "*/[tv]*.jsonl", "pmc_oa*.jsonl", "*.jsonl")
    return split_parts(NAME, files)


def examples(row: Row, pictures: Pictures) -> Iterator[Example]:
    """Yield the caption of one figure."""
    name = row.text("image")
    yield example(
        NAME,
        row.key,
        [pictures.find(name)],
        qa(CAPTION_REQUEST, row.text("caption")),
        "caption",
        "open",
        patient=article_of(name),
        truth=row.about("alignment_type", "alignment_score"),
    )


build, add_options = recipe(
    NAME, parts, examples, roots=("images", "caption_T060_filtered_top4_sep_v0_subfigures", "figures", "")
)
