"""Volumes on the page: what was uploaded becomes pictures, and a slice is drawn with its place in the patient."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING

from assistant.imaging.given import Given
from assistant.imaging.orientation import edges_of
from assistant.imaging.picture import Picture, subjects
from assistant.imaging.several import Sent
from assistant.imaging.volume import Volume
from assistant.imaging.window import PRESETS
from assistant.slice_note import SliceNote

if TYPE_CHECKING:
    from PIL.Image import Image

OF_ORGAN = "Usual for the organ"
"""The window that a volume is shown in if nobody chooses one."""
_INK = (255, 214, 10)


@dataclass(frozen=True, eq=False)
class SlicePicture(Picture):
    """A slice that knows its volume, so that it can be shown in another window."""

    volume: Volume | None = field(default=None, repr=False)
    """In the server's memory only, as the slice is."""


@dataclass(frozen=True, eq=False)
class Held:
    """Uploads that were read to be shown before they are sent, so that they are not read twice."""

    paths: tuple[str, ...]
    found: tuple[Sent, ...] = field(repr=False)

    @property
    def volume(self) -> Volume | None:
        """The last volume among them."""
        return next((one.volume for one in reversed(self.found) if one.volume is not None), None)


def slices_of(volume: Volume, window: str | None = None) -> list[Picture]:
    """Return a volume's slices as pictures that know it.

    Args:
        volume: as it was read.
        window: a name of `windows_of`; what it does not offer is taken for its organ's own.
    Returns:
        One picture a slice.
    """
    return [_knowing(one, volume) for one in volume.pictures(_known(volume, window))]


def slice_of(volume: Volume, place: int, window: str | None = None) -> Picture:
    """Return one slice of a volume as a picture.

    Args:
        volume: as it was read.
        place: from 0; one beyond the ends stands for the first or last.
        window: as `slices_of` takes it.
    Returns:
        The slice.
    """
    nearest = min(max(place, 0), len(volume.numbers) - 1)
    return _knowing(volume.picture(nearest, _known(volume, window)), volume)


def _known(volume: Volume, window: str | None) -> str | None:
    return window if window in windows_of(volume)[1:] else None


def _knowing(picture: Picture, volume: Volume) -> Picture:
    return SlicePicture(**{each.name: getattr(picture, each.name) for each in fields(Picture)}, volume=volume)


def windows_of(volume: Volume) -> tuple[str, ...]:
    """Return the windows that make sense for a volume; one alone where there is nothing to choose."""
    return (OF_ORGAN, *PRESETS) if volume.hounsfield or volume.modality is None else (OF_ORGAN,)


def in_window(pictures: Sequence[Picture], window: str | None) -> tuple[Picture, ...]:
    """Show the volumes among pictures in another window.

    Args:
        pictures: under discussion.
        window: of `windows_of`; None leaves them as they are.
    Returns:
        The same pictures, those of volumes made anew.
    """
    if window is None:
        return tuple(pictures)
    made = list(pictures)
    for places in subjects(pictures):
        first = pictures[places[0]]
        if isinstance(first, SlicePicture) and first.volume is not None:
            numbered = {one.section: one for one in slices_of(first.volume, window)}
            for place in places:
                made[place] = numbered.get(pictures[place].section, pictures[place])
    return tuple(made)


def last_volume(pictures: Sequence[Picture]) -> list[int]:
    """Return the places of the last volume's slices among pictures; [] without one."""
    found = [places for places in subjects(pictures) if isinstance(pictures[places[0]], SlicePicture)]
    return found[-1] if found else []


def place_of(pictures: Sequence[Picture], notes: Sequence[SliceNote]) -> int:
    """Return which picture is looked at first.

    Args:
        pictures: under discussion.
        notes: the slices that an answer rests on, the one that stands out most first.
    Returns:
        The place of that slice of the last volume, else of its middle one; without a volume, of the last picture.
    """
    places = last_volume(pictures)
    if not places or pictures[-1].section is None:
        return len(pictures) - 1
    for note in notes:
        for place in places:
            if pictures[place].section == note.section:
                return place
    return places[len(places) // 2]


def faces(pictures: Sequence[Picture]) -> list[Picture]:
    """Return what stands for each image: a picture itself, and a volume's middle slice."""
    return [pictures[places[len(places) // 2]] for places in subjects(pictures)]


def caption(picture: Picture) -> str:
    """Say where a slice lies, in which series, and how far the slices are apart; "" for any other picture."""
    where = picture.section
    if where is None:
        return ""
    volume = picture.volume if isinstance(picture, SlicePicture) else None
    apart = f", slices {volume.spacing_mm[0]:.1f} mm apart" if volume is not None and where.count > 1 else ""
    unsure = "" if volume is None or volume.oriented else " The file does not say which side is left."
    return f"{where.text[:1].upper()}{where.text[1:]} (series {where.series[:8]}{apart}).{unsure}"


def lettered(image: Image, picture: Picture) -> Image:
    """Draw the patient's directions on the edges of a preview; the model never sees them.

    Args:
        image: the preview; it is drawn on.
        picture: that it shows.
    Returns:
        The same image.
    """
    edges = edges_of(picture.volume) if isinstance(picture, SlicePicture) and picture.volume is not None else None
    if edges is None:
        return image
    from PIL import ImageDraw, ImageFont

    pen, (width, height) = ImageDraw.Draw(image), image.size
    font = ImageFont.load_default(max(12, min(width, height) // 18))
    gap = 4
    for letter, point, anchor in (
        (edges.left, (gap, height / 2), "lm"),
        (edges.right, (width - gap, height / 2), "rm"),
        (edges.top, (width / 2, gap), "mt"),
        (edges.bottom, (width / 2, height - gap), "mb"),
    ):
        pen.text(point, letter, fill=_INK, font=font, anchor=anchor, stroke_width=2, stroke_fill=(0, 0, 0))
    return image


def given(paths: Sequence[str]) -> list[Given]:
    """Name uploads by their number: a file's own name may name a patient."""
    return [Given(f"Image {number}", Path(path)) for number, path in enumerate(paths, start=1)]
