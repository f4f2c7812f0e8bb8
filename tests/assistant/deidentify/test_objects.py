import io
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.encaps import encapsulate
from pydicom.uid import JPEG2000Lossless

from assistant.deidentify.dataset import Deidentifier
from assistant.deidentify.identifiers import elements, find_identifiers
from assistant.deidentify.objects import deidentify_dicom, deidentify_raster
from assistant.deidentify.profile import Profile
from assistant.deidentify.pseudonyms import Pseudonyms
from assistant.errors import DataError, ImageError
from assistant.imaging.quiet import QUIET

SALT = b"a salt of some length, for tests"
PIXELS = np.arange(64 * 48, dtype=np.uint16).reshape(48, 64)


def worker(**options):
    return Deidentifier(Profile(clean_pixels=False, **options), Pseudonyms(SALT))


def left(data, secrets):
    """The secrets that stand somewhere in the bytes, in any usual encoding."""
    codes = ("utf-8", "utf-16-le", "utf-16-be")
    return [one for one in secrets if any(one.encode(code).lower() in data.lower() for code in codes)]


@pytest.mark.parametrize("options", [{}, {"dates": "remove"}, {"retain": ("descriptors", "structured", "device")}])
def test_no_planted_identifier_is_left_in_any_byte(planted, with_picture, saved, secrets, options):
    source = saved(with_picture(planted(), PIXELS))
    assert set(left(source, secrets)) == set(secrets)
    made = deidentify_dicom(source, worker(**options), None)
    assert left(made.data, secrets) == []
    assert left(made.name.encode(), secrets) == []
    assert left(repr(made.changes).encode(), secrets) == []
    assert made.data[:128] == bytes(128)


def test_the_pixels_are_equal_and_the_object_says_what_was_done(planted, with_picture, saved):
    made = deidentify_dicom(saved(with_picture(planted(), PIXELS)), worker(), None)
    clean = pydicom.dcmread(io.BytesIO(made.data))
    assert np.array_equal(clean.pixel_array, PIXELS)
    assert clean.PatientIdentityRemoved == "YES"
    assert clean.DeidentificationMethod[1] == "DICOM PS3.15 2026c Annex E"
    codes = [item.CodeValue for item in clean.DeidentificationMethodCodeSequence]
    assert codes == ["113100", "113107"]
    assert clean.LongitudinalTemporalInformationModified == "MODIFIED"
    assert clean.PatientID == clean.PatientName == made.name.split("/")[0]
    assert "BurnedInAnnotation" not in clean  # nobody looked
    assert clean.file_meta.MediaStorageSOPInstanceUID == clean.SOPInstanceUID
    assert not [element for element in clean.iterall() if element.tag.is_private]


def test_uids_and_dates_agree_over_a_run_and_differ_under_another_salt(planted, saved):
    first = pydicom.dcmread(io.BytesIO(deidentify_dicom(saved(planted()), worker(), None).data))
    again = deidentify_dicom(saved(planted(SOPInstanceUID="1.2.9.8.7.6.5.4.5", StudyDate="20240202")), worker(), None)
    second = pydicom.dcmread(io.BytesIO(again.data))
    assert first.StudyInstanceUID == second.StudyInstanceUID
    assert first.SOPInstanceUID != second.SOPInstanceUID
    assert first.PatientID == second.PatientID
    days = [pydicom.valuerep.DA(one.StudyDate) for one in (first, second)]
    assert (days[1] - days[0]).days == 2
    other = Deidentifier(Profile(), Pseudonyms(b"quite another salt"))
    third = pydicom.dcmread(io.BytesIO(deidentify_dicom(saved(planted()), other, None).data))
    assert third.StudyInstanceUID != first.StudyInstanceUID
    assert re.fullmatch(r"2\.25\.\d{30,39}", first.StudyInstanceUID)


def test_identifiers_in_compressed_frames_and_behind_them_go(planted, with_picture, saved, secrets):
    frame = pydicom.encaps.get_frame(
        pydicom.dcmread(get_testdata_file("JPEG2000.dcm")).PixelData, 0, number_of_frames=1
    )
    real = pydicom.dcmread(get_testdata_file("JPEG2000.dcm"))
    dataset = planted()
    for keyword in ("Rows", "Columns", "SamplesPerPixel", "PhotometricInterpretation", "BitsAllocated", "BitsStored"):
        setattr(dataset, keyword, real[keyword].value)
    dataset.HighBit, dataset.PixelRepresentation = real.HighBit, real.PixelRepresentation
    comment = b"\xff\x64" + (2 + 2 + 10).to_bytes(2, "big") + b"\0\x01" + b"Beeblebrox"
    size = 4 + int.from_bytes(frame[4:6], "big")
    dataset.PixelData = encapsulate([frame[:size] + comment + frame[size:] + b"Zaphod"])
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True
    made = deidentify_dicom(saved(dataset, JPEG2000Lossless), worker(), None)
    assert left(made.data, secrets) == []
    clean = pydicom.dcmread(io.BytesIO(made.data))
    assert clean.file_meta.TransferSyntaxUID == JPEG2000Lossless
    assert np.array_equal(clean.pixel_array, real.pixel_array)


def test_bytes_behind_the_last_pixel_and_overlay_bits_within_pixels_go(planted, with_picture, saved, secrets):
    pixels = np.full((48, 64), 0x0123, np.uint16)
    dataset = with_picture(planted(), pixels | 0x8000)
    dataset.BitsStored, dataset.HighBit = 12, 11
    del dataset[0x60003000]
    dataset.PixelData += b"Beeblebrox"
    made = deidentify_dicom(saved(dataset), worker(), None)
    assert left(made.data, secrets) == []
    assert pydicom.dcmread(io.BytesIO(made.data)).PixelData == pixels.tobytes()


@pytest.mark.parametrize("mime", ["application/pdf", "text/XML"])
def test_an_encapsulated_document_becomes_a_blank_one(planted, saved, secrets, mime):
    dataset = planted(SOPClassUID="1.2.840.10008.5.1.4.1.1.104.1", MIMETypeOfEncapsulatedDocument=mime)
    dataset.EncapsulatedDocument = b"%PDF Zaphod Beeblebrox"
    made = deidentify_dicom(saved(dataset), worker(), None)
    assert left(made.data, secrets) == []
    document = pydicom.dcmread(io.BytesIO(made.data)).EncapsulatedDocument
    assert document.startswith(b"%PDF-1.4") == (mime == "application/pdf")


def test_a_report_keeps_its_findings_and_its_form_where_that_is_asked_for(planted, saved, secrets):
    dataset = planted(SOPClassUID="1.2.840.10008.5.1.4.1.1.88.11", PatientName="Text^Zaphod")
    items = []
    for text in ("No effusion, as Dr. Smith saw.", "Text, tell Zaphod on 11.03.2024."):
        item = pydicom.Dataset()
        item.RelationshipType, item.ValueType, item.TextValue = "CONTAINS", "TEXT", text
        items.append(item)
    dataset.ValueType, dataset.ContentSequence = "CONTAINER", items
    source = saved(dataset)
    bare = pydicom.dcmread(io.BytesIO(deidentify_dicom(source, worker(), None).data))
    assert [item.TextValue for item in bare.ContentSequence] == ["Removed by de-identification."]
    made = deidentify_dicom(source, worker(retain=("structured",)), None)
    assert left(made.data, secrets) == []
    kept = pydicom.dcmread(io.BytesIO(made.data)).ContentSequence
    assert {item.ValueType for item in kept} == {"TEXT"}
    texts = [item.TextValue for item in kept]
    assert texts == ["No effusion, as [name] saw.", "[removed], tell [removed] on [date]."]


def test_what_is_retained_stays(planted, saved):
    dataset = planted(
        PatientSex="F", PatientAge="093Y", DeviceSerialNumber="D-77", StudyDescription="Chest, Dr. Beeblebrox"
    )
    made = deidentify_dicom(
        saved(dataset), worker(retain=("patient", "device", "institution", "uids", "descriptors"), dates="keep"), None
    )
    clean = pydicom.dcmread(io.BytesIO(made.data))
    assert (clean.PatientSex, clean.PatientAge, clean.DeviceSerialNumber) == ("F", "090Y", "D-77")
    assert (clean.InstitutionName, clean.StudyDate) == ("Magrathea Clinic", "20240131")
    assert clean.StudyInstanceUID == "1.2.9.8.7.6.5.4.2"
    assert clean.StudyDescription == "Chest, Dr. [removed]"


NAMES = ["CT_small.dcm", "MR_small.dcm", "examples_overlay.dcm", "examples_palette.dcm", "reportsi.dcm", "rtplan.dcm"]
NAMES += ["test-SR.dcm", "JPEG2000.dcm", "liver_1frame.dcm", "examples_ybr_color.dcm"]


@pytest.mark.parametrize("name", NAMES)
def test_real_files_keep_none_of_their_identifiers(name, tmp_path):
    source = Path(get_testdata_file(name, download=False)).read_bytes()
    with QUIET:
        words = {one for one in find_identifiers(pydicom.dcmread(io.BytesIO(source), force=True)) if len(one) > 4}
    made = deidentify_dicom(source, worker(), None)
    with QUIET:
        clean = pydicom.dcmread(io.BytesIO(made.data), stop_before_pixels=True)
        header = " ".join(str(element.value) for element in elements(clean) if element.VR != "SQ")
    assert not [one for one in words if one in header]
    path = tmp_path / "clean.dcm"
    path.write_bytes(made.data)
    if not shutil.which("dcmdump"):
        pytest.skip("dcmtk's dcmdump is not installed")
    dump = subprocess.run(["dcmdump", "-q", "+L", "-M", str(path)], capture_output=True, check=False)
    assert dump.returncode == 0, dump.stderr
    values = b" ".join(line.partition(b"#")[0] for line in dump.stdout.splitlines())  # behind it stands the name
    assert not [one for one in words if one.encode() in values]


def test_a_count_that_is_no_number_is_told():
    with pytest.raises(ImageError, match="NumberOfFrames in the DICOM header is not a whole number"):
        deidentify_dicom(Path(get_testdata_file("badVR.dcm", download=False)).read_bytes(), worker(), None)


def test_a_dicomdir_and_a_bare_header_are_refused():
    with pytest.raises(DataError, match="DICOMDIR"):
        deidentify_dicom(Path(get_testdata_file("DICOMDIR", download=False)).read_bytes(), worker(), None)
    with pytest.raises(DataError, match="names its class and instance"):
        deidentify_dicom(bytes(128) + b"DICM", worker(), None)


def test_a_picture_loses_its_metadata_and_keeps_its_pixels(tmp_path, secrets):
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    pixels = np.arange(300, dtype=np.uint8).reshape(10, 30)
    notes = PngInfo()
    notes.add_text("Patient", "Zaphod Beeblebrox")
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG", pnginfo=notes)
    made = deidentify_raster(stream.getvalue(), worker(), None)
    assert left(made.data, secrets) == []
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(made.data))), pixels)
    many = io.BytesIO()
    Image.fromarray(pixels).save(many, "TIFF", save_all=True, append_images=[Image.fromarray(pixels)])
    with pytest.raises(DataError, match="has 2 pages"):
        deidentify_raster(many.getvalue(), worker(), None)
