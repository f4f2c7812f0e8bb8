"""Colour over the parts of a picture that an answer rests on, and the box around the strongest of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from PIL.Image import Image

MEANING = "It shows what the model looked at, not what is ill."
FAINT = 0.02
"""Nats; below this no part stands out, and colours would show noise."""
_COLD, _HOT = (255, 224, 64), (214, 24, 52)
_LINE = (255, 255, 255)
_OPAQUE = 0.6
_SHOWN = 0.15
"""Share of the hottest part's heat from which colour begins."""
_REGION = 0.5
"""Share of it that belongs to the region."""

Box = tuple[float, float, float, float]
"""Left, top, right, bottom, as shares of the picture's width and height."""


def coloured(image: Image, nats: np.ndarray) -> Image:
    """Lay heat over a picture as a colour that grows stronger from yellow to red.

    Args:
        image: RGB.
        nats: (G, G) float, how much each part counts; only what is above 0 is coloured.
    Returns:
        RGB of the same size.
    """
    from PIL import Image as Images

    strength = Images.fromarray(_strength(nats)).resize(image.size, Images.Resampling.BICUBIC)
    share = np.clip(np.asarray(strength, dtype=np.float32), 0, 1)[..., None]
    colour = np.asarray(_COLD) * (1 - share) + np.asarray(_HOT) * share
    alpha = _OPAQUE * np.clip((share - _SHOWN) / (1 - _SHOWN), 0, 1)
    mixed = np.asarray(image, dtype=np.float32) * (1 - alpha) + colour * alpha
    return Images.fromarray(np.clip(mixed + 0.5, 0, 255).astype(np.uint8))


def region(nats: np.ndarray) -> Box | None:
    """Find the strongest region: the parts around the peak that count at least half as much, and touch each other.

    Args:
        nats: (G, G) float.
    Returns:
        the box around them; None where no part stands out.
    """
    if float(nats.max()) < FAINT:
        return None
    rows, columns = nats.shape
    peak = np.unravel_index(int(nats.argmax()), nats.shape)
    found, edge = {(int(peak[0]), int(peak[1]))}, [(int(peak[0]), int(peak[1]))]
    while edge:
        row, column = edge.pop()
        for near in ((row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1)):
            inside = 0 <= near[0] < rows and 0 <= near[1] < columns
            if inside and near not in found and nats[near] >= _REGION * nats[peak]:
                found.add(near)
                edge.append(near)
    high, wide = [one[0] for one in found], [one[1] for one in found]
    return min(wide) / columns, min(high) / rows, (max(wide) + 1) / columns, (max(high) + 1) / rows


def boxed(image: Image, box: Box) -> Image:
    """Draw a box on a picture, in place.

    Args:
        image: RGB.
        box: where.
    Returns:
        the same picture.
    """
    from PIL import ImageDraw

    width, height = image.size
    corners = (box[0] * width, box[1] * height, box[2] * width - 1, box[3] * height - 1)
    ImageDraw.Draw(image).rectangle(corners, outline=_LINE, width=max(2, width // 200))
    return image


def _strength(nats: np.ndarray) -> np.ndarray:
    """Return (G, G) float32 in [0, 1]: each part's heat as a share of the hottest."""
    warm = np.clip(nats, 0, None)
    return np.asarray(warm / max(float(warm.max()), FAINT), dtype=np.float32)
