"""Finds the studies of a folder of DICOM files. Identifiers stay in memory, to pair reports by; none is written."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data_recipes.dicom_records import Report, Study, StudyImage
from data_recipes.own import FaultList

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

_TEXT_REPORTS = "1.2.840.10008.5.1.4.1.1.88."
_HEADER = (
    "SOPClassUID",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "InstanceNumber",
    "AccessionNumber",
    "StudyID",
    "PatientID",
    "IssuerOfPatientID",
    "PatientName",
    "OtherPatientIDs",
    "OtherPatientNames",
    "PatientBirthDate",
    "PatientAddress",
    "PatientTelephoneNumbers",
    "ReferringPhysicianName",
    "InstitutionName",
    "Modality",
    "Rows",
    "BurnedInAnnotation",
    "StudyDate",
)
_NAMING = (
    "PatientID",
    "OtherPatientIDs",
    "AccessionNumber",
    "PatientAddress",
    "PatientTelephoneNumbers",
    "InstitutionName",
)
_NAMES = ("PatientName", "OtherPatientNames", "ReferringPhysicianName")


def find_studies(source: Path, faults: FaultList, *, skip_broken: bool) -> tuple[list[Study], list[Report]]:
    """Read the headers of all DICOM files of a folder.

    Args:
        source: folder, read to the bottom; files that are no DICOM are passed over.
        faults: files that cannot be read are noted here.
        skip_broken: leave such files out instead.
    Returns:
        Studies that have images, in order of path, and the reports among the files.
    """
    studies: dict[str, Study] = {}
    reports: list[Report] = []
    for path in _dicom_files(source):
        header = _header(path)
        if header is None or not header.get("StudyInstanceUID"):
            if not skip_broken:
                faults.add(str(path), "no readable DICOM header or study id; mend the file, or use --skip-broken.")
            continue
        study = _study(header, studies)
        study.ids |= _folder_names(path, source)
        if str(header.get("SOPClassUID", "")).startswith(_TEXT_REPORTS):
            reports += _structured(path, header)
        elif header.get("Rows") is not None:
            study.images.append(_image(path, header))
    shared: dict[str, int] = {}
    for study in studies.values():
        for one in study.ids:
            shared[one] = shared.get(one, 0) + 1
    for study in studies.values():
        # A folder or study id that several studies have tells none of them.
        study.ids = {one for one in study.ids if shared[one] == 1}
    return [study for study in studies.values() if study.images], reports


def _dicom_files(source: Path) -> Iterator[Path]:
    from assistant.imaging.load import sniff

    for parent, folders, names in os.walk(source):
        folders.sort()
        for name in sorted(names):
            path = Path(parent, name)
            if name.upper() == "DICOMDIR" or name.startswith("."):
                continue
            with path.open("rb") as stream:
                kind = sniff(stream.read(512))
            if kind == "DICOM" or (kind is None and path.suffix.lower() in (".dcm", ".dicom", ".dic", ".ima")):
                yield path


def _header(path: Path) -> Dataset | None:
    """Return the elements that are needed, or None where they cannot be read."""
    from pydicom import dcmread

    from assistant.imaging.quiet import QUIET

    try:
        with QUIET:
            header = dcmread(path, stop_before_pixels=True, specific_tags=list(_HEADER), force=True)
            for keyword in _HEADER:
                header.get(keyword)  # values are parsed on first sight; what breaks shall break here
            return header
    except Exception:  # whatever pydicom finds broken; its message may quote values of the header, so it stays here
        return None


def _study(header: Dataset, studies: dict[str, Study]) -> Study:
    """Return the study that a header belongs to, with what it is called."""
    from assistant.imaging.header import Header, identity_keys
    from assistant.imaging.identity import installation_salt

    key, patient = identity_keys(Header(header), installation_salt())
    study = studies.setdefault(str(key), Study(str(key), patient))
    for keyword in ("StudyInstanceUID", "AccessionNumber", "StudyID"):
        if value := str(header.get(keyword) or "").strip():
            study.ids.add(value.lower())
    for keyword in _NAMING:
        study.naming |= _values(header.get(keyword))
    for keyword in _NAMES:
        for value in _values(header.get(keyword)):
            study.naming |= {part for part in re.split(r"[\^=\s,]+", value) if len(part) > 2}
    for keyword in ("PatientBirthDate", "StudyDate"):
        study.naming |= _dates(str(header.get(keyword) or ""))
    return study


def _values(value: Any) -> set[str]:
    """Return the texts of an element that may have several values; short ones would hit ordinary words."""
    many = value if isinstance(value, list) or type(value).__name__ == "MultiValue" else [value]
    return {text for one in many if one is not None and len(text := str(one).strip()) > 2}


def _dates(date: str) -> set[str]:
    """Return the ways in which a DICOM date (YYYYMMDD) is often written."""
    if not re.fullmatch(r"\d{8}", date):
        return {date} if len(date) > 2 else set()
    year, month, day = date[:4], date[4:6], date[6:]
    pairs = {(month, day), (month.lstrip("0"), day.lstrip("0"))}
    forms = {date, f"{year}-{month}-{day}"}
    for one, two in pairs:
        forms |= {f"{one}/{two}/{year}", f"{two}/{one}/{year}", f"{two}.{one}.{year}", f"{two}-{one}-{year}"}
    return forms


def _folder_names(path: Path, source: Path) -> set[str]:
    """Return the names of the folders between a file and the source, and the file's own."""
    return {part.lower() for part in path.relative_to(source).parent.parts} | {path.stem.lower()}


def _image(path: Path, header: Dataset) -> StudyImage:
    try:
        order = int(header.get("InstanceNumber") or 0)
    except (TypeError, ValueError):
        order = 0
    burned_in = str(header.get("BurnedInAnnotation") or "").upper() == "YES"
    return StudyImage(path, str(header.get("SeriesInstanceUID") or path.parent), order, burned_in)


def _structured(path: Path, header: Dataset) -> list[Report]:
    """Read the text of a DICOM structured report: (0040,A160) Text Value under its (0040,A043) Concept Name."""
    from pydicom import dcmread

    lines = _content(dcmread(path, stop_before_pixels=True))
    text = "\n".join(lines)
    return [Report(str(header.StudyInstanceUID).lower(), text, str(path))] if text.strip() else []


def _content(dataset: Dataset, heading: str = "") -> list[str]:
    """Return "Heading: text" for each text of a content tree (PS3.3 C.17.3), in its order."""
    lines = []
    for item in dataset.get("ContentSequence") or []:
        named = item.get("ConceptNameCodeSequence") or []
        name = str(named[0].get("CodeMeaning", "")) if named else ""
        if item.get("ValueType") == "TEXT" and item.get("TextValue"):
            title = heading if name.lower() in ("finding", "") and heading else name
            lines.append(f"{title}: {item.TextValue}" if title else str(item.TextValue))
        lines += _content(item, name if item.get("ValueType") == "CONTAINER" else heading)
    return lines
