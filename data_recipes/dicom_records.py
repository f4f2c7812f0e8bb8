"""What a folder of DICOM studies and reports is read as, before the two are paired."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Report:
    """One report and the study that it says it belongs to."""

    study: str
    """Id of the study, in lower case; in memory only."""
    text: str
    place: str
    """File, and line of a list."""
    removed: int = 0
    """How many names and numbers were taken out."""


@dataclass(frozen=True)
class StudyImage:
    """One image file of a study."""

    path: Path
    series: str
    """Key of its series; groups images, never written."""
    order: int
    """(0020,0013) Instance Number, 0 if there is none."""
    burned_in: bool
    """(0028,0301) Burned In Annotation says so, or the modality often does."""


@dataclass
class Study:
    """One study: what is written of it, and what it is paired by."""

    key: str
    """Salted one-way key of its Study Instance UID."""
    patient: str | None
    """Salted one-way key of the patient; None where the header names none."""
    ids: set[str] = field(default_factory=set)
    """What a report may call it, in lower case; in memory only."""
    naming: set[str] = field(default_factory=set)
    """Names and numbers to take out of its report; in memory only."""
    images: list[StudyImage] = field(default_factory=list)
