"""A report as an HL7 v2.5.1 ORU^R01 message; every result in it is preliminary."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any

from assistant import __version__
from assistant.conversation import ALL_SECTIONS, SECTIONS
from assistant.exports.codes import COMMENT, HEADINGS, REPORT, Code
from assistant.exports.layout import REMARKED, page
from assistant.exports.notices import origin_notice, use_notice
from assistant.exports.source import Source, made_uuid

_ESCAPES = {"\\": "\\E\\", "|": "\\F\\", "^": "\\S\\", "&": "\\T\\", "~": "\\R\\"}
_LONGEST_ID = 20
_ABNORMAL = "AA"
"""OBX-8 of an impression with a critical finding: very abnormal, the word for what is no number (HL7 table 0078)."""
_NAMELESS = "^^^^^^U"
_SEXES = {"M": "M", "F": "F", "O": "O"}


def render(record: Mapping[str, Any], source: Source) -> bytes:
    """Write a report as a message with one order and one result a section.

    Args:
        record: as the ledger keeps it.
        source: gives patient and order where the inputs are DICOM; without, those fields are empty.
    Returns:
        the segments in UTF-8, each ended by a carriage return; no MLLP frame around them.
    """
    now = f"{datetime.datetime.now():%Y%m%d%H%M%S}"
    control = made_uuid(record, "hl7").hex[:_LONGEST_ID]
    accession = escaped(source.text("AccessionNumber"))
    study = source.text("StudyDate") + source.text("StudyTime").partition(".")[0]
    header = ("", now, "", "ORU^R01^ORU_R01", control, "P", "2.5.1", *[""] * 5, "UNICODE UTF-8")
    order = (accession, escaped(str(record.get("study") or control)), _coded(REPORT), "", "", study or now)
    segments = [_segment("MSH", "^~\\&", "medassist", "", "", *header), *_patient(source)]
    segments.append(_segment("OBR", "1", *order, *[""] * 14, now, "", "RAD", "P"))
    results = [(COMMENT, f"{origin_notice(record)} {use_notice(record)}")]
    shown = [name for name in ALL_SECTIONS if name in SECTIONS or record["sections"].get(name)]
    results += [(HEADINGS[name], record["sections"].get(name) or "None.") for name in shown]
    made = page(record)
    results += [(COMMENT, f"{name}: {value}") for name, value in made.facts if name in REMARKED]
    results += [(COMMENT, f"Caution: {one}") for one in made.cautions]
    results += [(COMMENT, f"Evidence [{n}]: {one[0]}. {one[2]}") for n, one in enumerate(made.evidence, start=1)]
    results.append((COMMENT, f"{made.model} medassist {__version__}.".strip()))
    urgent = _ABNORMAL if record.get("critical") else ""
    for number, (code, text) in enumerate(results, start=1):
        flag = urgent if code == HEADINGS["impression"] else ""
        value = ("TX", _coded(code), str(number), escaped(text))
        segments.append(_segment("OBX", str(number), *value, "", "", flag, "", "", "P", "", "", now))
    return "".join(f"{segment}\r" for segment in segments).encode()


def _segment(name: str, *fields: str) -> str:
    return "|".join((name, *fields)).rstrip("|")


def escaped(text: str) -> str:
    """Escape the delimiters (HL7 v2.5.1 chapter 2.7); a line break becomes a blank, no segment can be smuggled in."""
    return "".join(_ESCAPES.get(c, c) for c in " ".join(text.split()))


def _coded(code: Code) -> str:
    return f"{code.value}^{escaped(code.meaning)}^{code.scheme}"


def _patient(source: Source) -> list[str]:
    """Return the PID segment; none where the inputs name no patient, for a patient without number is none."""
    number, issuer = escaped(source.text("PatientID")), escaped(source.text("IssuerOfPatientID"))
    if not number:
        return []
    parts = source.text("PatientName").partition("=")[0].split("^")
    name = "^".join(escaped(part) for part in parts[:3]).rstrip("^") or _NAMELESS
    sex = _SEXES.get(source.text("PatientSex"), "U")
    return [
        _segment("PID", "1", "", f"{number}^^^{issuer}".rstrip("^"), "", name, "", source.text("PatientBirthDate"), sex)
    ]
