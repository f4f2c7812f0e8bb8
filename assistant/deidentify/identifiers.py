"""Finds the words of a header that name somebody, so that they can be found again wherever else they stand."""

from __future__ import annotations

import re
from collections.abc import Iterator

from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset

_NUMBERS = frozenset(
    {
        "PatientID",
        "OtherPatientIDs",
        "AccessionNumber",
        "AdmissionID",
        "ServiceEpisodeID",
        "IssuerOfPatientID",
        "MedicalRecordLocator",
        "InsurancePlanIdentification",
        "PatientTelephoneNumbers",
        "PatientAddress",
        "PlacerOrderNumberImagingServiceRequest",
        "FillerOrderNumberImagingServiceRequest",
        "InstitutionName",
        "InstitutionAddress",
        "PersonAddress",
        "PersonTelephoneNumbers",
        "OrderCallbackPhoneNumber",
        "ReferringPhysicianAddress",
        "ReferringPhysicianTelephoneNumbers",
        "ResponsibleOrganization",
        "ClinicalTrialSubjectID",
    }
)
_PLACES = frozenset({"InstitutionName", "InstitutionAddress", "ResponsibleOrganization", "IssuerOfPatientID"})
_SPLIT = re.compile(r"[\^=,;/\s]+")
_LEAST_NUMBER = 4
_TITLES = frozenset(
    {"dr", "md", "mr", "mrs", "ms", "prof", "phd", "von", "van", "the", "and", "de", "jr", "sr", "anon"}
)


def elements(dataset: Dataset) -> Iterator[DataElement]:
    """Yield every element at every depth that can be read; a damaged one is left out."""
    for tag in list(dataset.keys()):
        try:
            element = dataset[tag]
        except Exception:  # pydicom decodes on access, and a damaged element may fail in any way
            continue
        yield element
        if element.VR == "SQ":
            for item in element.value or ():
                yield from elements(item)


def find_identifiers(dataset: Dataset, keep_institution: bool = False) -> set[str]:
    """Collect what names a patient and others.

    Args:
        dataset: before anything is taken out of it.
        keep_institution: hospitals' names are then not among them.
    Returns:
        names in parts and whole, numbers, addresses and the birth date in its common forms.
    """
    found: set[str] = set()
    for element in elements(dataset):
        if element.VR == "PN":
            for value in _values(element):
                found |= name_parts(value)
        elif element.keyword in _NUMBERS and not (keep_institution and element.keyword in _PLACES):
            found |= {value for value in _values(element) if len(value) >= _LEAST_NUMBER}
        elif element.keyword == "PatientBirthDate":
            for value in _values(element):
                found |= _date_forms(value)
    return found


def name_parts(name: str) -> set[str]:
    """Return the parts of a person's name (PS3.5 6.2.1), titles and single letters left out."""
    parts = {part.strip(".'\"()") for part in _SPLIT.split(name)}
    kept = {part for part in parts if part.lower() not in _TITLES and (len(part) > 2 or (part and not part.isascii()))}
    whole = " ".join(part for part in re.split(r"[\^=]+", name) if part.strip())
    return kept | ({name.strip("^ "), whole} if kept else set())


def _values(element: DataElement) -> list[str]:
    value = element.value
    many = value if not isinstance(value, str | bytes) and hasattr(value, "__iter__") and element.VM > 1 else [value]
    return [text for one in many if (text := str(one).strip(" \0^"))] if value is not None else []


def _date_forms(value: str) -> set[str]:
    if not re.fullmatch(r"\d{8}", value):
        return set()
    year, month, day = value[:4], value[4:6], value[6:]
    pairs = [(year, month, day), (day, month, year), (month, day, year)]
    return {value, *(sign.join(pair) for pair in pairs for sign in "-./")}


def as_bytes(identifiers: set[str]) -> list[bytes]:
    """Return the longer identifiers as they may stand in binary data."""
    long = [one for one in identifiers if len(one) >= _LEAST_NUMBER]
    return [one.encode(code, "ignore") for one in long for code in ("utf-8", "latin-1", "utf-16-le", "utf-16-be")]
