import io
import shutil
import subprocess

import pydicom
import pytest

from assistant.exports.registry import render

highdicom = pytest.importorskip("highdicom", reason="writes the SR")
pytest.importorskip("reportlab", reason="writes the PDF")


def tool(name):
    if not shutil.which(name):
        pytest.skip(f"{name} is not installed")
    return name


def test_the_structured_report_lies_in_the_study_and_is_unverified(record):
    report = pydicom.dcmread(io.BytesIO(render("sr", record)))
    assert (report.PatientID, report.StudyInstanceUID, report.AccessionNumber) == ("H-1|2", "1.2.3.99", "A77")
    assert report.SeriesInstanceUID != "1.2.3.98"
    assert (report.CompletionFlag, report.VerificationFlag) == ("PARTIAL", "UNVERIFIED")
    assert (report.PreliminaryFlag, report.SeriesDescription) == ("PRELIMINARY", "AI draft report, unverified")
    headings = [item.ConceptNameCodeSequence[0].CodeValue for item in report.ContentSequence]
    assert [one for one in headings if one in ("55111-9", "59776-5", "19005-8")] == ["55111-9", "59776-5", "19005-8"]
    texts = [item.ContentSequence[0].TextValue for item in report.ContentSequence if "ContentSequence" in item]
    assert "Nodule <6 mm & clear | lungs^." in texts
    told = {item.ConceptNameCodeSequence[0].CodeValue: item.get("TextValue") for item in report.ContentSequence}
    assert (told["121015"], told["121016"]) == ("tiny", "feed"), "model and serial number of the device"


def test_a_report_exported_twice_is_one_instance(record):
    for name in ("sr", "dicom-pdf"):
        uids = {pydicom.dcmread(io.BytesIO(render(name, record))).SOPInstanceUID for _ in range(2)}
        assert len(uids) == 1
    other = pydicom.dcmread(io.BytesIO(render("sr", {**record, "key": "another"})))
    assert other.SOPInstanceUID != pydicom.dcmread(io.BytesIO(render("sr", record))).SOPInstanceUID


def test_dsrdump_reads_the_structured_report(record, tmp_path):
    path = tmp_path / "report.dcm"
    path.write_bytes(render("sr", record))
    shown = subprocess.run([tool("dsrdump"), "+Pl", str(path)], capture_output=True, text=True, check=True)
    assert shown.stderr == ""
    for text in ("Enhanced SR Document", "UNVERIFIED", "PARTIAL", "Nodule.", "not for clinical use", "IMAGE"):
        assert text in shown.stdout


def test_the_document_comes_out_of_the_object_as_it_went_in(record, tmp_path):
    path, out = tmp_path / "report.dcm", tmp_path / "report.pdf"
    path.write_bytes(render("dicom-pdf", record))
    made = pydicom.dcmread(path)
    assert (made.PatientName, made.StudyInstanceUID, made.Modality) == ("Doe^Jane^Q", "1.2.3.99", "DOC")
    assert made.VerificationFlag == "UNVERIFIED"
    assert made.SourceInstanceSequence[0].ReferencedSOPInstanceUID == "1.2.3.5"
    subprocess.run([tool("dcm2pdf"), str(path), str(out)], capture_output=True, check=True)
    text = subprocess.run([tool("pdftotext"), "-layout", str(out), "-"], capture_output=True, text=True, check=True)
    assert "Nodule <6 mm & clear | lungs^." in text.stdout
    assert "not for clinical use" in text.stdout


def test_images_with_few_elements_can_be_reported_on(record, image):
    bare = image("bare.dcm", PatientName=None, PatientSex=None, StudyDate=None, AccessionNumber=None)
    dataset = pydicom.dcmread(bare)
    del dataset.PatientName, dataset.AccessionNumber, dataset.StudyDate, dataset.PatientBirthDate
    dataset.save_as(bare)
    for name in ("sr", "dicom-pdf"):
        made = pydicom.dcmread(io.BytesIO(render(name, {**record, "inputs": [str(bare)]})))
        assert made.AccessionNumber in (None, "")


@pytest.mark.parametrize("name", ["sr", "dicom-pdf", "sc"])
@pytest.mark.parametrize("elements", [{}, {"Laterality": "L", "BodyPartExamined": "HAND"}, {"AccessionNumber": None}])
def test_dciodvfy_finds_no_error(record, image, tmp_path, name, elements):
    path = tmp_path / "made.dcm"
    heat = {"nats": [[0.0] * 8 for _ in range(7)] + [[2.0] * 8], "whole": 1.5}
    path.write_bytes(render(name, {**record, "inputs": [str(image(**elements))], "heat": heat}))
    told = subprocess.run([tool("dciodvfy"), "-new", str(path)], capture_output=True, text=True, check=False)
    assert "Error" not in told.stdout + told.stderr
    assert told.returncode == 0
    assert {"sr": "EnhancedSR", "dicom-pdf": "EncapsulatedPDF", "sc": "SCImage"}[name] in told.stdout + told.stderr
