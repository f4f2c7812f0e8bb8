"""A report as a DICOM structured report in the images' own study, by highdicom.

The content follows TID 2000 Basic Diagnostic Imaging Report (PS3.16): a container a heading, one text each. It says
that a program wrote it, it is partial and unverified (PS3.3 C.17.2), and no name of a person stands behind it.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from assistant import __version__
from assistant.conversation import ALL_SECTIONS, SECTIONS
from assistant.exports.codes import COMMENT, ELEMENTS, HEADINGS, REPORT, Code
from assistant.exports.layout import REMARKED, page
from assistant.exports.notices import is_accepted, origin_notice, use_notice
from assistant.exports.source import Source, made_uid
from assistant.exports.study import TYPE_2
from assistant.imaging.quiet import QUIET

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

_SERIES_NUMBER = 9901
DESCRIPTION = "AI draft report, unverified"
ACCEPTED_DESCRIPTION = "AI report accepted by a person"
"""Accepted on a page, which is no signature: the standard's own flags stay at unverified and preliminary."""


def description(record: Mapping[str, Any]) -> str:
    """Return the series description of a report."""
    return ACCEPTED_DESCRIPTION if is_accepted(record) else DESCRIPTION


def render(record: Mapping[str, Any], source: Source) -> bytes:
    """Write a report as an Enhanced SR.

    Args:
        record: as the ledger keeps it.
        source: DICOM images of one study.
    Returns:
        the file; the same record gives the same instance UID.
    Raises:
        ExportError: the inputs are no DICOM images of one study.
    """
    evidence = source.dicom("sr")
    import highdicom

    with QUIET:
        report = highdicom.sr.EnhancedSR(
            evidence=[_complete(one) for one in evidence],
            content=_content(record, evidence),
            series_instance_uid=made_uid(record, "sr series"),
            series_number=_SERIES_NUMBER,
            sop_instance_uid=made_uid(record, "sr"),
            instance_number=1,
            manufacturer="medassist",
            is_complete=False,
            is_final=False,
            is_verified=False,
        )
        report.SeriesDescription = description(record)
        report.ManufacturerModelName, report.SoftwareVersions = "medassist", __version__
        report.PreliminaryFlag = "PRELIMINARY"
        stream = io.BytesIO()
        report.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def _complete(header: Dataset) -> Dataset:
    """Return a header with the elements that a report copies, empty where the image has none."""
    from pydicom.dataset import Dataset as New

    made = New()
    made.update(header)
    for keyword in TYPE_2:
        if keyword not in made:
            setattr(made, keyword, None)
    return made


def _content(record: Mapping[str, Any], evidence: list[Any]) -> Dataset:
    """Build the tree of content items."""
    from highdicom import sr

    contains = sr.RelationshipTypeValues.CONTAINS
    root = sr.ContainerContentItem(name=_coded(REPORT), template_id="2000")
    model = record.get("model") or {}
    device = sr.DeviceObserverIdentifyingAttributes(
        uid=made_uid({"key": "medassist"}, "device"), name="medassist", manufacturer_name="medassist",
        model_name=str(model.get("name") or "medassist"), serial_number=model.get("fingerprint"),
    )  # fmt: skip
    items: list[Any] = [
        sr.LanguageOfContentItemAndDescendants(sr.CodedConcept("en", "RFC5646", "English")),
        sr.ObserverContext(sr.CodedConcept("121007", "DCM", "Device"), device),
    ]
    children: list[Any] = [item for template in items for item in template]
    children.append(_text(COMMENT, f"{origin_notice(record)} {use_notice(record)}"))
    for name in (one for one in ALL_SECTIONS if one in SECTIONS or record["sections"].get(one)):
        container = sr.ContainerContentItem(name=_coded(HEADINGS[name]), relationship_type=contains)
        container.ContentSequence = sr.ContentSequence([_text(ELEMENTS[name], record["sections"].get(name) or "None.")])
        children.append(container)
    children += [_text(COMMENT, text) for text in _remarks(record)]
    for header in evidence:
        if "Rows" in header:
            children.append(
                sr.ImageContentItem(
                    sr.CodedConcept("260753009", "SCT", "Source"), header.SOPClassUID, header.SOPInstanceUID,
                    relationship_type=contains,
                )
            )  # fmt: skip
    root.ContentSequence = sr.ContentSequence(children)
    return root


def _remarks(record: Mapping[str, Any]) -> list[str]:
    """Return confidence, cautions, evidence and model, each as one text."""
    made = page(record)
    remarks = [f"{name}: {value}" for name, value in made.facts if name in REMARKED]
    remarks += [f"Caution: {one}" for one in made.cautions]
    remarks += [
        f"Evidence [{number}]: {title}. {origin}" for number, (title, _, origin) in enumerate(made.evidence, start=1)
    ]
    return [*remarks, made.model] if made.model else remarks


def _coded(code: Code) -> Any:
    from highdicom import sr

    return sr.CodedConcept(code.value, code.scheme, code.meaning)


def _text(code: Code, text: str) -> Any:
    from highdicom import sr

    return sr.TextContentItem(_coded(code), text, relationship_type=sr.RelationshipTypeValues.CONTAINS)
