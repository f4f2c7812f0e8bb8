"""Gives studies what a record knew of their patients before: an indication for the prompt, reports for the page.

The texts go into a ledger that names nobody, so names, numbers and dates are taken out of them first, and an earlier
report is dated by how many days before the study it was made. Which patient it is, the images' headers say.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Protocol

from assistant.ehr.fhir import Clinical, FhirRecord, FhirServer
from assistant.studies import Study, told

MOST_EARLIER = 3
"""Most earlier reports that a page shows, the newest."""


class Record(Protocol):
    """What can be asked for a patient: a bundle or a server."""

    def clinical(self, patient: str, accession: str = "", before: str = "") -> Clinical:
        """Find what was known before a study; see `FhirRecord.clinical`."""
        ...


def open_record(where: str, auth: Any = None) -> Record:
    """Open a bundle's file, or a server by its address.

    Args:
        where: a path or a URL.
        auth: file with the server's login.
    Returns:
        the record.
    Raises:
        AssistantError: it cannot be read or meant.
    """
    from pathlib import Path

    return FhirServer(where, auth) if "://" in where else FhirRecord.of_file(Path(where).expanduser())


def attach(studies: Sequence[Study], record: Record) -> tuple[list[Study], int]:
    """Give each DICOM study what the record knows; others stay as they are.

    Args:
        studies: an indication of a list goes before the record's.
        record: is asked once a study.
    Returns:
        the studies, and for how many something was found.
    """
    made = [_attached(study, record) for study in studies]
    return made, sum(one is not before for one, before in zip(made, studies, strict=True))


def _attached(study: Study, record: Record) -> Study:
    from pydicom import dcmread

    from assistant.deidentify.identifiers import find_identifiers
    from assistant.deidentify.scrub import Scrubber
    from assistant.imaging.quiet import QUIET

    try:
        with QUIET:
            header = dcmread(study.images[0], stop_before_pixels=True)
            patient, accession, date = (
                str(header.get(one) or "").strip(" \0") for one in ("PatientID", "AccessionNumber", "StudyDate")
            )
    except Exception:  # no DICOM, or damaged: the run says so when it reads the picture
        return study
    found = record.clinical(patient, accession, date)
    if not found.indication and not found.earlier:
        return study
    scrubber = Scrubber({*find_identifiers(header), *found.names, patient, accession} - {""})
    indication = told(scrubber.scrub(found.indication)[0]) if found.indication else None
    clinical: dict[str, Any] | None = None
    if found.earlier:
        clinical = {
            "earlier": [
                {
                    "days_before": _days(one.date, date),
                    "title": scrubber.scrub(one.title)[0],
                    **{name: scrubber.scrub(text)[0] for name, text in one.sections.items() if text},
                }
                for one in found.earlier[:MOST_EARLIER]
            ]
        }
    return replace(study, indication=study.indication or indication, clinical=clinical)


def _days(earlier: str, study: str) -> int | None:
    """Return the days from one date (YYYY-MM-DD) to another (YYYYMMDD); None if one is none."""
    try:
        return (datetime.date.fromisoformat(study[:8]) - datetime.date.fromisoformat(earlier)).days
    except ValueError:
        return None
