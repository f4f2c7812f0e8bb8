"""`Picture`: the only form in which an image travels through the assistant."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from PIL import Image


@dataclass(frozen=True)
class Section:
    """Where in a volume a picture lies."""

    series: str
    """Our own name of the series: a salted key."""
    number: int
    """The slice's number as viewers show it: (0020,0013) Instance Number, or its place in a NIfTI file, from 1."""
    count: int
    """How many slices the volume has."""
    plane: str
    """"axial", "coronal" or "sagittal": the body plane nearest to the slice."""
    position_mm: float
    """Where the slice's middle lies on the axis across the plane, in mm; it grows to the head, back or left hand."""

    @property
    def text(self) -> str:
        """The slice in words, such as "axial slice 12 of 24 at 33.5 mm"."""
        return f"{self.plane} slice {self.number} of {self.count} at {self.position_mm:.1f} mm"

    def to_dict(self) -> dict[str, str | int | float]:
        """Return the JSON form that answers and reports carry."""
        return {
            "series": self.series,
            "slice": self.number,
            "of": self.count,
            "plane": self.plane,
            "position_mm": round(self.position_mm, 2),
        }


@dataclass(frozen=True, eq=False)
class Picture:
    """One picture, ready for display or for a model, with nothing in it that names a patient."""

    pixels: np.ndarray
    """uint8, (H, W, 3), RGB, as a person should see it (windowed, upright, not inverted)."""
    source_format: str = "array"
    """What it was read from: "JPEG", "PNG", "DICOM", …"""
    modality: str | None = None
    """A name of `assistant.vocabulary.MODALITIES` if the header tells, else None."""
    anatomy: str | None = None
    """Body part in lower case if the header tells, else None."""
    view: str | None = None
    """View or plane if the header tells: "PA", "AP", "lateral", "axial", "coronal", "sagittal"."""
    laterality: str | None = None
    """"left" or "right" if the header tells."""
    pixel_spacing_mm: tuple[float, float] | None = None
    """Row and column spacing in mm, for the pixels as they stand here."""
    frame: int = 0
    """Which frame this is, from 0."""
    frames: int = 1
    """How many frames the source holds."""
    study_key: str | None = None
    """A salted one-way hash of the study's identity; groups files without naming anyone."""
    patient_key: str | None = None
    """A salted one-way hash of the patient's identity; lets retrieval leave out her own studies."""
    section: Section | None = None
    """Where it lies in a volume, if it is a slice of one."""
    cautions: tuple[str, ...] = field(default=())
    """What the reader of an answer should know: an assumed window, a burned-in-text warning, …"""

    def __post_init__(self) -> None:
        if self.pixels.dtype != np.uint8 or self.pixels.ndim != 3 or self.pixels.shape[2] != 3:
            raise ValueError(f"Picture.pixels is {self.pixels.dtype} {self.pixels.shape}; it takes uint8 (H, W, 3).")

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return int(self.pixels.shape[1]), int(self.pixels.shape[0])

    @cached_property
    def content_id(self) -> str:
        """16 hexadecimal digits that depend on the pixels alone."""
        digest = hashlib.sha256(repr(self.pixels.shape).encode())
        digest.update(np.ascontiguousarray(self.pixels).tobytes())
        return digest.hexdigest()[:16]

    def to_pil(self) -> Image.Image:
        """Return the pixels as a PIL image in mode RGB."""
        from PIL import Image

        return Image.fromarray(self.pixels)

    def squared(self) -> Image.Image:
        """Return the picture padded with black to a square, centred, so that no edge is ever cropped away."""
        from PIL import Image

        width, height = self.size
        side = max(width, height)
        if width == height:
            return self.to_pil()
        canvas = Image.new("RGB", (side, side))
        canvas.paste(self.to_pil(), ((side - width) // 2, (side - height) // 2))
        return canvas


def subjects(pictures: Sequence[Picture]) -> list[list[int]]:
    """Group pictures: the slices of a volume together, every other picture alone.

    Args:
        pictures: in any order.
    Returns:
        Their places, one list a volume or picture, in the order of their first.
    """
    groups: list[list[int]] = []
    latest: dict[tuple[str, int], list[int]] = {}
    seen: set[Section] = set()
    for place, picture in enumerate(pictures):
        where = picture.section
        if where is None:
            groups.append([place])
            continue
        key = (where.series, where.count)
        if key not in latest or where in seen:  # a slice that comes again begins the same volume once more
            latest[key] = []
            groups.append(latest[key])
            seen -= {one for one in seen if (one.series, one.count) == key}
        latest[key].append(place)
        seen.add(where)
    return groups
