import numpy as np
import pytest

from assistant.errors import ImageError
from assistant.imaging.volume import ORGAN_WINDOWS, Volume, check_affine, spacing_notes, upright
from assistant.imaging.window import PRESETS


def volume(values=None, affine=None, **kept):
    values = np.zeros((5, 4, 3), np.int16) if values is None else values
    affine = np.eye(4)[[2, 1, 0, 3]] if affine is None else affine
    count = len(values)
    return Volume(values, affine, tuple(map(float, range(count))), tuple(range(1, count + 1)), "s", "NIfTI", **kept)


def marked(affine):
    """A volume whose values are 100 x + 10 y + z of their patient coordinates."""
    places = np.stack(np.meshgrid(*map(np.arange, (5, 4, 3)), indexing="ij"), -1)
    xyz = places @ affine[:3, :3].T + affine[:3, 3]
    return volume((100 * xyz[..., 0] + 10 * xyz[..., 1] + xyz[..., 2]).astype(np.float32), affine)


@pytest.mark.parametrize("signs", [(1, 1, 1), (-1, 1, 1), (1, -1, 1), (-1, -1, -1)])
@pytest.mark.parametrize("axes", [(2, 1, 0), (2, 0, 1), (1, 2, 0), (0, 2, 1), (0, 1, 2)])
def test_upright_keeps_every_value_at_its_place_in_the_patient(axes, signs):
    affine = np.eye(4)
    affine[:3, :3] = 0
    for voxel, (patient, sign) in enumerate(zip(axes, signs, strict=True)):
        affine[patient, voxel] = sign * (voxel + 1)
    turned = upright(marked(affine))
    places = np.stack(np.meshgrid(*map(np.arange, turned.values.shape), indexing="ij"), -1)
    xyz = places @ turned.affine[:3, :3].T + turned.affine[:3, 3]
    assert np.allclose(turned.values, 100 * xyz[..., 0] + 10 * xyz[..., 1] + xyz[..., 2])
    assert turned.plane == ("sagittal", "coronal", "axial")[axes[0]]
    rows, columns = turned.affine[:3, 1], turned.affine[:3, 2]
    assert (rows[1] if turned.plane == "axial" else -rows[2]) > 0
    assert (columns[1] if turned.plane == "sagittal" else columns[0]) > 0
    assert turned.affine[axes[0], 0] > 0


def test_slices_keep_their_numbers_when_their_order_is_turned():
    affine = np.array([[0, 0, 1, 0], [0, 1, 0, 0], [-2, 0, 0, 0], [0, 0, 0, 1.0]])
    turned = upright(volume(affine=affine))
    assert turned.numbers == (5, 4, 3, 2, 1)
    assert turned.positions_mm == (4, 3, 2, 1, 0)


def test_every_slice_becomes_a_picture_that_knows_its_place():
    values = np.arange(60, dtype=np.int16).reshape(5, 4, 3)
    pictures = volume(values, modality="CT", anatomy="head", hounsfield=True).pictures()
    assert [one.section.number for one in pictures] == [1, 2, 3, 4, 5]
    assert pictures[1].section.to_dict() == {"series": "s", "slice": 2, "of": 5, "plane": "axial", "position_mm": 1.0}
    assert pictures[0].pixels.shape == (4, 3, 3)
    assert pictures[0].pixel_spacing_mm == (1, 1)
    assert pictures[2].section.text == "axial slice 3 of 5 at 2.0 mm"


@pytest.mark.parametrize(("anatomy", "name"), [*ORGAN_WINDOWS.items(), (None, "soft tissue")])
def test_hounsfield_values_are_shown_in_the_organs_window_and_it_is_said(anatomy, name):
    center, _ = PRESETS[name]
    values = np.full((5, 4, 3), center, np.int16)
    (picture, *_) = volume(values, anatomy=anatomy, hounsfield=True).pictures()
    assert 125 <= picture.pixels.max() <= 131
    assert any(f"The {name} window is used" in one for one in picture.cautions)


def test_all_slices_share_one_window():
    values = np.stack([np.full((4, 3), 100 * place, np.int16) for place in range(5)])
    greys = [int(one.pixels.max()) for one in volume(values, modality="MRI").pictures()]
    assert greys == sorted(greys)
    assert (greys[0], greys[-1]) == (0, 255)


def test_bytes_are_shown_as_they_are():
    values = np.arange(60, dtype=np.uint8).reshape(5, 4, 3)
    assert np.array_equal(volume(values).pictures()[4].pixels[:, :, 0], values[4])


@pytest.mark.parametrize(
    ("window", "said"),
    [("knee", "no window named 'knee'"), ("lung", r"in Hounsfield units, but this volume is not \(modality MRI\)"),
     (0, "no list of windows")],
)  # fmt: skip
def test_a_window_that_a_volume_lacks_is_refused(window, said):
    with pytest.raises(ImageError, match=said):
        volume(modality="MRI").pictures(window)


def test_a_file_that_names_no_unit_takes_a_ct_window_with_a_caution():
    (picture, *_) = volume().pictures("brain")
    assert any("does not say that its values are Hounsfield" in one for one in picture.cautions)


@pytest.mark.parametrize(
    ("affine", "said"),
    [(np.diag([1.0, 0, 1, 1]), "measure 1 x 0 x 1 mm"), (np.diag([1.0, np.nan, 1, 1]), "makes no volume"),
     (np.array([[1.0, 1, 0, 0], [0, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]), "lie in one plane")],
)  # fmt: skip
def test_geometry_that_makes_no_volume_is_refused(affine, said):
    with pytest.raises(ImageError, match=said):
        check_affine(affine)


def test_missing_slices_are_told_with_their_neighbours():
    (note,) = spacing_notes([5, 5, 15, 5], [1, 2, 3, 6, 7])
    assert note.startswith("2 slice(s) seem to be missing between slice 3 and 6 (15.0 mm apart, 5.0 mm is usual here)")


def test_uneven_slices_are_told_and_even_ones_are_not():
    assert spacing_notes([5, 5, 5.01], [1, 2, 3, 4]) == []
    assert spacing_notes([], [1]) == []
    assert "unevenly spaced: 4.0 to 6.0 mm" in spacing_notes([4, 5, 6, 5], [1, 2, 3, 4, 5])[0]
