"""NIfTI files (.nii, .nii.gz) to `Volume`: values, orientation and spacing; header texts are left behind.

Source: NIfTI-1.1 and NIfTI-2 headers as nibabel reads them; RAS+ world coordinates are turned into the LPS of DICOM.
"""

from __future__ import annotations

import os
from io import IOBase
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np

from assistant.errors import ImageError
from assistant.imaging.given import Given, Readable
from assistant.imaging.identity import installation_salt, key
from assistant.imaging.nifti_head import check_head, unpacked
from assistant.imaging.quiet import QUIET
from assistant.imaging.volume import MAX_VOXELS, PLANES, Volume, check_affine, upright

SUFFIXES: tuple[str, ...] = (".nii", ".nii.gz")
_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
_ANISOTROPIC = 1.2
"""Voxels that are this much longer one way were acquired as slices across it."""
_BYTES = 8
"""Of the largest kind of voxel."""


def is_nifti(path: str | Path) -> bool:
    """Tell by its name whether a file is NIfTI."""
    return str(path).lower().endswith(SUFFIXES)


def read_nifti(path: str | Readable, *, frame: int | None = None, max_voxels: int = MAX_VOXELS) -> Volume:
    """Read one volume of a NIfTI file; of a packed one no more is unpacked than the volume takes.

    Args:
        path: a `.nii` or `.nii.gz` file, or one that was sent.
        frame: which volume of a 4D file, from 0; None takes the first.
        max_voxels: the most voxels of a volume.
    Returns:
        the volume, upright, with cautions on what was assumed.
    Raises:
        ImageError: the file is missing, damaged, too large, or holds no grey volume.
    """
    file = path if isinstance(path, Given) else Path(path)
    if isinstance(file, Path) and not file.is_file():
        raise ImageError(f"{path} does not exist or is no file; check the path.")
    try:
        with QUIET, file.open("rb") as stream:
            return _read(file, unpacked(stream), frame, max_voxels)
    except ImageError as error:
        raise ImageError(f"{path}: {error}") from None
    except MemoryError:
        raise ImageError(f"{path}: too large for this machine's memory. Give a smaller volume.") from None
    except Exception as error:  # nibabel and zlib find a damaged file out in many ways
        raise ImageError(
            f"{path}: this is no NIfTI volume that can be read, or it is cut off ({type(error).__name__}). "
            "Copy or convert it again."
        ) from None


def _read(file: Readable, stream: BinaryIO, frame: int | None, max_voxels: int) -> Volume:
    import nibabel

    kind = nibabel.Nifti1Image if check_head(stream) == 1 else nibabel.Nifti2Image
    image: Any = kind.from_stream(cast(IOBase, stream))
    shape = tuple(int(v) for v in image.shape)
    _check_shape(shape, image.get_data_dtype(), frame or 0, max_voxels)
    values, cautions = _values(image, shape, frame)
    header = image.header
    affine = np.asarray(image.affine, np.float64)
    oriented = int(header["qform_code"]) != 0 or int(header["sform_code"]) != 0
    if not oriented:
        cautions.append("The file does not say how the patient lies; left and right may be swapped.")
    affine = _TO_LPS @ affine
    check_affine(affine)
    axis = _slice_axis(affine)
    order = [axis, *(place for place in (1, 0, 2) if place != axis)]
    values = np.transpose(values, order)
    affine = affine[:, [*order, 3]]
    count = values.shape[0]
    hounsfield = bool(values.min() <= -900 and 100 <= values.max() <= 32767)
    if hounsfield:
        cautions.append("The values run like a CT's and are taken as Hounsfield units; the file does not say.")
    return upright(
        Volume(
            values=values,
            affine=affine,
            positions_mm=_positions(affine, values.shape),
            numbers=tuple(range(1, count + 1)),
            series=key(installation_salt(), "series", _identity(file)) or "series",
            source_format="NIfTI",
            hounsfield=hounsfield,
            oriented=oriented,
            cautions=tuple(cautions),
        )
    )


def _identity(file: Readable) -> str:
    """Return what tells one series from another: where a file lies, or what was sent."""
    return file.digest() if isinstance(file, Given) else os.path.abspath(file)


def _check_shape(shape: tuple[int, ...], dtype: np.dtype[Any], frame: int, max_voxels: int) -> None:
    """Refuse what is no grey volume, before a voxel is read."""
    if dtype.kind not in "iuf":
        raise ImageError(f"the voxels are of type {dtype}, not grey values. Give a volume of plain numbers.")
    if len(shape) < 3 or any(size > 1 for size in shape[4:]) or min(shape) < 1:
        raise ImageError(f"the file holds an array of shape {shape}. Give a volume of 3 axes, or a series of such.")
    voxels = int(np.prod(shape[:3], dtype=np.int64))
    if voxels > max_voxels:
        raise ImageError(f"the volume has {shape[:3]} voxels, more than the limit of {max_voxels}. Give a smaller one.")
    if (frame + 1) * voxels * dtype.itemsize > _BYTES * max_voxels:  # all of it would be unpacked on the way
        raise ImageError(f"volume {frame + 1} of the file lies too far inside it. Give it as a file of its own.")


def _values(image: Any, shape: tuple[int, ...], frame: int | None) -> tuple[np.ndarray, list[str]]:
    """Return one 3D volume in the smallest type that holds it, and what to say about others in the file."""
    frames = shape[3] if len(shape) > 3 else 1
    if frame is not None and not 0 <= frame < frames:
        raise ImageError(f"frame {frame} was asked for, but the file has {frames} volume(s), from 0. Choose one.")
    place = (..., *([frame or 0] if len(shape) > 3 else []), *([0] * (len(shape) - 4)))
    values = np.asarray(image.dataobj[place if len(shape) > 3 else ...])
    if values.dtype.kind == "f":
        values = np.nan_to_num(values.astype(np.float32), nan=float(np.nanmin(values, initial=0.0)))
        if values.min() >= -32768 and values.max() <= 32767 and bool((values == np.rint(values)).all()):
            values = values.astype(np.int16)
    elif values.dtype != np.uint8:
        fits = values.min() >= -32768 and values.max() <= 32767
        values = values.astype(np.int16 if fits else np.float32)
    told = [f"Volume {(frame or 0) + 1} of {frames} in the file is shown; the others were not read."]
    return values, told if frames > 1 else []


def _slice_axis(affine: np.ndarray) -> int:
    """Return the voxel axis that slices were acquired along: the clearly coarsest, else the one nearest the z axis."""
    lengths = np.linalg.norm(affine[:3, :3], axis=0)
    coarse = int(np.argmax(lengths))
    if lengths[coarse] > _ANISOTROPIC * float(np.sort(lengths)[1]):
        return coarse
    return int(np.argmax(np.abs(affine[PLANES.index("axial"), :3]) / lengths))


def _positions(affine: np.ndarray, shape: tuple[int, ...]) -> tuple[float, ...]:
    """Return each slice's middle on the axis across the plane, mm."""
    count, rows, columns = shape
    normal = np.cross(affine[:3, 1], affine[:3, 2])
    axis = int(np.argmax(np.abs(normal)))
    places = np.stack(
        [np.arange(count), np.full(count, (rows - 1) / 2), np.full(count, (columns - 1) / 2), np.ones(count)]
    )
    return tuple(float(v) for v in (affine @ places)[axis])
