import base64
import json
import re

import pytest

from assistant.exports.registry import render

STATUS = {  # FHIR R4: the required value sets of the elements that are used here
    "DiagnosticReport": {"registered", "partial", "preliminary", "final", "amended", "corrected", "appended"},
    "Observation": {"registered", "preliminary", "final", "amended", "corrected", "cancelled", "unknown"},
    "ImagingStudy": {"registered", "available", "cancelled", "entered-in-error", "unknown"},
}
GENDER = {"male", "female", "other", "unknown"}
AGENT = {"enterer", "performer", "author", "verifier", "legal", "attester", "informant", "custodian", "assembler"}


def bundle(record):
    return json.loads(render("fhir", record))


def of(record, kind):
    return [entry["resource"] for entry in bundle(record)["entry"] if entry["resource"]["resourceType"] == kind]


@pytest.mark.parametrize("fixture", ["record", "record_of_png"])
@pytest.mark.filterwarnings("ignore")  # of the library that checks
def test_the_bundle_is_valid_r4(fixture, request):
    module = pytest.importorskip("fhir.resources.R4B.bundle", reason="fhir.resources checks the bundle")
    made = module.Bundle.model_validate(bundle(request.getfixturevalue(fixture)))
    assert made.type == "transaction"


def test_codes_are_of_the_required_value_sets(record):
    for kind, allowed in STATUS.items():
        found = of(record, kind)
        assert found
        assert {one["status"] for one in found} <= allowed
    assert of(record, "Patient")[0]["gender"] in GENDER
    agent = of(record, "Provenance")[0]["agent"][0]
    assert agent["type"]["coding"][0]["code"] in AGENT


def test_all_that_is_said_is_preliminary_and_asserted_by_ai(record):
    said = [*of(record, "DiagnosticReport"), *of(record, "Observation")]
    assert len(said) == 4
    for one in said:
        assert one["status"] == "preliminary"
        assert one["meta"]["security"][0]["code"] == "AIAST"
        assert "not for clinical use" in json.dumps(one)


def test_references_lead_to_entries_of_the_bundle(record):
    made = bundle(record)
    names = {entry["fullUrl"] for entry in made["entry"]}
    used = set(re.findall(r'"reference": "([^"]+)"', json.dumps(made)))
    assert used
    assert used <= names
    assert bundle(record)["entry"][0]["fullUrl"] == made["entry"][0]["fullUrl"]  # again: the same ids


def test_patient_and_study_come_from_the_header(record):
    patient, study = of(record, "Patient")[0], of(record, "ImagingStudy")[0]
    assert patient["name"] == [{"family": "Doe", "given": ["Jane", "Q"]}]
    assert (patient["birthDate"], patient["gender"]) == ("1950-01-02", "female")
    entry = next(one for one in bundle(record)["entry"] if one["resource"]["resourceType"] == "Patient")
    assert entry["request"]["ifNoneExist"] == "identifier=H-1%7C2"
    assert study["identifier"][0]["value"] == "urn:oid:1.2.3.99"
    assert study["series"][0]["modality"]["code"] == "CT"


def test_the_page_within_names_no_path(record):
    form = of(record, "DiagnosticReport")[0]["presentedForm"][0]
    page = base64.b64decode(form["data"]).decode()
    assert "## Impression" in page
    assert record["inputs"][0] not in page


def test_without_dicom_there_is_neither_patient_nor_study(record_of_png):
    assert of(record_of_png, "Patient") == of(record_of_png, "ImagingStudy") == []
    assert "subject" not in of(record_of_png, "DiagnosticReport")[0]


def test_a_critical_finding_is_the_interpretation_of_the_impression(urgent):
    observations = {one["code"]["text"]: one for one in of(urgent, "Observation")}
    assert observations["Impressions"]["interpretation"][0]["coding"][0]["code"] == "AA"
    assert "interpretation" not in observations["Findings"]
    assert observations["Previous Findings"]["valueString"] == "The nodule is larger."
    (report,) = of(urgent, "DiagnosticReport")
    assert "Critical finding: possible malignancy" in report["text"]["div"]
    assert "scans/" not in base64.b64decode(report["presentedForm"][0]["data"]).decode()
