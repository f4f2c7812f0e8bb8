"""Finds text in a picture by OCR: RapidOCR, whose models lie in its wheel; nothing is fetched or sent."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from assistant.errors import ConfigError

Box = tuple[int, int, int, int]
"""Left, top, right, bottom in pixels; right and bottom lie outside."""

_TILE = 1400
_OVERLAP = 200
_SMALL = 700
_MARGIN = 3
_LEAST_SCORE = 0.3
"""Below this a find is rather anatomy than text. Low on purpose: a lost corner costs less than a name that stays."""
_FEW = 2
_TALL = 0.1
"""What is read as so few characters, and is taller than this share of the picture's longer side, is anatomy: a head is
read as an X, a chest as a B, a cell as an O. In 133 real pictures of 13 sources no letter was taller than 8 %."""


class TextFinder:
    """Looks for text; make one and use it for many pictures.

    Raises:
        ConfigError: RapidOCR is not installed.
    """

    def __init__(self) -> None:
        self._engine = _engine()

    def find(self, picture: np.ndarray) -> list[Box]:
        """Look for text.

        Args:
            picture: uint8, (H, W) or (H, W, 3).
        Returns:
            the boxes of all text found, in no order.
        """
        colour = np.repeat(picture[:, :, None], 3, axis=2) if picture.ndim == 2 else picture
        height, width = colour.shape[:2]
        scale = max(1, min(4, -(-_SMALL // max(1, min(height, width)))))  # small letters are found enlarged
        if scale > 1:
            colour = colour.repeat(scale, axis=0).repeat(scale, axis=1)
        boxes: list[Box] = []
        for top in _starts(colour.shape[0]):
            for left in _starts(colour.shape[1]):
                tile = np.ascontiguousarray(colour[top : top + _TILE, left : left + _TILE, ::-1])  # it takes BGR
                found = self._read(tile, _TALL * max(colour.shape[:2]))
                boxes += [_placed(corners, left, top, scale, width, height) for corners in found]
        return [box for box in boxes if box[0] < box[2] and box[1] < box[3]]

    def _read(self, tile: np.ndarray, tall: float) -> list[Any]:
        result, _ = self._engine(tile)
        return [
            corners
            for corners, text, score in result or []
            if text.strip() and float(score) >= _LEAST_SCORE and (len(text.strip()) > _FEW or _height(corners) <= tall)
        ]


def _height(corners: Any) -> float:
    """Return the height of a line of text from its four corners, in pixels."""
    points = np.asarray(corners, dtype=float)
    return float(np.linalg.norm(points - np.roll(points, 1, axis=0), axis=1).min())


@lru_cache(maxsize=1)
def _engine() -> Any:
    """Load RapidOCR once a process, on one thread."""
    try:
        from rapidocr_onnxruntime import RapidOCR
    except ImportError:
        raise ConfigError(
            "Text in pixels is found by RapidOCR, which cannot be loaded. Install it: pip install 'medassist[deid]'; "
            "or leave the pixels as they are, with --pixels keep, and look at every picture yourself."
        ) from None
    return RapidOCR(text_score=_LEAST_SCORE, intra_op_num_threads=1, inter_op_num_threads=1)


def _starts(length: int) -> list[int]:
    """Return where tiles begin along one side, so that text on a seam lies whole in one of them."""
    return list(range(0, max(1, length - _OVERLAP), _TILE - _OVERLAP))


def _placed(corners: Any, left: int, top: int, scale: int, width: int, height: int) -> Box:
    """Return a box around four corners in the picture's own pixels, a little wider than the text."""
    points = np.asarray(corners, dtype=float) + (left, top)
    low = np.floor(points.min(axis=0) / scale).astype(int) - _MARGIN
    high = np.ceil(points.max(axis=0) / scale).astype(int) + _MARGIN
    return max(0, int(low[0])), max(0, int(low[1])), min(width, int(high[0])), min(height, int(high[1]))
