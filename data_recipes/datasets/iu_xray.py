"""IU X-ray (Open-i): chest radiographs with reports, in R2Gen's layout and in Kaggle's.

R2Gen's `annotation.json` is an object with the lists train, val and test, or one list whose records name their split
(the records also decide where a key names none: a public copy has spaces for "test");
its reports are findings, in some copies with the impression behind. Kaggle's `indiana_reports.csv` has sections and
no splits. Words taken out for privacy stand as "XXXX" in both.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

from assistant.prompts import render_report, report_text
from data_recipes.datasets.convert import recipe
from data_recipes.datasets.files import find_files, need_files, split_word
from data_recipes.datasets.json_stream import JsonStream
from data_recipes.datasets.parts import Part, Skip, by_field
from data_recipes.datasets.pictures import Pictures
from data_recipes.datasets.row import Row
from data_recipes.datasets.rows import read_csv, read_jsonl
from data_recipes.datasets.words import example
from data_recipes.schema import Example

NAME = "iu-xray"
REPORTS = ("uid", "findings", "impression", "indication", "image")
VIEWS = ("uid", "filename", "projection")
_UID = re.compile(r"^(?:CXR)?(\d+)")


def parts(source: Path) -> list[Part]:
    """Return the splits of `annotation*.json`, else Kaggle's reports without splits."""
    if source.is_file() and source.suffix == ".csv":
        source = source.parent
    reports = find_files(source, "indiana_reports*.csv") if source.is_dir() else []
    if reports and not find_files(source, "annotation*.json"):
        return [Part(None, lambda: read_kaggle(reports[0]))]
    return r2gen_parts(need_files(NAME, source, "annotation*.json")[0])


def r2gen_parts(path: Path) -> list[Part]:
    """Return the splits of an R2Gen annotation file, in any of its forms.

    Args:
        path: an object with a list a split, or an array or JSON Lines whose records name their split.
    Returns:
        One part a split.
    """

    def of(key: str) -> Callable[[], Iterator[Row]]:
        def rows() -> Iterator[Row]:
            with JsonStream(path) as stream:
                for _, found in stream.members():
                    if found == key:
                        yield from stream.rows()
                    else:
                        for _ in stream.values():
                            pass

        return rows

    if path.suffix == ".jsonl":
        return by_field("split", _named_split, lambda: read_jsonl(path))
    with JsonStream(path) as stream:
        if stream.peek() != "[":
            keys = []
            for _, key in stream.members():
                keys.append(key)
                for _ in stream.values():
                    pass
            found: list[Part] = []
            for key in keys:
                named = split_word(key)
                found += [Part(named, of(key))] if named else by_field("split", _named_split, of(key))
            return found

    def whole() -> Iterator[Row]:
        with JsonStream(path) as stream:
            yield from stream.rows()

    return by_field("split", _named_split, whole)


def _named_split(row: Row) -> str | None:
    return split_word(row.maybe("split"))


def read_kaggle(path: Path) -> Iterator[Row]:
    """Yield the reports with the pictures of each, frontal views first."""
    beside = path.with_name(path.name.replace("reports", "projections"))
    pictures: dict[str, list[tuple[str, str]]] = {}
    for row in read_csv(beside, VIEWS):
        if row.fault is None:
            pictures.setdefault(row.fields["uid"], []).append((row.fields["projection"], row.fields["filename"]))
    for row in read_csv(path, REPORTS):
        row.fields["views"] = sorted(pictures.get(row.fields.get("uid", ""), ()))
        yield row


def examples(row: Row, pictures: Pictures) -> Iterator[Example]:
    """Yield the report of one study."""
    if "uid" in row.fields:
        yield _kaggle_example(row, pictures)
        return
    key = row.text("id")
    found = _UID.match(key)
    yield example(
        NAME,
        key,
        [pictures.find(name, field="image_path") for name in row.list_of("image_path")],
        [{"role": "user", "content": report_text()}, {"role": "assistant", "content": row.text("report")}],
        "report",
        "report",
        modality="X-ray",
        anatomy="chest",
        patient=f"CXR{found[1]}" if found else key,
    )


def _kaggle_example(row: Row, pictures: Pictures) -> Example:
    uid = row.text("uid")
    sections = {name: text for name in ("findings", "impression") if (text := row.maybe(name))}
    if not sections:
        raise Skip("the report has neither findings nor impression")
    views = row.fields["views"]
    if not views:
        raise Skip("no picture is listed for the report")
    return example(
        NAME,
        uid,
        [pictures.find(name, field="filename") for _, name in views],
        [
            {"role": "user", "content": report_text(indication=row.maybe("indication"))},
            {"role": "assistant", "content": render_report(sections)},
        ],
        "report",
        "report",
        modality="X-ray",
        anatomy="chest",
        patient=f"CXR{uid}",
        truth={"views": [view.lower() for view, _ in views], **row.about("MeSH", "Problems")},
    )


build, add_options = recipe(NAME, parts, examples, roots=("images", "images/images_normalized", "iu_xray/images", ""))
