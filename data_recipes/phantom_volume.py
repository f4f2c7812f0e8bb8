"""Phantom volumes: head CT and brain MR drawn slice by slice, with at most one finding, whose slices are known.

`make_phantom_volume(seed, index)` always gives the same volume. It is written as a DICOM series or as NIfTI; both
hold the same values at the same places in the patient.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data_recipes.phantom_draw import Array, Grid, develop, make_grid
from data_recipes.phantom_findings import KINDS, SITES, Finding, draw_findings
from data_recipes.phantom_head import draw_brain_mr, draw_head_ct, head_frame

VOLUME_KINDS: dict[str, Any] = {"head_ct": draw_head_ct, "brain_mr": draw_brain_mr}
"""Kinds of phantom that are drawn as volumes, and what draws a slice of each."""

SLICE_MM = 5.0
"""Distance of slices."""
_HEAD_MM = 130.0
"""Half the height of the ellipsoid that slices narrow along."""
_AIR, _BONE = -1000, 900
_UID_ROOT = "1.2.826.0.1.3680043.8.498"
_SOP = {"head_ct": "1.2.840.10008.5.1.4.1.1.2", "brain_mr": "1.2.840.10008.5.1.4.1.1.4"}


@dataclass(frozen=True, eq=False)
class PhantomVolume:
    """One drawn volume and the truth about it."""

    values: NDArray[np.int16]
    """(S, H, W), from the neck up, rows to the back, columns to the left hand; HU for CT."""
    kind: str
    """Key in `VOLUME_KINDS`."""
    seed: int
    """Together with `index` the whole source of chance."""
    index: int
    """Number of the volume under its seed."""
    finding: Finding | None
    """What it shows."""
    slices: tuple[int, ...]
    """Places of the slices that show it, from 0."""
    spacing_mm: tuple[float, float, float]
    """Of slices, rows and columns."""
    origin_mm: tuple[float, float, float]
    """Patient coordinates (x to the left, y to the back, z to the head) of the first voxel."""
    site: str
    """One of `SITES`."""

    @property
    def truth(self) -> dict[str, Any]:
        """The finding, its slices' numbers from 1, and their places along the body in mm."""
        return {
            "phantom": True,
            "kind": self.kind,
            "site": self.site,
            "finding": self.finding.to_dict() if self.finding else None,
            "slices": [place + 1 for place in self.slices],
            "positions_mm": [round(self.origin_mm[2] + place * self.spacing_mm[0], 3) for place in self.slices],
        }


def make_phantom_volume(
    seed: int,
    index: int,
    *,
    slices: int = 24,
    size: int = 128,
    kind: str | None = None,
    thickness: int = 1,
    finding: bool = True,
) -> PhantomVolume:
    """Draw one volume.

    Args:
        seed: 0 or more.
        index: 0 or more; number of the volume under its seed.
        slices: how many, 8 or more.
        size: side of a slice in pixels, 64 or more.
        kind: key in `VOLUME_KINDS`; None draws it by lot.
        thickness: how many slices show the finding; beside the middle one it is smaller.
        finding: whether there is one.
    Returns:
        The volume and its truth.
    Raises:
        ValueError: an argument has a value that is not allowed.
    """
    if slices < 8 or size < 64 or not 1 <= thickness <= slices - 4:
        raise ValueError(
            f"slices {slices}, size {size}, thickness {thickness}; use 8, 64 and 1 or more, and thin ones."
        )
    lot = np.random.default_rng([seed, index, 11])
    kind = kind or list(VOLUME_KINDS)[int(lot.integers(len(VOLUME_KINDS)))]
    if kind not in VOLUME_KINDS:
        raise ValueError(f"kind is {kind!r}; use one of {', '.join(VOLUME_KINDS)}.")
    site = SITES[int(lot.integers(len(SITES)))]
    planted = draw_findings(KINDS[kind], lot, count=1)[0] if finding else None
    first = int(lot.integers(2, slices - 1 - thickness))
    places = tuple(range(first, first + thickness)) if planted else ()
    field = KINDS[kind].field_mm
    layers = [_slice(seed, index, place, slices, size, kind, site, planted, places) for place in range(slices)]
    mm = field / size
    return PhantomVolume(
        values=np.stack(layers),
        kind=kind,
        seed=seed,
        index=index,
        finding=planted,
        slices=places,
        spacing_mm=(SLICE_MM, mm, mm),
        origin_mm=(mm / 2 - field / 2, mm / 2 - field / 2, float(lot.integers(-60, -40))),
        site=site,
    )


def _slice(
    seed: int,
    index: int,
    place: int,
    slices: int,
    size: int,
    kind: str,
    site: str,
    finding: Finding | None,
    places: tuple[int, ...],
) -> NDArray[np.int16]:
    """Draw one slice: the same body, narrower away from the middle; folds change slowly, noise is its own."""
    height = (place - (slices - 1) / 2) * SLICE_MM
    narrow = np.float32(np.sqrt(1 - min(0.75, (height / _HEAD_MM) ** 2)))
    plain = make_grid(size, KINDS[kind].field_mm)
    grid = Grid(plain.x / narrow, plain.y / narrow, plain.mm)
    shown: tuple[Finding, ...] = ()
    if finding is not None and place in places:
        off = abs(place - places[len(places) // 2])
        scale = np.sqrt(1 - (off / (len(places) / 2 + 0.5)) ** 2)
        shown = (replace(finding, size_mm=max(4, round((finding.size_mm or 0) * float(scale)))),)
    lower, upper = (
        VOLUME_KINDS[kind](
            grid, np.random.default_rng([seed, index, 1]), np.random.default_rng([seed, index, 2, end]), shown
        )[0]
        for end in (0, 1)
    )
    along = np.float32(place / (slices - 1))
    image = lower + (upper - lower) * along
    grey = develop(image, site, np.random.default_rng([seed, index, 3, place]))[:, :, 0]
    if kind != "head_ct":
        return (grey.astype(np.int16) * 4).astype(np.int16)
    _, depth = head_frame(grid, np.random.default_rng([seed, index, 1]))
    return _hounsfield(grey, depth)


def _hounsfield(grey: NDArray[np.uint8], depth: Array) -> NDArray[np.int16]:
    """Return the HU that a brain window (center 40, width 80) shows as these greys, with bone, and air outside."""
    values = np.rint((grey / 255 - 0.5) * 79 + 39.5)
    values[(depth > 5) & (depth < 11)] = _BONE
    values[depth < -2] = _AIR
    return values.astype(np.int16)


def write_series(volume: PhantomVolume, folder: Path) -> list[Path]:
    """Write a volume as a DICOM series, in an order of names that says nothing of the order in the patient.

    Args:
        volume: what to write.
        folder: made when missing.
    Returns:
        The files, in the order of the slices.
    """
    folder.mkdir(parents=True, exist_ok=True)
    names = np.random.default_rng([volume.seed, volume.index, 12]).permutation(len(volume.values))
    paths = []
    for place in range(len(volume.values)):
        path = folder / f"IM{names[place]:04d}.dcm"
        _dataset(volume, place).save_as(path, enforce_file_format=True)
        paths.append(path)
    return paths


def _dataset(volume: PhantomVolume, place: int) -> Any:
    """Return one slice as a DICOM object."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian

    about = KINDS[volume.kind]
    study = f"{_UID_ROOT}.{volume.seed}.{volume.index + 1}"
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.SOPClassUID = _SOP[volume.kind]
    data.SOPInstanceUID = f"{study}.1.{place + 1}"
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID
    data.StudyInstanceUID, data.SeriesInstanceUID = study, f"{study}.1"
    data.Modality = "CT" if volume.kind == "head_ct" else "MR"
    data.PatientID, data.PatientName = f"PHANTOM-{volume.seed}-{volume.index}", "Phantom^Drawn"
    data.BodyPartExamined = about.anatomy.upper()
    data.InstanceNumber = place + 1
    data.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    data.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    x, y, z = volume.origin_mm
    data.ImagePositionPatient = [x, y, z + place * volume.spacing_mm[0]]
    data.PixelSpacing = list(volume.spacing_mm[1:])
    data.SliceThickness = volume.spacing_mm[0]
    data.Rows, data.Columns = volume.values.shape[1:]
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 16, 15, 1
    if volume.kind == "head_ct":
        data.RescaleSlope, data.RescaleIntercept, data.RescaleType = 1, 0, "HU"
    data.PixelData = volume.values[place].tobytes()
    return data


def write_nifti(volume: PhantomVolume, path: Path) -> Path:
    """Write a volume as NIfTI; voxel axes are columns, rows, slices, the world is RAS+ as the format has it.

    Args:
        volume: what to write.
        path: ends in `.nii` or `.nii.gz`.
    Returns:
        The path.
    """
    import nibabel

    slices, rows, columns = volume.spacing_mm
    x, y, z = volume.origin_mm
    affine = np.array([[-columns, 0, 0, -x], [0, -rows, 0, -y], [0, 0, slices, z], [0, 0, 0, 1]])
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nibabel.Nifti1Image(np.ascontiguousarray(volume.values.transpose(2, 1, 0)), affine)
    image.header.set_xyzt_units("mm")
    nibabel.save(image, path)
    return path
