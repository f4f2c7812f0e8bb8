"""Reports for DICOM studies: read from text files or lists, paired by study, without the names in the headers."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from assistant.errors import DataError
from data_recipes.dicom_records import Report, Study
from data_recipes.own import FaultList

REMOVED = "[removed]"
"""What stands in a report where a name or number stood."""


_WHO = re.compile(
    r"^[ \t]*(?:patient(?:'s)?(?: name| id)?|name|mrn|dob|date of birth|birth ?date|accession(?: number| no\.?)?|"
    r"(?:referring |attending |reporting )?(?:physician|doctor|radiologist)|dictated by|signed by|read by|reported by)"
    r"[ \t]*:.*$|^[ \t]*electronically signed.*$",
    re.IGNORECASE | re.MULTILINE,
)


def read_reports(path: Path, faults: FaultList, id_column: str, text_column: str, *, beside: bool) -> list[Report]:
    """Read reports.

    Args:
        path: a folder of `.txt` files, each named after its study or alone in the study's folder; or a list.
        faults: what is wrong is noted here.
        id_column: heading or key of a list under which the study's id stands.
        text_column: the same for the report.
        beside: the folder is that of the images; it may hold no text file at all.
    Returns:
        The reports in the order of files and lines.
    Raises:
        DataError: the path does not exist, or is neither folder nor list.
    """
    if not path.exists():
        raise DataError(f"--reports {path} does not exist; check the path.")
    if path.is_dir():
        files = sorted(path.rglob("*.txt"))
        if not files and not beside:
            raise DataError(f"--reports {path} holds no .txt file; give a folder that does, or a .csv or .jsonl list.")
        return [report for file in files for report in _text_file(file, path, faults)]
    if path.suffix.lower() not in (".csv", ".tsv", ".jsonl"):
        raise DataError(f"--reports {path} is neither a folder nor a .csv, .tsv or .jsonl list; give one of these.")
    return list(_list(path, faults, id_column, text_column))


def pair_reports(studies: Sequence[Study], reports: Sequence[Report], faults: FaultList) -> list[tuple[Study, Report]]:
    """Give each study its report.

    Args:
        studies: what `find_studies` returned.
        reports: from files, lists and structured reports.
        faults: two different reports for one study are noted here.
    Returns:
        Studies that have a report, in their order; the report without the names that the study's headers tell.
    """
    homes = {one: study for study in studies for one in study.ids}
    found: dict[str, tuple[Study, Report]] = {}
    for report in reports:
        study = homes.get(report.study)
        if study is None:
            continue
        if study.key in found and found[study.key][1].text != report.text:
            other = found[study.key][1].place
            faults.add(report.place, f"{other} is another report for the same study; keep the final one.")
        found.setdefault(study.key, (study, report))
    return [(study, _without_names(found[study.key][1], study)) for study in studies if study.key in found]


def _without_names(report: Report, study: Study) -> Report:
    """Take out lines that tell who, and what the headers name: patient, physician, hospital, numbers and dates."""
    text, count = _WHO.subn("", report.text)
    if study.naming:
        words = "|".join(re.escape(word) for word in sorted(study.naming, key=len, reverse=True))
        text, more = re.subn(rf"(?<!\w)(?:{words})(?!\w)", REMOVED, text, flags=re.IGNORECASE)
        count += more
    return replace(report, text=text, removed=count)


def _text_file(file: Path, root: Path, faults: FaultList) -> Iterator[Report]:
    try:
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        faults.add(str(file), f"not UTF-8 ({error.reason}); save the report as UTF-8.")
        return
    if not text.strip():
        faults.add(str(file), "the report is empty; fill it in or delete the file.")
        return
    yield Report(file.stem.lower(), text, str(file))
    if file.parent != root and len(list(file.parent.glob("*.txt"))) == 1:
        yield Report(file.parent.name.lower(), text, str(file))


def _list(path: Path, faults: FaultList, id_column: str, text_column: str) -> Iterator[Report]:
    seen: dict[str, int] = {}
    for number, row in _rows(path, faults):
        where = f"{path} line {number}"
        missing = [name for name in (id_column, text_column) if name not in row]
        if missing:
            faults.add(
                where,
                f"there is no column {missing[0]!r}, only {', '.join(map(repr, row))}; see --report-id, --report-text.",
            )
            return
        study, text = str(row[id_column] or "").strip().lower(), str(row[text_column] or "")
        if not study or not text.strip():
            faults.add(where, f"{id_column if not study else text_column!r} is empty; fill it in or delete the row.")
        elif seen.setdefault(study, number) != number:
            faults.add(where, f"line {seen[study]} has the report of the same study; keep the final one.")
        else:
            yield Report(study, text, where)


def _rows(path: Path, faults: FaultList) -> Iterator[tuple[int, dict[str, Any]]]:
    """Read a list; what is wrong with its form is noted."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            if path.suffix.lower() != ".jsonl":
                reader = csv.DictReader(stream, delimiter="\t" if path.suffix.lower() == ".tsv" else ",")
                for row in reader:
                    yield reader.line_num, row
                return
            for number, line in enumerate(stream, 1):
                if not line.strip():
                    continue
                try:
                    record = json.loads(line)
                except json.JSONDecodeError as error:
                    faults.add(f"{path} line {number}", f"not JSON ({error.msg}); write one object a line.")
                    continue
                if isinstance(record, dict):
                    yield number, record
                else:
                    faults.add(f"{path} line {number}", "no JSON object; write one object a line.")
    except UnicodeDecodeError as error:
        faults.add(str(path), f"not UTF-8 ({error.reason}); save the list as UTF-8.")
