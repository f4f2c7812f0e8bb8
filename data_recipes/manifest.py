"""The `manifest` recipe: a folder of images with `manifest.jsonl` becomes one file of examples a split.

A manifest record has `id, image, split, source, licence` and as much as is known of `modality, anatomy, labels,
counts, caption, report, qa, group, patient, site`. Each question becomes one example `<record id>#<n>`; a caption and
a report one more each. Every record is checked before anything is written.
"""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from assistant.errors import DataError
from assistant.prompts import report_text
from assistant.vocabulary import canonical_modality
from data_recipes.manifest_check import check_records
from data_recipes.schema import Example, write_examples

Record = dict[str, Any]

MANIFEST_NAME = "manifest.jsonl"
LABEL_LIMIT = 12
"""A source with more label values than this has no class attribute."""

COUNT_ATTRIBUTES: dict[str, tuple[str, str]] = {
    "WBC": ("white cells", "count"),
    "RBC": ("red cells", "presence"),
    "Platelets": ("platelets", "presence"),
}
"""Key of `counts` to its attribute and how it is told; other keys are told as counts under their own name."""

CAPTION_REQUEST = "Describe this image."

_ANSWER_TYPES = {"CLOSED": "closed", "OPEN": "open", "MCQ": "choice"}


def build(source: Path, out: Path, *, limit: int | None = None, seed: int = 0, link: bool = False) -> dict[str, int]:
    """Turn a manifest folder into example files.

    Args:
        source: folder with `manifest.jsonl`.
        out: folder to write `<split>.jsonl` and the images into.
        limit: take at most this many records, chosen by a hash of their group so that all sources appear.
        seed: decides that choice.
        link: put symbolic links to the images instead of copies.
    Returns:
        File name to its number of examples.
    Raises:
        DataError: a record breaks the format; names the first twenty faults.
    """
    records = read_manifest(source)
    classes, counted = class_sources(records), counted_keys(records)
    if limit is not None:
        records = _chosen(records, limit, seed)
    _place_images(source, out, records, link)
    written = {}
    for split in sorted({record["split"] for record in records}):
        examples = (
            example
            for record in records
            if record["split"] == split
            for example in record_examples(record, attributes(record, classes, counted))
        )
        written[f"{split}.jsonl"] = write_examples(out / f"{split}.jsonl", examples)
    return written


def read_manifest(source: Path) -> list[Record]:
    """Read and check all records of a manifest folder.

    Args:
        source: folder with `manifest.jsonl`.
    Returns:
        The records, in the order of the file.
    Raises:
        DataError: the file is missing or a record breaks the format; names the first twenty faults.
    """
    path = source / MANIFEST_NAME
    if not path.is_file():
        raise DataError(f"{source} holds no {MANIFEST_NAME}; give the folder that does.")
    numbered: list[tuple[int, object]] = []
    with path.open("rb") as stream:
        for number, line in enumerate(stream, 1):
            if not line.strip():
                continue
            try:
                numbered.append((number, json.loads(line.decode("utf-8-sig" if number == 1 else "utf-8"))))
            except (json.JSONDecodeError, UnicodeDecodeError) as error:
                numbered.append((number, error))
    return check_records(path, numbered)


def class_sources(records: list[Record]) -> set[str]:
    """Return the sources whose labels form classes: 2 to 12 values, no counts."""
    values: dict[str, set[str]] = {}
    with_counts = {record["source"] for record in records if record.get("counts")}
    for record in records:
        values.setdefault(record["source"], set()).update(record.get("labels") or ())
    return {name for name, found in values.items() if 2 <= len(found) <= LABEL_LIMIT and name not in with_counts}


def counted_keys(records: list[Record]) -> dict[str, set[str]]:
    """Return for each source the things that its records count; one that a record leaves out it counts as 0."""
    keys: dict[str, set[str]] = {}
    for record in records:
        if record.get("counts"):
            keys.setdefault(record["source"], set()).update(record["counts"])
    return keys


def attributes(record: Record, classes: set[str], counted: dict[str, set[str]]) -> dict[str, str]:
    """Return the flat attributes of a record: modality, region, and its class or counts.

    Args:
        record: a checked record.
        classes: what `class_sources` returned.
        counted: what `counted_keys` returned.
    Returns:
        Name of the attribute to its value.
    """
    flat = {"modality": canonical_modality(record.get("modality")) or record.get("modality")}
    flat["region"] = anatomy = record.get("anatomy")
    labels = record.get("labels") or []
    if record["source"] in classes and len(labels) == 1 and anatomy:
        flat[f"{anatomy} finding"] = labels[0]
    if record.get("counts"):
        for key in sorted(counted[record["source"]]):
            name, told_as = COUNT_ATTRIBUTES.get(key, (f"{key.lower()} count", "count"))
            number = record["counts"].get(key, 0)
            flat[name] = ("yes" if number else "no") if told_as == "presence" else (str(number) if number < 3 else "3+")
    return {name: value for name, value in flat.items() if value}


def record_examples(record: Record, truth: dict[str, str]) -> Iterator[Example]:
    """Yield the examples of one checked record, in the order of its questions, then caption, then report."""
    asked: list[tuple[str, str, str, str, list[str] | None]] = [
        (item["question"], item["answer"], "vqa", _ANSWER_TYPES[item["answer_type"]], item.get("options"))
        for item in record.get("qa") or ()
    ]
    if record.get("caption"):
        asked.append((CAPTION_REQUEST, record["caption"], "caption", "open", None))
    if record.get("report"):
        asked.append((report_text(), _report_text(record["report"]), "report", "report", None))
    patient = record.get("patient")
    for number, (question, answer, task, answer_type, choices) in enumerate(asked):
        yield Example(
            id=f"{record['id']}#{number}",
            images=(image_name(record),),
            messages=[{"role": "user", "content": question}, {"role": "assistant", "content": answer}],
            task=task,
            answer_type=answer_type,
            choices=tuple(choices) if choices else None,
            truth=dict(truth),
            modality=truth.get("modality"),
            anatomy=record.get("anatomy"),
            patient=patient if isinstance(patient, str) else record.get("group"),
            site=record.get("site"),
            source=record["source"],
            licence=record["licence"],
        )


def image_name(record: Record) -> str:
    """Return the image's path in the built folder: its own, under `images/`."""
    path = PurePosixPath(record["image"])
    return str(path if path.parts[0] == "images" else "images" / path)


def _report_text(report: str | dict[str, str]) -> str:
    if isinstance(report, str):
        return report
    return "\n".join(f"{name.capitalize()}: {text}" for name, text in report.items())


def _chosen(records: list[Record], limit: int, seed: int) -> list[Record]:
    """Return `limit` records or fewer, in their own order, from the groups that a hash puts first."""
    from data_recipes.splits import hash_point

    order = sorted(
        range(len(records)),
        key=lambda place: (hash_point(str(records[place].get("group") or records[place]["id"]), seed), place),
    )
    return [records[place] for place in sorted(order[:limit])]


def _place_images(source: Path, out: Path, records: list[Record], link: bool) -> None:
    """Copy, hard-link or link each image once; identical targets for two sources are refused."""
    origins: dict[str, str] = {}
    for record in records:
        target = image_name(record)
        if origins.setdefault(target, record["image"]) != record["image"]:
            raise DataError(
                f"{record['image']} and {origins[target]} would both be written to {target}; rename one of them."
            )
    folders = Counter((out / target).parent for target in origins)
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
    for target, image in origins.items():
        origin = (source / image).resolve()
        if link:
            os.symlink(origin, out / target)
            continue
        try:
            os.link(origin, out / target)
        except OSError:  # another file system, or no right to link there
            shutil.copyfile(origin, out / target)
