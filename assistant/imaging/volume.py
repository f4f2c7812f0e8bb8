"""`Volume`: slices with known places in the patient; turned upright, windowed as one, handed on as pictures.

Patient coordinates are those of DICOM PS3.3 C.7.6.2.1.1, in mm: x grows to the left hand, y to the back, z to the
head. An affine maps (slice, row, column) places to them.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from assistant.errors import ImageError
from assistant.imaging.picture import Picture, Section
from assistant.imaging.window import PRESETS, Window, WindowRequest, apply_window, percentile_window

MAX_VOXELS = 600_000_000
"""The most voxels of one volume that are read: about 2,300 slices of 512 x 512."""

ORGAN_WINDOWS: dict[str, str] = {
    "head": "brain",
    "brain": "brain",
    "skull": "bone",
    "chest": "lung",
    "lung": "lung",
    "heart": "mediastinum",
    "abdomen": "abdomen",
    "pelvis": "abdomen",
    "liver": "liver",
    "neck": "soft tissue",
    "spine": "bone",
}
"""Body part to the name of the CT window that it is read in first; a key of `window.PRESETS`."""

PLANES = ("sagittal", "coronal", "axial")
"""The plane across the patient's x, y and z axis."""

_UPRIGHT: tuple[tuple[tuple[int, int], ...], ...] = (
    ((0, 1), (2, -1), (1, 1)),
    ((1, 1), (2, -1), (0, 1)),
    ((2, 1), (1, 1), (0, 1)),
)
"""For each plane the patient axis and direction in which slices, rows and columns run, as radiologists look at it."""


@dataclass(frozen=True, eq=False)
class Volume:
    """S slices of H x W values, upright: axial slices from the feet up, the patient's right on the left."""

    values: np.ndarray
    """(S, H, W), int16, uint8 or float32; HU if `hounsfield`."""
    affine: np.ndarray
    """(4, 4) from (slice, row, column, 1) to patient coordinates in mm; slices at their mean spacing."""
    positions_mm: tuple[float, ...]
    """Each slice's middle on the axis across the plane."""
    numbers: tuple[int, ...]
    """Each slice's number as viewers show it."""
    series: str
    """See `Section.series`."""
    source_format: str
    """"NIfTI" or "DICOM"."""
    hounsfield: bool = False
    """Whether the values are in Hounsfield units."""
    modality: str | None = None
    """As `Picture.modality`."""
    anatomy: str | None = None
    """As `Picture.anatomy`."""
    view: str | None = None
    """As `Picture.view`."""
    study_key: str | None = None
    """As `Picture.study_key`."""
    patient_key: str | None = None
    """As `Picture.patient_key`."""
    oriented: bool = True
    """Whether the file says how the patient lies; if not, left and right are a guess."""
    cautions: tuple[str, ...] = ()
    """What was assumed, left out or missing."""

    @property
    def plane(self) -> str:
        """The body plane nearest to the slices."""
        return PLANES[int(np.argmax(np.abs(across(self.affine))))]

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Mean distance of slices, of rows and of columns, in mm."""
        slices, rows, columns = (float(v) for v in np.linalg.norm(self.affine[:3, :3], axis=0))
        return slices, rows, columns

    def sections(self) -> tuple[Section, ...]:
        """Return where each slice lies."""
        return tuple(self._section(place) for place in range(len(self.numbers)))

    def pictures(self, window: WindowRequest = None) -> tuple[Picture, ...]:
        """Return every slice as a picture, all in one window, so that slices can be compared.

        Args:
            window: (center, width), a preset's name, "percentiles", or None for the organ's own.
        Returns:
            one picture a slice, in order; the three channels share their memory.
        Raises:
            ImageError: a window that this volume does not have.
        """
        chosen, cautions = self._window(window)
        return tuple(self._picture(place, chosen, cautions) for place in range(len(self.numbers)))

    def picture(self, place: int, window: WindowRequest = None) -> Picture:
        """Return one slice as it stands among `pictures`.

        Args:
            place: from 0.
            window: as `pictures` takes it.
        Returns:
            the slice.
        Raises:
            ImageError: a window that this volume does not have.
        """
        return self._picture(place, *self._window(window))

    def _picture(self, place: int, window: Window, cautions: list[str]) -> Picture:
        values = self.values[place]
        _, rows, columns = self.spacing_mm
        return Picture(
            pixels=np.broadcast_to(apply_window(values, window)[:, :, None], (*values.shape, 3)),
            source_format=self.source_format,
            modality=self.modality,
            anatomy=self.anatomy,
            view=self.view,
            pixel_spacing_mm=(rows, columns),
            study_key=self.study_key,
            patient_key=self.patient_key,
            section=self._section(place),
            cautions=(*self.cautions, *cautions),
        )

    def _section(self, place: int) -> Section:
        return Section(self.series, self.numbers[place], len(self.numbers), self.plane, self.positions_mm[place])

    def _window(self, request: WindowRequest) -> tuple[Window, list[str]]:
        """Turn a request into a window, with a caution where one had to be assumed."""
        if isinstance(request, tuple):
            return Window(request[0], request[1], "LINEAR_EXACT" if request[1] < 1 else "LINEAR"), []
        if isinstance(request, int):
            raise ImageError(
                f"window {request} was asked for, but a volume has no list of windows. "
                f"Choose one of {', '.join(PRESETS)}, percentiles, or (center, width)."
            )
        if request is None and self.hounsfield:
            name = ORGAN_WINDOWS.get(self.anatomy or "")
            told = f"The {name or 'soft tissue'} window is used; other tissue needs a window of its own."
            return Window(*PRESETS[name or "soft tissue"]), [told]
        if request is None and self.values.dtype == np.uint8:
            return Window(127.5, 255, "LINEAR_EXACT"), []
        if request is None or request == "percentiles":
            return percentile_window(self.values), []
        if request not in PRESETS:
            raise ImageError(
                f"there is no window named {request!r}. Choose one of {', '.join(PRESETS)}, percentiles, "
                "or (center, width)."
            )
        if not self.hounsfield and self.modality is None:
            return Window(*PRESETS[request]), ["The file does not say that its values are Hounsfield units."]
        if not self.hounsfield:
            raise ImageError(
                f"the window {request!r} is in Hounsfield units, but this volume is not "
                f"(modality {self.modality}). Leave the window out, or give (center, width)."
            )
        return Window(*PRESETS[request]), []


def across(affine: np.ndarray) -> np.ndarray:
    """Return the unit vector across rows and columns, (3,), on the side to which slices run."""
    normal = np.cross(affine[:3, 1], affine[:3, 2])
    normal = normal / np.linalg.norm(normal)
    return np.asarray(normal if normal @ affine[:3, 0] >= 0 else -normal)


def upright(volume: Volume) -> Volume:
    """Turn and mirror a volume, without resampling, so that it lies as radiologists look at it.

    Args:
        volume: in any orientation; its slices stay its slices.
    Returns:
        the same values in another order, with the affine, positions and numbers that belong to them.
    """
    directions = volume.affine[:3, :3] / np.linalg.norm(volume.affine[:3, :3], axis=0)
    nearest = max(
        itertools.permutations(range(3)),
        key=lambda axes: sum(abs(directions[axes[place], place]) for place in range(3)),
    )
    plane = _UPRIGHT[nearest[0]]
    values, affine = volume.values, volume.affine.copy()
    sources = [nearest.index(patient) for patient, _ in plane]
    for source, (patient, sign) in zip(sources, plane, strict=True):
        if affine[patient, source] * sign < 0:
            affine[:3, 3] += affine[:3, source] * (values.shape[source] - 1)
            affine[:3, source] *= -1
            values = np.flip(values, source)
            if source == 0:
                volume = replace(volume, positions_mm=volume.positions_mm[::-1], numbers=volume.numbers[::-1])
    affine[:3, :3] = affine[:3, sources]
    return replace(volume, values=np.transpose(values, sources), affine=affine)


def check_affine(affine: np.ndarray) -> None:
    """Refuse an affine that makes no volume.

    Args:
        affine: (4, 4).
    Raises:
        ImageError: values that are not finite, or axes of no length or all in one plane.
    """
    part = affine[:3, :3]
    lengths = np.linalg.norm(part, axis=0)
    if not np.isfinite(affine).all() or lengths.min() <= 0:
        raise ImageError(
            f"the voxels measure {' x '.join(f'{v:g}' for v in lengths)} mm, which makes no volume. "
            "Export the volume again with its geometry."
        )
    if abs(float(np.linalg.det(part / lengths))) < 0.05:
        raise ImageError("the volume's three axes lie in one plane. Export the volume again with its geometry.")


def spacing_notes(steps: Sequence[float], numbers: Sequence[int]) -> list[str]:
    """Say where slices are missing or unevenly spaced.

    Args:
        steps: distance of each slice from the one before, mm; S - 1 of them.
        numbers: each slice's number; S of them.
    Returns:
        Cautions; none for an even volume.
    """
    if not steps:
        return []
    usual = float(np.median(steps))
    notes = []
    for place, step in enumerate(steps):
        missing = round(step / usual) - 1
        if missing >= 1:
            notes.append(
                f"{missing} slice(s) seem to be missing between slice {numbers[place]} and {numbers[place + 1]} "
                f"({step:.1f} mm apart, {usual:.1f} mm is usual here); what lies there was not seen."
            )
    even = [step for step in steps if round(step / usual) <= 1]
    if max(even) - min(even) > 0.2 * usual:
        notes.append(f"The slices are unevenly spaced: {min(even):.1f} to {max(even):.1f} mm.")
    return notes
