import base64
import http.server
import json
import threading
from urllib.parse import parse_qs, urlsplit

import pytest

from assistant.ehr.attach import attach, open_record
from assistant.ehr.fhir import FhirRecord, FhirServer
from assistant.errors import DataError, PacsError
from assistant.exports.markdown import report_markdown
from assistant.imaging.load import load_picture
from assistant.readahead import RunSettings, read_ahead
from assistant.studies import Study

TEXT = "Findings: Seen by Dr. Arthur Dent. Nodule of 4 mm.\nImpression: Nodule. Jane Doe was told on 3.4.2023."


def resources():
    patient = {"reference": "Patient/7"}
    old = {"resourceType": "DiagnosticReport", "subject": patient, "status": "final", "code": {"text": "Chest X-ray"}}
    return [
        {"resourceType": "Patient", "id": "7", "identifier": [{"value": "H-1|2"}],
         "name": [{"family": "Doe", "given": ["Jane"]}]},
        {"resourceType": "ServiceRequest", "id": "1", "status": "active", "identifier": [{"value": "A77"}],
         "subject": patient, "reasonCode": [{"text": "Cough of Mrs. Doe"}],
         "reasonReference": [{"reference": "Condition/2"}]},
        {"resourceType": "Condition", "id": "2", "subject": patient, "code": {"coding": [{"display": "Fever"}]}},
        {**old, "id": "3", "effectiveDateTime": "2023-04-03T10:00:00Z",
         "presentedForm": [{"contentType": "text/plain", "data": base64.b64encode(TEXT.encode()).decode()}]},
        {**old, "id": "4", "effectiveDateTime": "2023-10-01", "conclusion": "Stable nodule.",
         "result": [{"reference": "Observation/5"}]},
        {"resourceType": "Observation", "id": "5", "valueString": "Nodule as before."},
        {**old, "id": "6", "effectiveDateTime": "2024-02-01", "conclusion": "Made after the study."},
        {**old, "id": "8", "effectiveDateTime": "2023-11-01", "conclusion": "Draft.", "status": "preliminary"},
        {**old, "id": "9", "effectiveDateTime": "2023-11-02", "conclusion": "By a program.",
         "meta": {"security": [{"code": "AIAST"}]}},
        {**old, "id": "10", "effectiveDateTime": "2023-11-03", "conclusion": "Of another.",
         "subject": {"reference": "Patient/8"}},
        {**old, "id": "11", "conclusion": "Without a date."},
    ]  # fmt: skip


def bundle(found):
    return {"resourceType": "Bundle", "type": "searchset", "entry": [{"resource": one} for one in found]}


@pytest.fixture
def file(tmp_path):
    (tmp_path / "record.json").write_text(json.dumps(bundle(resources())))
    return tmp_path / "record.json"


@pytest.fixture
def server():
    """A FHIR server of our own on loopback: searches by identifier and subject, pages of two."""
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            parts = urlsplit(self.path)
            query = {name: values[0] for name, values in parse_qs(parts.query).items()}
            asked.append((parts.path, query, self.headers.get("Authorization")))
            kind = parts.path.rsplit("/", 1)[-1]
            found = [one for one in resources() if one["resourceType"] == kind]
            if "identifier" in query:
                found = [one for one in found if query["identifier"] in [i["value"] for i in one["identifier"]]]
            if "subject" in query:
                found = [one for one in found if one["subject"]["reference"] == query["subject"]]
            start = int(query.get("at", 0))
            body = bundle(found[start : start + 2])
            if query.get("_include"):
                body["entry"] += [
                    {"resource": one} for one in resources() if one["resourceType"] in ("Observation", "Condition")
                ]
            if start + 2 < len(found):
                port = self.server.server_address[1]
                url = f"http://127.0.0.1:{port}{parts.path}?subject={query['subject']}&_include=x&at={start + 2}"
                body["link"] = [{"relation": "next", "url": url}]
            data = json.dumps(body).encode()
            self.send_response(200 if query.get("identifier") != "bad" else 403)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *arguments):
            pass

    made = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=made.serve_forever, daemon=True).start()
    made.asked = asked
    yield made
    made.shutdown()
    made.server_close()


def test_a_bundle_tells_the_reason_and_signed_reports_from_before(file):
    found = FhirRecord.of_file(file).clinical("H-1|2", "A77", "20240131")
    assert found.indication == "Cough of Mrs. Doe; Fever"
    assert [(one.date, one.sections["impression"]) for one in found.earlier] == [
        ("2023-10-01", "Stable nodule."), ("2023-04-03", "Nodule. Jane Doe was told on 3.4.2023."),
    ]  # fmt: skip
    assert found.earlier[0].sections["findings"] == "Nodule as before."
    assert FhirRecord.of_file(file).clinical("H-1|3", "A77").earlier == ()
    assert FhirRecord.of_file(file).clinical("H-1|2", "A78").indication is None


def test_a_server_tells_the_same(file, server, tmp_path):
    login = tmp_path / "login"
    login.write_text("Bearer token\n")
    made = FhirServer(f"http://127.0.0.1:{server.server_address[1]}/r4/", login)
    assert made.clinical("H-1|2", "A77", "20240131") == FhirRecord.of_file(file).clinical("H-1|2", "A77", "20240131")
    assert {one[2] for one in server.asked} == {"Bearer token"}
    made = FhirServer(f"http://127.0.0.1:{server.server_address[1]}/r4")
    with pytest.raises(PacsError, match="answered 403"):
        made.clinical("bad")


@pytest.mark.parametrize(
    ("where", "message"),
    [("ftp://x/y", "is no address of a FHIR server"), ("http://fhir.example/r4", "is not encrypted")],
)
def test_an_address_that_cannot_be_meant_is_refused(where, message):
    with pytest.raises(PacsError, match=message):
        open_record(where)


def test_a_file_that_is_no_bundle_is_told(tmp_path):
    for content, message in (("{", "is no JSON"), ("[]", "is no FHIR bundle"), ("{}", "is no FHIR bundle")):
        (tmp_path / "x.json").write_text(content)
        with pytest.raises(DataError, match=message):
            open_record(str(tmp_path / "x.json"))
    with pytest.raises(DataError, match="cannot be read"):
        open_record(str(tmp_path / "none.json"))


def test_a_study_gets_it_without_names_and_dates(file, dicom_image, tmp_path):
    image = dicom_image(1, PatientID="H-1|2", PatientName="Doe^Jane", AccessionNumber="A77", StudyDate="20240131")
    image.save_as(tmp_path / "a.dcm")
    (tmp_path / "b.png").write_bytes(b"no DICOM")
    studies = [Study((tmp_path / "a.dcm",)), Study((tmp_path / "b.png",))]
    (study, other), known = attach(studies, open_record(str(file)))
    assert (known, other) == (1, studies[1])
    assert study.indication == "Cough of Mrs. [removed]; Fever"
    told = json.dumps(study.clinical)
    for secret in ("Doe", "Jane", "Arthur", "2023", "H-1", "A77"):
        assert secret not in told
    assert [one["days_before"] for one in study.clinical["earlier"]] == [122, 303]
    (prepared,) = read_ahead([study], RunSettings(tmp_path, "m"), load_picture, lambda *asked: ("mine", None))
    assert prepared.request.earlier == (
        "Earlier report, 122 days before: Stable nodule. Earlier report, 303 days before: Nodule. [removed] [removed] "
        "was told on [date]."
    )
    page = report_markdown({"sections": {}, "indication": study.indication, "clinical": study.clinical})
    assert "- Indication: Cough of Mrs. \\[removed\\]; Fever" in page
    assert "- Earlier report, 122 day(s) before: Chest X-ray: Stable nodule." in page
    (listed,), _ = attach([Study((tmp_path / "a.dcm",), indication="Fall")], open_record(str(file)))
    assert listed.indication == "Fall"
