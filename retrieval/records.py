"""JSONL corpora: one passage, figure or case a line.

A line is a case if it has `image` and kind is not given: its text is `text`, `report` or `caption`, else a sentence
made of its labels, else its questions with their answers, else its modality and anatomy. A line without `image` is a
passage. `patient` becomes the salted key that the same installation gives to that PatientID of a DICOM header.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from retrieval.chunk import split_text
from retrieval.passage import KINDS, Passage
from retrieval.reading import Faults, ReadOptions, Tally, check_date, check_modality

_MOST_PAIRS = 8
_TEXT_FIELDS = ("text", "report", "caption")
_STRINGS = ("id", "title", "source", "licence", "anatomy", "finding", "question", "publisher", "image")


def read_jsonl(path: Path, options: ReadOptions, faults: Faults, tally: Tally) -> Iterator[Passage]:
    """Read a JSONL corpus as passages, line by line.

    Args:
        path: the file; image paths in it are relative to its folder.
        options: length of the chunks, and the split whose records are kept.
        faults: what is wrong is added here.
        tally: records of other splits are counted here.
    Yields:
        The passages, in the order of the file.
    """
    with path.open(encoding="utf-8", errors="replace") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            place = f"{path}:{number}"
            record = _parse(line, place, faults)
            if record is None:
                continue
            if options.split != "all" and record.get("split", options.split) != options.split:
                tally.other_split += 1
                continue
            yield from passages_of(record, place, path.parent, options, faults)


def _parse(line: str, place: str, faults: Faults) -> dict[str, Any] | None:
    try:
        record = json.loads(line)
    except json.JSONDecodeError as error:
        faults.add(place, f"column {error.colno}", line[error.pos : error.pos + 20], "write one JSON object a line.")
        return None
    if not isinstance(record, dict):
        faults.add(place, "line", record, "write one JSON object a line.")
        return None
    return record


def passages_of(
    record: dict[str, Any], place: str, folder: Path, options: ReadOptions, faults: Faults
) -> list[Passage]:
    """Check one record and cut it into passages.

    Args:
        record: the fields that a line of a JSONL corpus has.
        place: where it stands, for the faults.
        folder: image paths are relative to it.
        options: length of the chunks; licence and source where the record names none.
        faults: what is wrong is added here.
    Returns:
        The passages; none if something is wrong.
    """
    before = faults.count
    record = {"licence": options.licence, "source": options.source, **_given(record)}
    for name in _STRINGS:
        if record.get(name) is not None and not isinstance(record[name], str):
            faults.add(place, name, record[name], "write it as text.")
    for name in ("id", "source", "licence"):
        if not record.get(name):
            hint = f", or give --{name}." if name != "id" else "."
            faults.add(place, name, record.get(name), f"every record needs it{hint}")
    kind = record.get("kind", "case" if record.get("image") else "passage")
    if kind not in KINDS:
        faults.add(place, "kind", kind, f"use one of {', '.join(KINDS)}.")
    modality = check_modality(record.get("modality"), place, faults)
    date = check_date(record.get("date"), place, faults)
    text = _text(record, modality)
    if not text:
        faults.add(place, "text", "", "give text, report, caption, labels or qa.")
    image = folder / str(record["image"]) if record.get("image") else None
    if image is not None and not image.is_file():
        faults.add(place, "image", record["image"], f"there is no such file under {folder}.")
    if faults.count > before:
        return []
    title = _title(record, modality, text)
    section = f" ({record['section']})" if record.get("section") else ""
    pieces = split_text(text, options.room(title + section), options.count_tokens) if image is None else [text]
    return [
        Passage(
            id=record["id"] if len(pieces) == 1 else f"{record['id']}#{number}",
            kind=kind,
            title=title,
            text=piece,
            source=_source(record),
            licence=record["licence"],
            modality=modality,
            anatomy=record.get("anatomy"),
            finding=record.get("finding"),
            keywords=_keywords(record),
            section=record.get("section"),
            image=str(image) if image else None,
            patient_key=_patient(record),
            references=_references(record),
            parent=record["id"] if len(pieces) > 1 else record.get("parent"),
            date=date,
        )
        for number, piece in enumerate(pieces)
    ]


def _given(record: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in record.items() if value is not None or name not in ("licence", "source")}


def _text(record: dict[str, Any], modality: str | None) -> str:
    for name in _TEXT_FIELDS:
        if isinstance(record.get(name), str) and record[name].strip():
            return str(record[name]).strip()
    labels, pairs, anatomy = record.get("labels"), record.get("qa"), record.get("anatomy")
    lead = f"{modality or 'Image'} of the {anatomy}" if anatomy else modality
    if isinstance(labels, list) and labels:
        return f"{lead or 'Image'}: {', '.join(str(label).replace('_', ' ') for label in labels)}."
    if isinstance(pairs, list) and pairs:
        told = [f"{pair['question']} {pair['answer']}." for pair in pairs if {"question", "answer"} <= set(pair)]
        return " ".join(told[:_MOST_PAIRS])
    return f"{lead}." if lead and record.get("image") else ""


def _title(record: dict[str, Any], modality: str | None, text: str) -> str:
    if record.get("image") and not record.get("title"):
        labels = ", ".join(str(label).replace("_", " ") for label in record.get("labels") or ())
        return " · ".join(part for part in ("Case", modality, record.get("anatomy"), labels) if part)
    title = record.get("title") or record.get("question") or ""
    if not title or title == record["id"] or "_" in title and " " not in title:
        words = text.split()
        return " ".join(words[:8]) + (" …" if len(words) > 8 else "")
    return str(title)


def _source(record: dict[str, Any]) -> str:
    work = record.get("publisher") or record["source"]
    address = record.get("url") or record.get("source_path")
    return f"{work}, {address}" if address else str(work)


def _keywords(record: dict[str, Any]) -> tuple[str, ...]:
    given = record.get("synonyms") or record.get("keywords") or record.get("labels") or ()
    words = [str(item) for item in given] if isinstance(given, list) else []
    return tuple(words + [record["question"]] if record.get("question") else words)


def _references(record: dict[str, Any]) -> tuple[str, ...]:
    given = record.get("references") or record.get("attribution") or ()
    return (given,) if isinstance(given, str) else tuple(str(item) for item in given)


def _patient(record: dict[str, Any]) -> str | None:
    if record.get("patient_key"):
        return str(record["patient_key"])
    if not record.get("patient"):
        return None
    from assistant.imaging.identity import installation_salt, key

    return key(installation_salt(), "patient", "", str(record["patient"]))
