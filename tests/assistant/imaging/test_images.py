import numpy as np
import pytest
from PIL import Image

from assistant.errors import ImageError
from assistant.imaging.images import is_volume, load_images
from data_recipes.phantom_volume import make_phantom_volume, write_nifti, write_series


@pytest.fixture
def phantom():
    return make_phantom_volume(5, 0, kind="head_ct", slices=8, size=64)


def test_a_picture_is_one_and_volumes_are_their_slices(phantom, tmp_path):
    Image.new("L", (8, 8)).save(tmp_path / "a.png")
    write_series(phantom, tmp_path / "series")
    write_nifti(phantom, tmp_path / "a.nii.gz")
    assert len(load_images(tmp_path / "a.png")) == 1
    series, nifti = (load_images(tmp_path / name, window="brain") for name in ("series", "a.nii.gz"))
    assert len(series) == len(nifti) == 8
    for one, other in zip(series, nifti, strict=True):
        assert np.array_equal(one.pixels, other.pixels)
        assert one.section.position_mm == pytest.approx(other.section.position_mm)
    assert [is_volume(tmp_path / name) for name in ("a.png", "series", "a.nii.gz")] == [False, True, True]


def test_what_a_volume_cannot_give_is_refused_with_its_name(phantom, tmp_path):
    write_series(phantom, tmp_path / "series")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ImageError, match=r"empty is a folder without files"):
        load_images(tmp_path / "empty")
    with pytest.raises(ImageError, match=r"frame 2 was asked for, but a DICOM series has slices"):
        load_images(tmp_path / "series", frame=2)
    with pytest.raises(ImageError, match=r"series: there is no window named 'knee'"):
        load_images(tmp_path / "series", window="knee")
