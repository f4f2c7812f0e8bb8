"""Checks of manifest records: all faults of a file are told at once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeGuard

from assistant.errors import DataError
from data_recipes.schema_check import image_name_fault, show
from data_recipes.splits import SPLITS

FAULTS_SHOWN = 20
_QUESTION_TYPES = ("CLOSED", "OPEN", "MCQ")


def check_records(path: Path, numbered: list[tuple[int, object]]) -> list[dict[str, Any]]:
    """Return the records when all are sound.

    Args:
        path: the manifest; images are looked for beside it.
        numbered: line number with the parsed record, or with the error that parsing gave.
    Returns:
        The records, in the order of the file.
    Raises:
        DataError: names up to twenty faults by line, field, value and mend, and how many there are.
    """
    faults: list[str] = []
    records: list[dict[str, Any]] = []
    lines: dict[str, int] = {}
    homes: dict[str, tuple[str, int]] = {}
    folder = path.parent.resolve()
    for number, record in numbered:
        if isinstance(record, UnicodeDecodeError):
            faults.append(f"line {number}: not UTF-8 ({record.reason}); save the file as UTF-8.")
            continue
        if isinstance(record, json.JSONDecodeError):
            faults.append(f"line {number}: not JSON ({record.msg} at column {record.colno}); write one object a line.")
            continue
        if not isinstance(record, dict):
            faults.append(f"line {number}: record is {show(record)}; write one JSON object a line.")
            continue
        own = [f"line {number}: {fault}" for fault in _record_faults(folder, record)]
        own += [f"line {number}: {fault}" for fault in _shared_faults(record, number, lines, homes)]
        faults += own
        records.append(record)
    if faults:
        shown = "\n  ".join(faults[:FAULTS_SHOWN])
        more = len(faults) - FAULTS_SHOWN
        tail = f"\n  … and {more} more" if more > 0 else ""
        raise DataError(f"{path}: {len(faults)} faults, nothing was written.\n  {shown}{tail}")
    if not records:
        raise DataError(f"{path} holds no record; write one JSON object a line.")
    return records


def _record_faults(folder: Path, record: dict[str, Any]) -> Iterator[str]:
    for name in ("id", "source", "licence", "split"):
        if not _is_text(record.get(name)):
            yield f"field {name!r} is {show(record.get(name))}; give a text that is not empty."
    if _is_text(record.get("split")) and record["split"] not in SPLITS:
        yield f"field 'split' is {show(record['split'])}; use one of {', '.join(SPLITS)}."
    for name in ("modality", "anatomy", "caption", "group", "site"):
        if record.get(name) is not None and not _is_text(record[name]):
            yield f"field {name!r} is {show(record[name])}; give a text that is not empty, or null."
    if fault := _image_fault(folder, record.get("image")):
        yield f"field 'image': {fault}"
    labels = record.get("labels")
    if labels is not None and not (isinstance(labels, list) and all(map(_is_text, labels))):
        yield f"field 'labels' is {show(labels)}; it takes a list of texts."
    counts = record.get("counts")
    if counts is not None and not (isinstance(counts, dict) and all(_is_count(value) for value in counts.values())):
        yield f"field 'counts' is {show(counts)}; it takes names with whole numbers of 0 or more."
    yield from _report_faults(record.get("report"))
    qa = record.get("qa")
    if qa is not None and not isinstance(qa, list):
        yield f"field 'qa' is {show(qa)}; it takes a list of questions."
        return
    for place, item in enumerate(qa or ()):
        yield from _question_faults(f"qa[{place}]", item)


def _report_faults(report: object) -> Iterator[str]:
    if report is None or _is_text(report):
        return
    if not (isinstance(report, dict) and report and all(map(_is_text, report.values()))):
        yield f"field 'report' is {show(report)}; it takes a text, or sections with texts, or null."


def _image_fault(folder: Path, image: object) -> str | None:
    if fault := image_name_fault(image):
        return fault
    path = folder / str(image)
    if not path.resolve().is_relative_to(folder):
        return f"{show(image)} is a link that leaves the folder; put the file itself there."
    if not path.is_file():
        return f"{show(image)} is missing; add the file or delete the record."
    if path.stat().st_size == 0:
        return f"{show(image)} is an empty file; replace it or delete the record."
    return None


def _question_faults(place: str, item: object) -> Iterator[str]:
    if not isinstance(item, dict):
        yield f"field {place!r} is {show(item)}; it takes an object with question, answer and answer_type."
        return
    for name in ("question", "answer"):
        if not _is_text(item.get(name)):
            yield f"field '{place}.{name}' is {show(item.get(name))}; give a text that is not empty."
    if item.get("answer_type") not in _QUESTION_TYPES:
        yield (
            f"field '{place}.answer_type' is {show(item.get('answer_type'))}; use one of {', '.join(_QUESTION_TYPES)}."
        )
    options = item.get("options")
    if options is not None and not (isinstance(options, list) and options and all(map(_is_text, options))):
        yield f"field '{place}.options' is {show(options)}; it takes a list of texts."
    elif options and item.get("answer") not in options:
        yield f"field '{place}.answer' is {show(item.get('answer'))}, which is none of its options; add or mend it."
    elif not options and item.get("answer_type") == "MCQ":
        yield f"field '{place}.options' is {show(options)}, but answer_type is MCQ; list the answers to choose from."


def _shared_faults(
    record: dict[str, Any], number: int, lines: dict[str, int], homes: dict[str, tuple[str, int]]
) -> Iterator[str]:
    """Check what concerns several records: ids are unique, and a group or patient stays in one split."""
    key = record.get("id")
    if _is_text(key) and lines.setdefault(key, number) != number:
        yield f"field 'id' is {show(key)}, which line {lines[key]} has already; give each record its own."
    split = record.get("split")
    for name in ("group", "patient"):
        value = record.get(name)
        if not _is_text(value) or not _is_text(split):
            continue
        scope = "" if name == "group" else record.get("source")  # a hospital's patient keys mean nothing in another
        home, first = homes.setdefault(f"{name}\0{scope}\0{value}", (split, number))
        if home != split:
            yield (
                f"field {name!r} is {show(value)} in split {show(split)}, but line {first} puts it in {show(home)}; "
                "keep it in one split."
            )


def _is_text(value: object) -> TypeGuard[str]:
    return isinstance(value, str) and bool(value.strip())


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
