"""Making a finished 8-bit picture smaller by a whole factor, and grey to RGB."""

from __future__ import annotations

import numpy as np

_ROWS = 32


def reduction(width: int, height: int, max_side: int | None) -> int:
    """Choose by how much a picture may be reduced.

    Args:
        width: in pixels.
        height: in pixels.
        max_side: the longest side that is needed, at least 1, or None for all of it.
    Returns:
        the largest whole factor that leaves the longer side at `max_side` or more; 1 if None.
    """
    return 1 if max_side is None else max(1, max(width, height) // max_side)


def reduce_area(pixels: np.ndarray, factor: int) -> np.ndarray:
    """Average squares of `factor` x `factor` pixels.

    It runs after windowing: averaging before it would mix padding and clipped values into their neighbours, and
    the table look-up leaves too little to gain.

    Args:
        pixels: uint8, (H, W) or (H, W, 3).
        factor: 1 returns `pixels` itself.
    Returns:
        uint8, (ceil(H / factor), ceil(W / factor)) or with 3 channels.
    """
    if factor == 1:
        return pixels
    from PIL import Image

    return np.asarray(Image.fromarray(pixels).reduce(factor))


def to_rgb(pixels: np.ndarray) -> np.ndarray:
    """Return uint8 (H, W, 3), contiguous, from uint8 grey (H, W) or RGB."""
    if pixels.ndim == 3:
        return np.ascontiguousarray(pixels)
    out = np.empty((*pixels.shape, 3), np.uint8)
    for start in range(0, len(pixels), _ROWS):  # rows that stay in the cache while they are written three times
        for channel in range(3):
            out[start : start + _ROWS, :, channel] = pixels[start : start + _ROWS]
    return out
