"""Making a picture smaller by a whole factor, before or after it is windowed, and grey to RGB."""

from __future__ import annotations

from typing import Any

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

    For finished pixels: averages of what is shown. See `mean_blocks` for stored values.

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


def mean_blocks(stored: np.ndarray, factor: int) -> np.ndarray:
    """Average squares of `factor` x `factor` stored values, exactly.

    Rows are summed in 16 bits where the values leave room, so that the large array is read once and in narrow words.

    Args:
        stored: integers of 8 or 16 bits, (H, W).
        factor: 2 or more.
    Returns:
        float64, (ceil(H / factor), ceil(W / factor)); the last row and column average what is left there.
    """
    height, width = stored.shape
    least, most = int(stored.min()), int(stored.max())
    down = stored[::factor].astype(_room(least * factor, most * factor))
    for offset in range(1, factor):
        rows = stored[offset::factor]
        np.add(down[: len(rows)], rows, out=down[: len(rows)], casting="unsafe")
    across = down[:, ::factor].astype(_room(least * factor**2, most * factor**2))
    for offset in range(1, factor):
        columns = down[:, offset::factor]
        np.add(across[:, : columns.shape[1]], columns, out=across[:, : columns.shape[1]], casting="unsafe")
    tall, wide = (np.full(n, factor, np.float64) for n in across.shape)
    tall[-1], wide[-1] = (size - (n - 1) * factor for size, n in zip((height, width), across.shape, strict=True))
    return np.asarray(across / (tall[:, None] * wide[None, :]))


def _room(least: int, most: int) -> type[np.integer[Any]]:
    """Choose the narrowest type that holds these."""
    kinds: tuple[type[np.integer[Any]], ...] = (np.uint16, np.int16, np.uint32, np.int32)
    return next((kind for kind in kinds if np.iinfo(kind).min <= least and most <= np.iinfo(kind).max), np.int64)


def to_rgb(pixels: np.ndarray) -> np.ndarray:
    """Return uint8 (H, W, 3), contiguous, from uint8 grey (H, W) or RGB."""
    if pixels.ndim == 3:
        return np.ascontiguousarray(pixels)
    out = np.empty((*pixels.shape, 3), np.uint8)
    for start in range(0, len(pixels), _ROWS):  # rows that stay in the cache while they are written three times
        for channel in range(3):
            out[start : start + _ROWS, :, channel] = pixels[start : start + _ROWS]
    return out
