import gzip

import nibabel
import numpy as np
import pytest

from assistant.errors import ImageError
from assistant.imaging.nifti import read_nifti
from data_recipes.phantom_volume import make_phantom_volume, write_nifti


@pytest.fixture(scope="module")
def phantom():
    return make_phantom_volume(5, 1, kind="head_ct", slices=8, size=64)


def save(path, values, affine=None, code=1):
    image = nibabel.Nifti1Image(values, np.diag([1.0, 1, 3, 1]) if affine is None else affine)
    image.set_qform(image.affine, code)
    image.set_sform(image.affine, code)
    nibabel.save(image, path)
    return path


@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
def test_a_phantom_comes_back_upright_with_its_places(phantom, tmp_path, ending):
    volume = read_nifti(write_nifti(phantom, tmp_path / f"a{ending}"))
    assert np.array_equal(volume.values, phantom.values)
    assert volume.values.dtype == np.int16
    assert volume.plane == "axial"
    assert np.allclose(volume.spacing_mm, phantom.spacing_mm)
    first = phantom.origin_mm[2]
    assert np.allclose(volume.positions_mm, [first + 5 * place for place in range(8)])
    assert volume.hounsfield
    assert any("taken as Hounsfield units" in one for one in volume.cautions)


@pytest.mark.parametrize("codes", ["LPS", "RAS", "PIR", "AIL", "SLP"])
def test_any_storage_order_gives_the_same_volume(phantom, tmp_path, codes):
    stored = nibabel.load(write_nifti(phantom, tmp_path / "a.nii"))
    turn = nibabel.orientations.ornt_transform(
        nibabel.io_orientation(stored.affine), nibabel.orientations.axcodes2ornt(codes)
    )
    nibabel.save(stored.as_reoriented(turn), tmp_path / "b.nii")
    volume = read_nifti(tmp_path / "b.nii")
    assert np.array_equal(volume.values, phantom.values)
    assert np.allclose(volume.positions_mm, read_nifti(tmp_path / "a.nii").positions_mm)


def test_slices_run_along_the_coarsest_axis(tmp_path):
    values = np.arange(6 * 7 * 8, dtype=np.int16).reshape(6, 7, 8)
    assert read_nifti(save(tmp_path / "c.nii", values, np.diag([1.0, 4, 1, 1]))).plane == "coronal"
    assert read_nifti(save(tmp_path / "s.nii", values, np.diag([4.0, 1, 1, 1]))).plane == "sagittal"
    assert read_nifti(save(tmp_path / "i.nii", values, np.eye(4))).plane == "axial"


def test_scaled_and_missing_values_are_read(tmp_path):
    values = np.linspace(0, 1, 60, dtype=np.float32).reshape(5, 4, 3)
    values[0, 0, 0] = np.nan
    volume = read_nifti(save(tmp_path / "f.nii", values))
    assert volume.values.dtype == np.float32
    assert np.isfinite(volume.values).all()


def test_one_volume_of_several_is_taken_and_said(tmp_path):
    values = np.zeros((4, 4, 5, 3), np.int16)
    values[..., 2] = 7
    path = save(tmp_path / "t.nii.gz", values)
    assert read_nifti(path).values.max() == 0
    volume = read_nifti(path, frame=2)
    assert volume.values.min() == 7
    assert "Volume 3 of 3 in the file is shown" in volume.cautions[0]
    with pytest.raises(ImageError, match=r"frame 3 was asked for, but the file has 3 volume"):
        read_nifti(path, frame=3)


def test_a_file_without_orientation_is_taken_with_a_caution(tmp_path):
    volume = read_nifti(save(tmp_path / "o.nii", np.zeros((4, 4, 5), np.int16), code=0))
    assert any("left and right may be swapped" in one for one in volume.cautions)


def test_what_is_no_volume_is_refused_with_the_reason(tmp_path):
    colour = np.zeros((4, 4, 5), [("R", "u1"), ("G", "u1"), ("B", "u1")])
    with pytest.raises(ImageError, match=r"c\.nii: the voxels are of type .*, not grey values"):
        read_nifti(save(tmp_path / "c.nii", colour))
    with pytest.raises(ImageError, match=r"an array of shape \(4, 4\)"):
        read_nifti(save(tmp_path / "p.nii", np.zeros((4, 4), np.int16)))
    with pytest.raises(ImageError, match="does not exist or is no file"):
        read_nifti(tmp_path / "nowhere.nii")


def test_damaged_files_are_refused_without_quoting_them(phantom, tmp_path):
    whole = write_nifti(phantom, tmp_path / "a.nii.gz").read_bytes()
    for name, content in {
        "cut.nii.gz": whole[: len(whole) // 2],
        "short.nii": gzip.decompress(whole)[:5000],
        "text.nii": b"Doe^John" * 100,
        "empty.nii": b"",
    }.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ImageError, match="this is no NIfTI volume that can be read, or it is cut off") as raised:
            read_nifti(tmp_path / name)
        assert "Doe" not in str(raised.value)


def test_a_header_that_claims_too_much_is_refused_before_anything_is_read(tmp_path):
    header = nibabel.Nifti1Header()
    header.set_data_dtype(np.int16)
    header.set_data_shape((2000, 2000, 2000))
    (tmp_path / "big.nii").write_bytes(header.binaryblock + bytes(8))
    with pytest.raises(ImageError, match=r"\(2000, 2000, 2000\) voxels, more than the limit|no NIfTI volume"):
        read_nifti(tmp_path / "big.nii")
