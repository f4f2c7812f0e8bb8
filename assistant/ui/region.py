"""A box drawn on a picture with two clicks, and the part of the picture in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from assistant.imaging.picture import Picture, Section
from assistant.ui.session import preview
from assistant.ui.volumes import lettered

if TYPE_CHECKING:
    from PIL.Image import Image

Point = tuple[float, float]
"""Column and row, as shares of a picture's width and height."""

MARGIN = 0.15
"""How much of its surroundings a crop shows on each side, as a share of the box."""
SMALLEST = 0.02
"""Shortest side of a box, as a share of the picture: two clicks on one spot are no box."""
_LINE = (255, 214, 10)


@dataclass(frozen=True)
class Region:
    """What was clicked on a picture so far."""

    first: Point | None = None
    second: Point | None = None
    place: int = -1
    """Which of the pictures under discussion: the last, or the slice of a volume that is looked at."""

    def clicked(self, point: Point) -> Region:
        """Return the region after one more click; after a whole box a click begins another."""
        if self.first is None or self.whole:
            return Region(point, place=self.place)
        done = replace(self, second=point)
        return done if done.whole else Region(point, place=self.place)

    @property
    def whole(self) -> bool:
        """Whether there is a box."""
        left, top, right, bottom = self.box
        return right - left >= SMALLEST and bottom - top >= SMALLEST

    @property
    def box(self) -> tuple[float, float, float, float]:
        """Left, top, right and bottom as shares; all 0 before two clicks."""
        if self.first is None or self.second is None:
            return 0.0, 0.0, 0.0, 0.0
        (x0, y0), (x1, y1) = self.first, self.second
        return min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1)

    def words(self) -> str:
        """Say what to do next."""
        if self.whole:
            return "The next question is about this region. Click to draw another."
        if self.first is not None:
            return "Now click the opposite corner."
        return "Click two opposite corners on the picture."


def share_of(index: tuple[int, int] | list[int], size: tuple[int, int]) -> Point:
    """Return where a click lies.

    Args:
        index: column and row of the click, in pixels of what was shown.
        size: width and height of what was shown.
    Returns:
        The point, inside the picture.
    """
    x, y = (min(max((place + 0.5) / side, 0.0), 1.0) for place, side in zip(index, size, strict=True))
    return x, y


def crop(picture: Picture, region: Region, margin: float = MARGIN) -> Picture:
    """Return the part of a picture in a region, with some of what surrounds it.

    Args:
        picture: at full size.
        region: a whole one.
        margin: share of the box added on each side, as far as the picture reaches.
    Returns:
        At least 8 pixels a side where the picture has them; it keeps what the header told, and is no slice any more.
    """
    left, top, right, bottom = region.box
    width, height = picture.size
    rows = _span(top, bottom, margin, height)
    columns = _span(left, right, margin, width)
    return replace(picture, pixels=np.ascontiguousarray(picture.pixels[rows, columns]), section=None)


def looked_at_in(
    pictures: Sequence[Picture], section: Section | None, region: Region | None
) -> tuple[Picture, Picture | None]:
    """Return the picture that a question is about, and the part of it that was marked.

    Args:
        pictures: under discussion, at least one.
        section: the slice of a volume that the page shows.
        region: as it was drawn. On a slice that is no longer shown it counts for nothing: the page is about to take it
            away.
    Returns:
        That slice, else the picture that may be drawn on; and the part, None where nothing is marked.
    """
    drawn_on = pictures[region.place if region is not None and region.place < len(pictures) else -1]
    looked_at = next((one for one in reversed(pictures) if section is not None and one.section == section), drawn_on)
    marked = region is not None and region.whole and looked_at is drawn_on
    return looked_at, crop(looked_at, region) if region is not None and marked else None


def _span(low: float, high: float, margin: float, side: int) -> slice:
    reach = max(margin * (high - low), (8 / side - (high - low)) / 2)
    return slice(max(0, int((low - reach) * side)), min(side, max(1, round((high + reach) * side))))


def drawn(picture: Picture, region: Region) -> Image:
    """Return a picture's preview with the box, or the first corner, on it."""
    from PIL import ImageDraw

    image = lettered(preview(picture), picture)
    pen, (width, height) = ImageDraw.Draw(image), image.size
    line = max(2, width // 200)
    if region.whole:
        left, top, right, bottom = region.box
        pen.rectangle((left * width, top * height, right * width - 1, bottom * height - 1), outline=_LINE, width=line)
    elif region.first is not None:
        x, y, arm = region.first[0] * width, region.first[1] * height, max(6, width // 40)
        pen.line((x - arm, y, x + arm, y), fill=_LINE, width=line)
        pen.line((x, y - arm, x, y + arm), fill=_LINE, width=line)
    return image
