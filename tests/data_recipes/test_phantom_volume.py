import nibabel
import numpy as np
import pydicom
import pytest

from data_recipes.phantom_volume import VOLUME_KINDS, make_phantom_volume, write_nifti, write_series

SMALL = {"slices": 8, "size": 64}


@pytest.mark.parametrize("kind", VOLUME_KINDS)
def test_the_same_numbers_give_the_same_volume_and_others_another(kind):
    first, again = (make_phantom_volume(3, 1, kind=kind, **SMALL) for _ in range(2))
    assert np.array_equal(first.values, again.values)
    assert first.truth == again.truth
    assert not np.array_equal(first.values, make_phantom_volume(3, 2, kind=kind, **SMALL).values)


@pytest.mark.parametrize("kind", VOLUME_KINDS)
@pytest.mark.parametrize("thickness", [1, 3])
def test_only_the_slices_of_the_truth_show_the_finding(kind, thickness):
    shown = make_phantom_volume(3, 4, kind=kind, thickness=thickness, **SMALL)
    plain = make_phantom_volume(3, 4, kind=kind, thickness=thickness, finding=False, **SMALL)
    differ = {place + 1 for place in range(8) if not np.array_equal(shown.values[place], plain.values[place])}
    assert differ == set(shown.truth["slices"])
    assert len(differ) == thickness
    assert plain.truth["finding"] is None
    assert plain.truth["slices"] == []


def test_both_forms_hold_the_same_values_at_the_same_places(tmp_path):
    phantom = make_phantom_volume(3, 0, **SMALL)
    image = nibabel.load(write_nifti(phantom, tmp_path / "a.nii.gz"))
    stored = np.asarray(image.dataobj)
    for place, path in enumerate(write_series(phantom, tmp_path / "series")):
        data = pydicom.dcmread(path)
        assert np.array_equal(data.pixel_array, stored[:, :, place].T)
        ras = image.affine @ [0, 0, place, 1]
        assert np.allclose([float(v) for v in data.ImagePositionPatient], [-ras[0], -ras[1], ras[2]])


def test_ct_values_look_the_same_in_the_brain_window_as_the_drawing():
    values = make_phantom_volume(3, 0, kind="head_ct", **SMALL).values
    assert values.min() == -1000
    assert values.max() == 900
    inside = values[(values > -1000) & (values < 900)]
    assert 0 <= inside.min() <= inside.max() <= 79


@pytest.mark.parametrize("wrong", [{"slices": 7}, {"size": 63}, {"thickness": 0}, {"thickness": 21}])
def test_sizes_that_cannot_be_are_refused(wrong):
    with pytest.raises(ValueError, match="thickness"):
        make_phantom_volume(1, 1, **wrong)


def test_an_unknown_kind_is_refused():
    with pytest.raises(ValueError, match="kind is 'knee'; use one of head_ct, brain_mr"):
        make_phantom_volume(1, 1, kind="knee")
