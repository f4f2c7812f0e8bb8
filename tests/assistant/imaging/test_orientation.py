from dataclasses import replace

import numpy as np
import pytest

from assistant.imaging.given import Given
from assistant.imaging.nifti import read_nifti
from assistant.imaging.orientation import edges_of, letters


def volume(spacing):
    import nibabel

    affine = np.diag([*spacing, 1.0])
    return read_nifti(Given("a", nibabel.Nifti1Image(np.zeros((6, 6, 6), np.int16), affine).to_bytes()))


@pytest.mark.parametrize(
    ("spacing", "plane", "edges"),
    [
        ((1, 1, 5), "axial", ("R", "A", "L", "P")),
        ((1, 5, 1), "coronal", ("R", "H", "L", "F")),
        ((5, 1, 1), "sagittal", ("A", "H", "P", "F")),
    ],
)
def test_edges_are_named_as_radiologists_look_at_the_plane(spacing, plane, edges):
    made = volume(spacing)
    assert made.plane == plane
    assert edges_of(made) == edges


def test_where_the_file_does_not_say_how_the_patient_lies_no_letter_is_shown():
    assert edges_of(replace(volume((1, 1, 5)), oriented=False)) is None


def test_an_edge_between_two_directions_has_both_letters():
    assert letters(np.array([1.0, 0.2, 0])) == "L"
    assert letters(np.array([1.0, 0.7, 0])) == "LP"
    assert letters(np.array([0, -0.7, -1.0])) == "FA"
