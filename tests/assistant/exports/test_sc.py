import io
import shutil
import subprocess

import numpy as np
import pydicom
import pytest

from assistant.commands.opened import Opened
from assistant.commands.report import run_report
from assistant.config import AssistantConfig, GenerationConfig
from assistant.errors import ExportError
from assistant.exports.registry import render
from assistant.json_lines import read_lines

HEAT = {"nats": [[0.0] * 8 for _ in range(8)], "whole": 1.5}
HEAT["nats"][1][6], HEAT["nats"][1][5] = 2.0, 1.5


@pytest.fixture
def overlay(record):
    return pydicom.dcmread(io.BytesIO(render("sc", {**record, "heat": HEAT})))


def test_the_overlay_lies_in_the_study_and_says_what_it_is(overlay):
    assert overlay.SOPClassUID == overlay.file_meta.MediaStorageSOPClassUID == "1.2.840.10008.5.1.4.1.1.7"
    assert (overlay.PatientID, overlay.StudyInstanceUID, overlay.AccessionNumber) == ("H-1|2", "1.2.3.99", "A77")
    assert overlay.SeriesInstanceUID != "1.2.3.98"
    assert list(overlay.ImageType) == ["DERIVED", "SECONDARY"]
    assert (overlay.ConversionType, overlay.ContentQualification, overlay.Modality) == ("WSD", "RESEARCH", "OT")
    assert overlay.SeriesDescription == "AI draft overlay, unverified"
    assert "Model tiny, fingerprint feed." in overlay.DerivationDescription
    assert "not for clinical use" in overlay.ImageComments
    (origin,) = overlay.SourceImageSequence
    assert origin.ReferencedSOPInstanceUID == "1.2.3.5"
    assert origin.PurposeOfReferenceCodeSequence[0].CodeValue == "121322"
    assert (overlay.BurnedInAnnotation, overlay.Laterality) == ("NO", "")  # text is blacked out


def test_colour_and_box_lie_where_the_heat_is_and_the_band_below_the_picture(overlay):
    pixels = overlay.pixel_array.astype(int)
    height = round(16 * 22)  # 24 x 16 pixels, enlarged by 22
    assert pixels.shape[0] > height
    colour = np.abs(pixels[:height, :528] - pixels[:height, :528].mean(axis=2, keepdims=True)).sum(axis=2)
    assert colour[60:80, 420:440].min() > 20  # the hottest part
    assert colour[height // 2 :, :200].max() == 0
    line = (pixels[:height, :528] == 255).all(axis=2)
    assert line[45:87, 331].all()  # the box's left side: columns 5 and 6 of 8, row 1 of 8
    band = pixels[height:]
    assert set(np.unique(band.max(axis=2) - band.min(axis=2))) == {0}
    assert (band > 200).any()


def test_the_same_record_gives_one_instance(record):
    uids = {pydicom.dcmread(io.BytesIO(render("sc", {**record, "heat": HEAT}))).SOPInstanceUID for _ in range(2)}
    assert len(uids) == 1


def test_flat_heat_gives_the_plain_picture_and_says_so(record, overlay):
    flat = {"nats": [[0.001] * 8] * 8, "whole": 0.0}
    made = pydicom.dcmread(io.BytesIO(render("sc", {**record, "heat": flat})))
    shown = made.pixel_array[: 16 * 22, :528].astype(int)
    assert (shown.max(axis=2) == shown.min(axis=2)).all()


def test_without_heat_or_dicom_there_is_none(record, record_of_png):
    with pytest.raises(ExportError, match="This one has none: nothing was drafted, or it was drafted before sc"):
        render("sc", record)
    with pytest.raises(ExportError, match="sc belongs into a DICOM study"):
        render("sc", {**record_of_png, "heat": HEAT})


def test_dcmtk_reads_it_and_the_notice_can_be_read(record, tmp_path):
    path, shown = tmp_path / "sc.dcm", tmp_path / "sc.pnm"
    path.write_bytes(render("sc", {**record, "heat": HEAT}))
    for tool in ("dcmdump", "dcm2pnm", "tesseract"):
        if not shutil.which(tool):
            pytest.skip(f"{tool} is not installed")
    dumped = subprocess.run(["dcmdump", "+P", "SOPClassUID", path], capture_output=True, text=True, check=True)
    assert "=SecondaryCaptureImageStorage" in dumped.stdout
    assert dumped.stderr == ""
    subprocess.run(["dcm2pnm", path, shown], capture_output=True, check=True)
    read = subprocess.run(["tesseract", shown, "-", "--psm", "6"], capture_output=True, text=True, check=True)
    assert "NOT FOR DIAGNOSIS" in read.stdout
    assert "model looked at" in read.stdout


def test_a_run_that_is_asked_for_it_works_the_heat_out(image, tiny_model, tmp_path):
    from assistant.chat import MedicalAssistant

    def open_assistant(config):
        return Opened(MedicalAssistant(tiny_model, None, config.generation), "tiny", tiny_model.fingerprint, None)

    config = AssistantConfig(index="none", generation=GenerationConfig(report_max_new_tokens=8))
    path = str(image())
    assert run_report(config, open_assistant, inputs=[path], out=tmp_path / "out", formats=("sc",)) == 0
    (made,) = (tmp_path / "out" / "studies").glob("*.sc.dcm")
    assert pydicom.dcmread(made).StudyInstanceUID == "1.2.3.99"
    run_report(config, open_assistant, inputs=[path], out=tmp_path / "plain")
    with_it, without = (read_lines(tmp_path / one / "reports.jsonl")[0] for one in ("out", "plain"))
    assert np.asarray(with_it["heat"]["nats"]).shape == (8, 8)
    assert "heat" not in without
    assert (with_it["study"], with_it["sections"]) == (without["study"], without["sections"])


def test_a_series_shows_the_slice_that_was_read(tiny_model, tmp_path):
    from assistant.chat import MedicalAssistant
    from data_recipes.phantom_volume import make_phantom_volume, write_series

    def open_assistant(config):
        return Opened(MedicalAssistant(tiny_model, None, config.generation), "tiny", tiny_model.fingerprint, None)

    write_series(make_phantom_volume(5, 0, kind="head_ct", slices=8, size=64), tmp_path / "ct")
    config = AssistantConfig(index="none", generation=GenerationConfig(report_max_new_tokens=8))
    assert run_report(config, open_assistant, inputs=[str(tmp_path / "ct")], out=tmp_path / "out", formats=("sc",)) == 0
    (record,) = read_lines(tmp_path / "out" / "reports.jsonl")
    (made,) = (tmp_path / "out" / "studies").glob("*.sc.dcm")
    origin = pydicom.dcmread(made).SourceImageSequence[0].ReferencedSOPInstanceUID
    numbers = {one.SOPInstanceUID: one.InstanceNumber for one in map(pydicom.dcmread, (tmp_path / "ct").iterdir())}
    assert numbers[origin] == record["heat"]["slice"] == record["slices"][0]["slice"]
