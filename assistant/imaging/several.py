"""Several files that were sent together: which of them make one volume, and which are pictures of their own.

A NIfTI file is a volume. Files of cross-sectional slices are one as soon as enough of them lie in different places of
one series; then all of them must fit, as in a folder that is asked about on the command line.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from assistant.errors import ImageError
from assistant.imaging.given import Given
from assistant.imaging.readers import import_readers

if TYPE_CHECKING:
    from assistant.imaging.picture import Picture
    from assistant.imaging.series import SliceHead
    from assistant.imaging.volume import Volume
    from assistant.imaging.window import WindowRequest

LEAST_SLICES = 4
"""As many slices in different places make a series; fewer stay single images."""
SLICED = ("CT", "MRI", "Nuclear medicine")
MAX_VOXELS_SENT = 150_000_000
"""The most voxels of one volume that is sent to a server: about 570 slices of 512 x 512."""


@dataclass(frozen=True)
class Sent:
    """One image of those that were sent: a picture's file, or a volume that is read already."""

    first: int
    """The place of its first file among all."""
    file: Given
    """Its first file."""
    volume: Volume | None = None
    is_series: bool = False
    """Whether the volume is of several files."""


def sort_sent(
    files: Sequence[Given],
    *,
    frames: Sequence[int | None] = (),
    most_single: int | None = None,
    max_voxels: int = MAX_VOXELS_SENT,
) -> list[Sent]:
    """Tell which files are pictures, and read the volumes among them.

    Args:
        files: as they were sent.
        frames: for each, which volume of a 4D NIfTI file is wanted; () wants none.
        most_single: more slices than this are always taken for a volume, so that it is said why they make none.
        max_voxels: the most voxels of one volume.
    Returns:
        One entry a picture or volume, in the order of their first files.
    Raises:
        ImageError: a volume cannot be read, or slices make no one volume; as on the command line.
    """
    import_readers()
    from assistant.imaging.nifti import read_nifti
    from assistant.imaging.nifti_head import holds_nifti
    from assistant.imaging.series import read_series, slice_head

    wanted = list(frames) or [None] * len(files)
    found: list[Sent] = []
    heads: list[tuple[int, SliceHead]] = []
    for place, file in enumerate(files):
        if holds_nifti(file):
            found.append(Sent(place, file, read_nifti(file, frame=wanted[place], max_voxels=max_voxels)))
        elif (head := slice_head(file)) is not None:
            heads.append((place, head))
        else:
            found.append(Sent(place, file))
    slices = [(place, head) for place, head in heads if head.left_out is None and head.modality in SLICED]
    if is_series([head for _, head in slices]) or (most_single is not None and len(slices) > most_single):
        # What a scanner adds to a series, such as a localizer, is left out of the volume, and said so.
        members = [(place, head) for place, head in heads if head.left_out or head.modality in SLICED]
        if frame := next((wanted[place] for place, _ in members if wanted[place] is not None), None):
            raise ImageError(f"frame {frame} was asked for, but a DICOM series has slices, not frames. Leave it out.")
        volume = read_series([files[place] for place, _ in members], max_voxels=max_voxels)
        found.append(Sent(members[0][0], files[members[0][0]], volume, is_series=True))
        heads = [one for one in heads if one not in members]
    found += [Sent(place, files[place]) for place, _ in heads]
    return sorted(found, key=lambda one: one.first)


def is_series(heads: Sequence[SliceHead]) -> bool:
    """Tell whether slices in enough different places belong to one series."""
    places: dict[str, set[float]] = {}
    for head in heads:
        if head.series and head.orientation and head.position:
            places.setdefault(head.series, set()).add(round(head.place, 1))
    return any(len(found) >= LEAST_SLICES for found in places.values())


def pictures_of(one: Sent, *, frame: int | None = None, window: WindowRequest = None) -> tuple[Picture, ...]:
    """Read a picture, or return the slices of a volume.

    Args:
        one: from `sort_sent`.
        frame: which frame of a picture; a volume has taken its own.
        window: as `load_picture` takes it.
    Returns:
        One picture, or one for each slice.
    Raises:
        ImageError: it cannot be read, or has no such window.
    """
    from assistant.imaging.load import load_picture

    if one.volume is None:
        return (load_picture(one.file.source, frame=frame, window=window),)
    try:
        return one.volume.pictures(window)
    except ImageError as error:
        raise ImageError(f"{one.file}: {error}") from None
