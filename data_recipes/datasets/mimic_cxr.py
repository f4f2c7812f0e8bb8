"""MIMIC-CXR in R2Gen's layout. Credentialed: reads a local copy and never fetches anything.

Keys from an invented sample of R2Gen's `annotation.json`: lists train, val and test with `id, study_id, subject_id,
report, image_path`. What it builds falls under the same terms as the data: it must not be passed on.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from assistant.prompts import report_text
from data_recipes.datasets.convert import recipe
from data_recipes.datasets.files import need_files
from data_recipes.datasets.iu_xray import r2gen_parts
from data_recipes.datasets.parts import Part
from data_recipes.datasets.pictures import Pictures
from data_recipes.datasets.row import Row
from data_recipes.datasets.words import example
from data_recipes.schema import Example

NAME = "mimic-cxr"


def parts(source: Path) -> list[Part]:
    """Return train, dev and test."""
    return r2gen_parts(need_files(NAME, source, "annotation*.json", "mimic_annotation*.json")[0])


def examples(row: Row, pictures: Pictures) -> Iterator[Example]:
    """Yield the report of one record."""
    patient = row.text("subject_id")
    yield example(
        NAME,
        row.text("id"),
        [pictures.find(name, field="image_path") for name in row.list_of("image_path")],
        [{"role": "user", "content": report_text()}, {"role": "assistant", "content": row.text("report")}],
        "report",
        "report",
        modality="X-ray",
        anatomy="chest",
        patient=patient,
        truth=row.about("study_id"),
    )


build, add_options = recipe(NAME, parts, examples, roots=("images", "files", "images300", "mimic_cxr/images", ""))
