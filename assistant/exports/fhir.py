"""A report as a FHIR R4 (4.0.1) transaction bundle.

DiagnosticReport with one Observation a section, the ImagingStudy and the Patient where the inputs are DICOM, a Device
that is this program, and the Provenance that says so. Everything is preliminary and labelled as asserted by AI. Sending
the bundle twice changes nothing: the resources have fixed ids, and the patient is looked up by her number.
"""

from __future__ import annotations

import base64
import datetime
import json
import re
from collections import defaultdict
from collections.abc import Mapping
from html import escape
from typing import Any
from urllib.parse import quote

from assistant import __version__
from assistant.conversation import ALL_SECTIONS, NOT_FOR_CLINICAL_USE
from assistant.exports.codes import HEADINGS, MODALITIES, REPORT, Code
from assistant.exports.layout import page
from assistant.exports.markdown import report_markdown
from assistant.exports.notices import is_accepted, origin_notice, use_notice
from assistant.exports.source import Source, made_uuid
from assistant.exports.wording import title_of

Resource = dict[str, Any]

_TERMS = "http://terminology.hl7.org/CodeSystem"
_BY_AI = {"system": f"{_TERMS}/v3-ObservationValue", "code": "AIAST", "display": "Artificial Intelligence asserted"}
_RADIOLOGY = {"system": f"{_TERMS}/v2-0074", "code": "RAD", "display": "Radiology"}
_ASSEMBLER = {"system": f"{_TERMS}/provenance-participant-type", "code": "assembler", "display": "Assembler"}
_VERIFIER = {"system": f"{_TERMS}/provenance-participant-type", "code": "verifier", "display": "Verifier"}
_IMAGING = {"system": f"{_TERMS}/observation-category", "code": "imaging", "display": "Imaging"}
_URGENT: dict[str, Any] = {
    "interpretation": [
        {"coding": [{"system": f"{_TERMS}/v3-ObservationInterpretation", "code": "AA", "display": "Critical abnormal"}]}
    ]
}
"""Of an impression with a critical finding."""
_DCM = "http://dicom.nema.org/resources/ontology/DCM"
_GENDERS = {"M": "male", "F": "female", "O": "other"}


def render(record: Mapping[str, Any], source: Source) -> bytes:
    """Write a report as a bundle.

    Args:
        record: as the ledger keeps it.
        source: gives patient and study where the inputs are DICOM.
    Returns:
        JSON in UTF-8.
    """
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    names = {
        part: f"urn:uuid:{made_uuid(record, part)}"
        for part in ("report", "device", "patient", "study", "by", *ALL_SECTIONS)
    }
    subject = {"subject": {"reference": names["patient"]}} if source.first is not None else {}
    effective = _date(source.text("StudyDate"))
    when = {"effectiveDateTime": effective} if effective else {}
    resources: dict[str, Resource] = {"device": _device(record)}
    if source.first is not None:
        resources["patient"] = _patient(source)
        resources["study"] = _study(source, names["patient"])
    shown = {name: record["sections"].get(name, "") for name in ALL_SECTIONS}
    for name, text in shown.items():
        if text:
            urgent = _URGENT if name == "impression" and record.get("critical") else {}
            resources[name] = _observation(record, name, text, names["device"], subject | when | urgent)
    resources["report"] = _report(record, names, list(resources), subject | when, now)
    resources["by"] = {
        "resourceType": "Provenance",
        "target": [{"reference": names[one]} for one in resources if one in ("report", *ALL_SECTIONS)],
        "recorded": now,
        "agent": [{"type": {"coding": [_ASSEMBLER]}, "who": {"reference": names["device"]}}, *_person(record)],
    }
    entries = [_entry(part, body, names[part], source) for part, body in resources.items()]
    bundle = {"resourceType": "Bundle", "type": "transaction", "meta": {"security": [_BY_AI]}, "entry": entries}
    return (json.dumps(bundle, ensure_ascii=False, indent=1) + "\n").encode()


def _person(record: Mapping[str, Any]) -> list[Resource]:
    """Return who accepted the report, as one more agent; nobody behind a draft."""
    if not is_accepted(record):
        return []
    return [{"type": {"coding": [_VERIFIER]}, "who": {"display": str(record["accepted"]["by"])}}]


def _entry(part: str, body: Resource, name: str, source: Source) -> Resource:
    """Wrap a resource with how it is stored."""
    kind, number = body["resourceType"], source.text("PatientID")
    if part == "patient":
        request = {"method": "POST", "url": kind}
        if number:
            request["ifNoneExist"] = f"identifier={quote(number, safe='')}"
        return {"fullUrl": name, "resource": body, "request": request}
    body = {"resourceType": kind, "id": name.removeprefix("urn:uuid:"), **body}
    return {"fullUrl": name, "resource": body, "request": {"method": "PUT", "url": f"{kind}/{body['id']}"}}


def _concept(code: Code) -> Resource:
    return {"coding": [{"system": code.system, "code": code.value, "display": code.meaning}], "text": code.meaning}


def _narrative(*paragraphs: str) -> Resource:
    body = "".join(f"<p>{escape(' '.join(one.split()))}</p>" for one in paragraphs if one)
    return {"status": "generated", "div": f'<div xmlns="http://www.w3.org/1999/xhtml">{body}</div>'}


def _device(record: Mapping[str, Any]) -> Resource:
    model = record.get("model") or {}
    versions = [{"value": f"medassist {__version__}"}]
    if model:
        versions.append({"value": f"model {model['name']} {model['fingerprint']}"})
    return {
        "resourceType": "Device",
        "deviceName": [{"name": "medassist", "type": "model-name"}],
        "version": versions,
        "note": [{"text": NOT_FOR_CLINICAL_USE}],
    }


def _patient(source: Source) -> Resource:
    """Build the patient from what the header has; nothing is made up."""
    made: Resource = {"resourceType": "Patient"}
    if number := source.text("PatientID"):
        issuer = source.text("IssuerOfPatientID")
        made["identifier"] = [{"value": number, **({"assigner": {"display": issuer}} if issuer else {})}]
    family, _, rest = source.text("PatientName").partition("=")[0].partition("^")
    given = [part for part in rest.split("^")[:2] if part.strip()]
    if family or given:
        made["name"] = [{**({"family": family} if family else {}), **({"given": given} if given else {})}]
    made["gender"] = _GENDERS.get(source.text("PatientSex"), "unknown")
    if born := _date(source.text("PatientBirthDate")):
        made["birthDate"] = born
    return made


def _study(source: Source, patient: str) -> Resource:
    """Name the study, its series and its images by their UIDs."""
    series: dict[str, list[Any]] = defaultdict(list)
    for header in source.headers:
        series[str(header.get("SeriesInstanceUID") or header.StudyInstanceUID)].append(header)
    made: Resource = {
        "resourceType": "ImagingStudy",
        "identifier": [{"system": "urn:dicom:uid", "value": f"urn:oid:{source.text('StudyInstanceUID')}"}],
        "status": "available",
        "subject": {"reference": patient},
        "series": [
            {"uid": uid, "modality": _modality(one[0]), "instance": _instances(one)} for uid, one in series.items()
        ],
    }
    if started := _date(source.text("StudyDate")):
        made["started"] = started
    return made


def _modality(header: Any) -> Resource:
    """Return the modality as a code if the standard lists it, as text if not."""
    name = str(header.get("Modality") or "OT")
    return {"system": _DCM, "code": name} if name in MODALITIES else {"display": name}


def _instances(headers: list[Any]) -> list[Resource]:
    return [
        {
            "uid": str(one.SOPInstanceUID),
            "sopClass": {"system": "urn:ietf:rfc:3986", "code": f"urn:oid:{one.SOPClassUID}"},
        }
        for one in headers
    ]


def _observation(record: Mapping[str, Any], name: str, text: str, device: str, more: Resource) -> Resource:
    """State one section, as text: no code is guessed for what is found."""
    return {
        "resourceType": "Observation",
        "meta": {"security": [_BY_AI]},
        "text": _narrative(text, use_notice(record)),
        "status": "preliminary",
        "category": [{"coding": [_IMAGING]}],
        "code": _concept(HEADINGS[name]),
        **more,
        "device": {"reference": device},
        "valueString": text,
        "note": [{"text": f"{origin_notice(record)} {use_notice(record)}"}],
    }


def _report(record: Mapping[str, Any], names: dict[str, str], there: list[str], more: Resource, now: str) -> Resource:
    """Join the sections."""
    made = page(record)
    sections = [f"{name}: {value}" for name, value in made.facts if name == "Critical finding"]
    sections += [f"{heading}: {text}" for heading, text in made.sections]
    results = [{"reference": names[one]} for one in ALL_SECTIONS if one in there]
    body: Resource = {
        "resourceType": "DiagnosticReport",
        "meta": {"security": [_BY_AI]},
        "text": _narrative(origin_notice(record), use_notice(record), *sections),
        "status": "preliminary",
        "category": [{"coding": [_RADIOLOGY]}],
        "code": _concept(REPORT),
        **more,
        "issued": now,
    }
    if results:
        body["result"] = results
    if "study" in there:
        body["imagingStudy"] = [{"reference": names["study"]}]
    if conclusion := record["sections"].get("impression"):
        body["conclusion"] = f"{conclusion} ({use_notice(record)})"
    shown = {name: value for name, value in record.items() if name not in ("inputs", "priors")}  # paths stay here
    text = report_markdown(shown).encode()
    form = {"contentType": "text/markdown", "title": title_of(record), "data": base64.b64encode(text).decode()}
    return {**body, "presentedForm": [form]}


def _date(value: str) -> str:
    """Return a DICOM date as FHIR has it, "" if it is none."""
    found = re.fullmatch(r"(\d{4})(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])", value)
    return "-".join(found.groups()) if found else ""
