import numpy as np
import pytest

from assistant.errors import ImageError
from assistant.imaging.given import Given
from assistant.imaging.images import load_images
from assistant.imaging.several import pictures_of, sort_sent
from data_recipes.phantom_volume import make_phantom_volume, write_nifti, write_series
from tests.assistant.dicom_files import write_image


@pytest.fixture(scope="module")
def phantom():
    return make_phantom_volume(5, 0, kind="head_ct", slices=8, size=64)


@pytest.fixture
def series(phantom, tmp_path):
    return write_series(phantom, tmp_path / "series")


def sent(*paths):
    return [Given(f"Image {number}", path.read_bytes()) for number, path in enumerate(paths, start=1)]


def test_slices_of_one_series_make_the_volume_that_the_command_line_reads(series, tmp_path):
    (one,) = sort_sent(sent(*series))
    expected = load_images(tmp_path / "series")
    made = pictures_of(one)
    assert one.is_series
    assert [each.section.to_dict() for each in made] == [each.section.to_dict() for each in expected]
    assert all(np.array_equal(left.pixels, right.pixels) for left, right in zip(made, expected, strict=True))
    assert made[0].cautions == expected[0].cautions


def test_a_nifti_file_is_a_volume_and_other_files_are_pictures_in_their_order(phantom, series, tmp_path):
    radiograph = write_image(tmp_path / "x.dcm")
    nifti = write_nifti(phantom, tmp_path / "a.nii.gz")
    found = sort_sent(sent(radiograph, *series, nifti))
    assert [(one.first, one.volume is not None) for one in found] == [(0, False), (1, True), (9, True)]
    (picture,) = pictures_of(found[0])
    assert picture.modality == "X-ray"
    assert len(pictures_of(found[2], window="bone")) == 8


def test_a_few_slices_stay_pictures_unless_they_are_too_many_for_that(series):
    assert [one.volume for one in sort_sent(sent(*series[:3]))] == [None] * 3
    (one,) = sort_sent(sent(*series[:3]), most_single=2)
    assert len(one.volume.numbers) == 3


def test_slices_of_two_series_are_refused_as_on_the_command_line(series, tmp_path):
    other = write_series(make_phantom_volume(5, 1, kind="brain_mr", slices=8, size=64), tmp_path / "other")
    with pytest.raises(ImageError, match=r"the files that were sent: the files are a mixture of 2 series \(8, 8 slic"):
        sort_sent(sent(*series, *other))


def test_slices_that_do_not_say_where_they_lie_are_refused_once_they_are_too_many(tmp_path):
    files = [
        write_image(tmp_path / f"{one}.dcm", grey=one, Modality="CT", SeriesInstanceUID="1.2.3") for one in range(6)
    ]
    with pytest.raises(ImageError, match=r"6 of 6 slices do not say where they lie"):
        sort_sent(sent(*files), most_single=4)


def test_a_frame_is_a_volume_of_a_4d_file_and_nothing_to_a_series(series, phantom, tmp_path):
    with pytest.raises(ImageError, match="frame 2 was asked for, but a DICOM series has slices"):
        sort_sent(sent(*series), frames=[None, 2, *[None] * 6])
    nifti = write_nifti(phantom, tmp_path / "a.nii")
    with pytest.raises(ImageError, match=r"Image 1: frame 1 was asked for, but the file has 1 volume"):
        sort_sent(sent(nifti), frames=[1])


def test_a_broken_volume_is_named_by_its_number_alone(phantom, tmp_path):
    whole = write_nifti(phantom, tmp_path / "Doe.nii.gz").read_bytes()
    with pytest.raises(ImageError, match=r"^Image 1: this is no NIfTI volume that can be read, or it is cut off"):
        sort_sent([Given("Image 1", whole[: len(whole) // 2])])


def test_a_window_that_a_volume_does_not_have_is_refused(series):
    (one,) = sort_sent(sent(*series))
    with pytest.raises(ImageError, match=r"^Image 1: there is no window named 'sunny'"):
        pictures_of(one, window="sunny")
