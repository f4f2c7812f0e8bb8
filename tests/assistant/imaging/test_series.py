from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file

from assistant.errors import ImageError
from assistant.imaging.series import read_series, slice_head
from data_recipes.phantom_volume import make_phantom_volume, write_series


@pytest.fixture(scope="module")
def phantom():
    return make_phantom_volume(5, 0, kind="head_ct", slices=9, size=64)


@pytest.fixture
def files(phantom, tmp_path):
    return write_series(phantom, tmp_path / "series")


def change(path, **values):
    data = pydicom.dcmread(path)
    for name, value in values.items():
        setattr(data, name, value)
    data.save_as(path)
    return path


def test_slices_are_sorted_by_place_and_not_by_name(phantom, files):
    volume = read_series(sorted(files), salt=b"x")
    assert np.array_equal(volume.values, phantom.values)
    assert volume.numbers == tuple(range(1, 10))
    assert np.allclose(volume.positions_mm, [phantom.origin_mm[2] + 5 * place for place in range(9)])
    assert np.allclose(volume.spacing_mm, phantom.spacing_mm)
    assert (volume.modality, volume.anatomy, volume.view, volume.plane) == ("CT", "head", "axial", "axial")
    assert volume.hounsfield
    assert volume.cautions == ()


def test_nothing_of_the_patient_or_of_the_scanners_numbers_passes(phantom, files):
    volume = read_series(files, salt=b"x")
    told = repr((volume.series, volume.study_key, volume.patient_key, volume.cautions))
    assert "PHANTOM" not in told
    assert "1.2.826" not in told
    assert volume.series != read_series(files, salt=b"y").series


def test_a_series_stored_from_the_head_down_and_mirrored_comes_out_alike(phantom, files):
    for place, path in enumerate(files):
        data = pydicom.dcmread(path)
        data.ImageOrientationPatient = [-1, 0, 0, 0, 1, 0]
        x, y, z = phantom.origin_mm
        data.ImagePositionPatient = [x + 63 * phantom.spacing_mm[2], y, z + 5 * place]
        data.PixelData = np.ascontiguousarray(phantom.values[place][:, ::-1]).tobytes()
        data.InstanceNumber = 9 - place
        data.save_as(path)
    volume = read_series(files)
    assert np.array_equal(volume.values, phantom.values)
    assert volume.numbers == tuple(range(9, 0, -1))


def test_missing_slices_are_told(files):
    volume = read_series([path for place, path in enumerate(files) if place not in (4, 5)])
    assert len(volume.values) == 7
    assert volume.cautions[0].startswith("2 slice(s) seem to be missing between slice 4 and 7")


def test_a_slice_that_is_there_twice_is_taken_once(files, tmp_path):
    twin = tmp_path / "series" / "copy.dcm"
    twin.write_bytes(files[3].read_bytes())
    volume = read_series([*files, twin])
    assert len(volume.values) == 9
    assert volume.cautions == ("1 slice(s) were there twice and are taken once.",)


def test_two_pictures_in_one_place_are_refused_as_phases(files, tmp_path, phantom):
    other = tmp_path / "series" / "phase.dcm"
    other.write_bytes(files[3].read_bytes())
    change(other, PixelData=(phantom.values[3] + 1).tobytes(), InstanceNumber=40)
    with pytest.raises(ImageError, match=r"two different slices lie in one place .*several phases or echoes"):
        read_series([*files, other])


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"SeriesInstanceUID": "1.2.3"}, r"a mixture of 2 series \(8, 1 slices\)"),
        ({"ImageOrientationPatient": [1, 0, 0, 0, 0, -1]}, "a mixture of 2 orientations"),
        ({"PixelSpacing": [1, 1]}, "a mixture of 2 pixel spacings"),
        ({"Modality": "MR"}, "a mixture of 2 modalities"),
        ({"ImagePositionPatient": None}, "1 of 9 slices do not say where they lie"),
    ],
)
def test_mixtures_are_refused_with_what_differs(files, values, said):
    change(files[2], **values)
    with pytest.raises(ImageError, match=f"series: .*{said}"):
        read_series(files)


def test_localizers_and_reports_are_left_out_and_said(files, tmp_path):
    scout = tmp_path / "series" / "scout.dcm"
    scout.write_bytes(files[0].read_bytes())
    change(scout, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"], SeriesInstanceUID="1.2.9")
    report = tmp_path / "series" / "sr.dcm"
    report.write_bytes(Path(get_testdata_file("reportsi.dcm")).read_bytes())
    volume = read_series([*files, scout, report])
    assert len(volume.values) == 9
    assert set(volume.cautions) == {"Left out: 1 file(s), a localizer.", "Left out: 1 file(s), a structured report."}


def test_a_tilted_gantry_is_told(phantom, files):
    for place, path in enumerate(files):
        x, y, z = phantom.origin_mm
        change(path, ImagePositionPatient=[x, y + 3.6 * place, z + 5 * place])
    assert "Each slice is shifted by 3.6 mm" in read_series(files).cautions[0]


def test_files_that_are_no_slices_are_refused(files, tmp_path):
    (tmp_path / "series" / "notes.dcm").write_text("no picture")
    with pytest.raises(ImageError, match=r"1 file\(s\) are no single-frame DICOM images, the first is notes\.dcm"):
        read_series([*files, tmp_path / "series" / "notes.dcm"])
    with pytest.raises(ImageError, match=r"1 file\(s\), but none is a slice of a DICOM series"):
        read_series([tmp_path / "series" / "notes.dcm"])


def test_a_slice_without_pixels_is_named(files):
    data = pydicom.dcmread(files[1])
    data.PixelData = data.PixelData[:100]
    data.save_as(files[1])
    with pytest.raises(ImageError, match=f"slice {files[1].name}"):
        read_series(files)


def test_a_head_is_read_without_pixels_and_other_files_have_none(files, tmp_path):
    head = slice_head(files[0])
    assert (head.number, head.shape, head.left_out) == (1, (64, 64), None)
    assert slice_head(tmp_path / "nowhere") is None
