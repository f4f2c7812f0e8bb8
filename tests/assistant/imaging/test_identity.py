from __future__ import annotations

import os
import stat

import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file

from assistant.errors import ImageError
from assistant.imaging.identity import _read_or_make, installation_salt, key, state_folder
from assistant.imaging.load import load_picture

PIXELS = np.arange(64, dtype=np.uint8).reshape(8, 8)


@pytest.fixture(autouse=True)
def _fresh():
    _read_or_make.cache_clear()


def test_keys_group_by_study_and_patient_under_one_salt(dicom):
    first = load_picture(dicom(PIXELS), salt=b"a")
    again = load_picture(dicom(PIXELS + 1), salt=b"a")
    other = load_picture(dicom(PIXELS, PatientID="Z", StudyInstanceUID="9.9"), salt=b"a")
    assert (first.study_key, first.patient_key) == (again.study_key, again.patient_key)
    assert first.study_key != other.study_key
    assert first.patient_key != other.patient_key
    assert all(len(k) == 16 and int(k, 16) >= 0 for k in (first.study_key, first.patient_key))
    assert load_picture(dicom(PIXELS), salt=b"b").patient_key != first.patient_key
    elsewhere = load_picture(dicom(PIXELS, IssuerOfPatientID="Other Hospital"), salt=b"a")
    assert elsewhere.patient_key != first.patient_key


def test_no_identifier_gives_no_key(dicom):
    picture = load_picture(dicom(PIXELS, PatientID="  ", StudyInstanceUID=""), salt=b"a")
    assert (picture.study_key, picture.patient_key) == (None, None)


def test_a_key_is_hmac_sha256():
    # echo -ne 'patient\0\0HOSP-123456' | openssl dgst -sha256 -hmac key
    assert key(b"key", "patient", "", "HOSP-123456") == "13a886404e65d3d5"
    assert key(b"key", "study", "", "HOSP-123456") != "13a886404e65d3d5"


def test_the_salt_is_made_once_and_for_its_owner_only(tmp_path):
    salt = installation_salt(tmp_path / "deep" / "state")
    path = tmp_path / "deep" / "state" / "salt"
    assert path.read_bytes() == salt
    assert len(salt) == 32
    if os.name == "posix":
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    _read_or_make.cache_clear()
    assert installation_salt(tmp_path / "deep" / "state") == salt
    assert [p.name for p in path.parent.iterdir()] == ["salt"]


def test_an_unwritable_or_damaged_salt_gives_one_salt_a_process(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    salt = installation_salt(tmp_path / "file" / "state")
    assert len(salt) == 32
    assert installation_salt(tmp_path / "file" / "state") == salt
    (tmp_path / "salt").write_bytes(b"short")
    assert len(installation_salt(tmp_path)) == 32


def test_the_salt_lies_in_the_state_folder(monkeypatch, tmp_path, dicom):
    monkeypatch.setenv("MEDASSIST_STATE_DIR", str(tmp_path / "mine"))
    assert state_folder() == tmp_path / "mine"
    picture = load_picture(dicom(PIXELS))
    assert picture.patient_key == key((tmp_path / "mine" / "salt").read_bytes(), "patient", "", "HOSP-123456")
    monkeypatch.delenv("MEDASSIST_STATE_DIR")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert state_folder() == tmp_path / "medassist"


def words_of(dataset):
    """Every text in a header that could name somebody or something."""
    found = set()
    for element in dataset.iterall():
        if element.VR in ("PN", "LO", "SH", "ST", "LT", "UT", "UI", "DA") and element.tag.group in (0x08, 0x10, 0x20):
            found |= {word for word in str(element.value).split("^") if len(word) > 4}
    return found


@pytest.mark.parametrize("name", ["CT_small.dcm", "MR_small.dcm", "examples_overlay.dcm", "examples_palette.dcm"])
def test_nothing_from_the_header_remains_in_a_picture(name, caplog, capfd):
    path = get_testdata_file(name, download=False)
    caplog.set_level(0)
    picture = load_picture(path, salt=b"a")
    left = repr({k: v for k, v in vars(picture).items() if k != "pixels"}) + caplog.text + "".join(capfd.readouterr())
    names = words_of(pydicom.dcmread(path))
    assert len(names) >= 5
    assert not {name for name in names if name in left} - {picture.anatomy}


@pytest.mark.parametrize(
    "damage",
    [
        {"PixelData": b"12"},
        {"Rows": 0},
        {"PhotometricInterpretation": "JANE"},
        {"WindowCenter": 0, "WindowWidth": 10, "RescaleSlope": 0, "RescaleIntercept": 0},
        {"BitsStored": 99},
    ],
)
def test_errors_and_logs_do_not_name_the_patient(dicom, damage, caplog, capfd):
    caplog.set_level(0)
    data = dicom(PIXELS.astype(np.uint16), PatientBirthDate="19991231", **damage)
    with pytest.raises(ImageError) as caught:
        load_picture(data)
    said = str(caught.value) + caplog.text + "".join(capfd.readouterr())
    for secret in ("Doe", "HOSP-123456", "General Hospital", "follow-up", "19991231"):
        assert secret not in said
    assert str(caught.value).startswith("the given bytes: ")
