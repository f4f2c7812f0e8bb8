"""Codes for what a report says of itself, each with where it is defined. What has no code here stays text."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Code:
    """One concept."""

    value: str
    scheme: str
    """Coding scheme designator of DICOM and name of the coding system in HL7 v2: "LN", "DCM"."""
    meaning: str
    source: str

    @property
    def system(self) -> str:
        """The scheme's address in FHIR."""
        return {"LN": "http://loinc.org", "DCM": "http://dicom.nema.org/resources/ontology/DCM"}[self.scheme]


REPORT = Code("18748-4", "LN", "Diagnostic Imaging Report", "DICOM PS3.16 CID 7000")
HEADINGS: dict[str, Code] = {
    "technique": Code("55111-9", "LN", "Current Procedure Descriptions", "DICOM PS3.16 CID 7001"),
    "comparison": Code("18834-2", "LN", "Previous Findings", "DICOM PS3.16 CID 7001"),
    "findings": Code("59776-5", "LN", "Findings", "DICOM PS3.16 CID 7001"),
    "impression": Code("19005-8", "LN", "Impressions", "DICOM PS3.16 CID 7001"),
}
ELEMENTS: dict[str, Code] = {
    "technique": Code("121065", "DCM", "Procedure Description", "DICOM PS3.16 CID 7002"),
    "comparison": Code("121069", "DCM", "Previous Finding", "DICOM PS3.16 CID 7002"),
    "findings": Code("121071", "DCM", "Finding", "DICOM PS3.16 CID 7002"),
    "impression": Code("121073", "DCM", "Impression", "DICOM PS3.16 CID 7002"),
}
SUMMARY = Code("55112-7", "LN", "Summary", "DICOM PS3.16 CID 7001")
COMMENT = Code("121106", "DCM", "Comment", "DICOM PS3.16 CID 12101")
SOURCE_IMAGE = Code("121322", "DCM", "Source image for image processing operation", "DICOM PS3.16 CID 7202")
ALL: tuple[Code, ...] = (REPORT, *HEADINGS.values(), *ELEMENTS.values(), SUMMARY, COMMENT, SOURCE_IMAGE)

_MODALITIES = "CR CT DX ES GM MG MR NM OP OPT PT RF SM US XA XC"
MODALITIES = frozenset(_MODALITIES.split())
"""Modalities that may be named as a code (DICOM PS3.16 CID 29)."""
