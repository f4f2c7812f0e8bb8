"""One door for all that can be asked about: a picture, a NIfTI volume, or a folder with one DICOM series."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from assistant.errors import ImageError
from assistant.imaging.load import load_picture
from assistant.imaging.readers import import_readers
from assistant.imaging.window import WindowRequest, parse_request

if TYPE_CHECKING:
    from assistant.imaging.picture import Picture

_NIFTI = (".nii", ".nii.gz")


def is_volume(path: str | Path) -> bool:
    """Tell whether a path names a volume: a folder, or a NIfTI file by its ending."""
    return str(path).lower().endswith(_NIFTI) or Path(path).is_dir()


def load_images(path: str | Path, *, frame: int | None = None, window: WindowRequest = None) -> tuple[Picture, ...]:
    """Read what one path names.

    Args:
        path: a picture, a NIfTI file, or a folder whose files are one DICOM series.
        frame: which frame of a picture, or volume of a 4D NIfTI file, from 0.
        window: as `load_picture` takes it; a volume without one is shown in its organ's own.
    Returns:
        one picture, or all slices of a volume, in order.
    Raises:
        ImageError: it cannot be read; the message says why and what to do.
    """
    if not is_volume(path):
        return (load_picture(path, frame=frame, window=window),)
    if Path(path).is_dir():
        files = series_files(Path(path))
        if not files:
            raise ImageError(f"{path} is a folder without files. Name a folder with the slices of one DICOM series.")
        return load_volume(files, frame=frame, window=window)
    return load_volume((Path(path),), frame=frame, window=window)


def series_files(folder: Path) -> tuple[Path, ...]:
    """Return the files of a folder, sorted, less hidden ones and DICOM's own index."""
    try:
        found = sorted(folder.iterdir())
    except OSError as error:
        raise ImageError(f"{folder} cannot be listed ({error.strerror}). Check its permissions.") from None
    return tuple(one for one in found if one.is_file() and one.name[0] != "." and one.name.upper() != "DICOMDIR")


def load_volume(
    paths: Sequence[Path], *, frame: int | None = None, window: WindowRequest = None
) -> tuple[Picture, ...]:
    """Read one NIfTI file, or the files of one DICOM series, as pictures of its slices.

    Args:
        paths: one `.nii` or `.nii.gz` file, or DICOM files.
        frame: which volume of a 4D NIfTI file, from 0.
        window: for all slices alike.
    Returns:
        one picture a slice, in order.
    Raises:
        ImageError: they make no volume, or it has no such window or frame.
    """
    import_readers()
    from assistant.imaging.nifti import read_nifti
    from assistant.imaging.series import read_series

    request = parse_request(window)
    if len(paths) == 1 and str(paths[0]).lower().endswith(_NIFTI):
        volume = read_nifti(paths[0], frame=frame)
    elif frame is not None:
        raise ImageError(f"frame {frame} was asked for, but a DICOM series has slices, not frames. Leave it out.")
    else:
        volume = read_series(paths)
    try:
        return volume.pictures(request)
    except ImageError as error:
        raise ImageError(f"{paths[0].parent if len(paths) > 1 else paths[0]}: {error}") from None
