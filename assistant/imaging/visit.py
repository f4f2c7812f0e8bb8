"""Which visit of which patient a file is from: one-way keys and an order in time, for finding the earlier images.

The date stays in memory and orders visits; it is in no record, page or log, and neither are the keys.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from assistant.errors import ImageError
from assistant.imaging import header as tags
from assistant.imaging.dicom import open_dicom
from assistant.imaging.header import Header
from assistant.imaging.identity import installation_salt, key
from assistant.imaging.load import MAX_PIXELS
from assistant.imaging.quiet import QUIET

_NOBODY = """
    anonymous anonymized anonymised anon unknown unnamed none null na nan test phantom patient noid no-id deidentified
    de-identified removed redacted xxx xxxx
"""
_PLACEHOLDERS = frozenset(_NOBODY.split())
"""Numbers that many patients share after a crude de-identification."""


@dataclass(frozen=True)
class Visit:
    """What a header tells of who, when and what."""

    patient: str | None = field(repr=False)
    """Key of the patient's number; None where there is none, or one that many share."""
    person: str | None = field(repr=False)
    """Key of birth date and sex: two files under one number with two of these are of two persons."""
    study: str | None = field(repr=False)
    """Key of the study."""
    when: str = field(repr=False)
    """Date and time of the study as digits, "" if the header has no date."""
    modality: str | None = None
    anatomy: str | None = None
    view: str | None = None
    laterality: str | None = None


def visit_of(header: Header, salt: bytes | None = None) -> Visit:
    """Read a visit from a header.

    Args:
        header: of any object of the study.
        salt: of the keys; this installation's own if None.
    Returns:
        The visit.
    """
    secret = installation_salt() if salt is None else salt
    study, patient = tags.identity_keys(header, secret)
    number = header.identifier("PatientID").strip(" \0").lower()
    if number in _PLACEHOLDERS or not number.strip("0-. "):
        patient = None
    birth, sex = header.identifier("PatientBirthDate").strip(), header.identifier("PatientSex").strip()
    date = "".join(char for char in header.identifier("StudyDate") if char.isdigit())
    time = "".join(char for char in header.identifier("StudyTime").partition(".")[0] if char.isdigit())
    modality = tags.modality(header)
    return Visit(
        patient=patient,
        person=key(secret, "person", sex, birth),
        study=study,
        when=f"{date}{time:0<6}" if len(date) == 8 else "",
        modality=modality,
        anatomy=tags.anatomy(header),
        view=tags.view(header, modality),
        laterality=tags.laterality(header),
    )


def read_visit(path: Path) -> Visit | None:
    """Read the visit of one file; no pixel is read.

    Args:
        path: any file.
    Returns:
        The visit, None for what is no DICOM file or cannot be read.
    """
    try:
        with path.open("rb") as stream, QUIET:
            if stream.read(132)[128:] != b"DICM":
                return None
            stream.seek(0)
            _, dataset, _ = open_dicom(stream, MAX_PIXELS)
            return visit_of(Header(dataset))
    except (ImageError, OSError, ValueError):
        return None
