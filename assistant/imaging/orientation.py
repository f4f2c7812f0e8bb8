"""Letters at the edges of a slice that say how the patient lies in it.

Source: DICOM PS3.3 C.7.6.1.1.1 (Patient Orientation): A front, P back, R right, L left, H head, F feet; a second letter
where the edge lies between two of them.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from assistant.imaging.volume import Volume

_LETTERS = (("R", "L"), ("A", "P"), ("F", "H"))
"""On the lower and on the upper side of the patient's x, y and z axis, as DICOM has them."""
_SECOND = 0.4
"""The share of a direction, as a cosine, from which a second letter is worth telling: about 24 degrees."""


class Edges(NamedTuple):
    """What lies towards each edge of a slice."""

    left: str
    top: str
    right: str
    bottom: str


def edges_of(volume: Volume) -> Edges | None:
    """Return what lies towards the edges of a volume's slices.

    Args:
        volume: upright or not.
    Returns:
        The letters; None where the file does not say how the patient lies.
    """
    if not volume.oriented:
        return None
    down, right = volume.affine[:3, 1], volume.affine[:3, 2]
    return Edges(left=letters(-right), top=letters(-down), right=letters(right), bottom=letters(down))


def letters(direction: np.ndarray) -> str:
    """Return one to three letters for a direction in patient coordinates, (3,), the strongest first."""
    part = direction / np.linalg.norm(direction)
    order = [int(axis) for axis in np.argsort(-np.abs(part), kind="stable")]
    told = [axis for axis in order if axis == order[0] or abs(part[axis]) >= _SECOND]
    return "".join(_LETTERS[axis][int(part[axis] > 0)] for axis in told)
