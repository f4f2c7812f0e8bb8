"""The one place that gives a picture as it may be shown, written or sent: text that is burned into it is blacked out.

Reports with pictures, overlays, previews of the page, stored feedback and another server's input take their pictures
from `shown`. Looking for text takes from a quarter of a second to a few seconds a picture, so it is done when a picture
leaves, not when it comes in, and what was found is remembered by the picture's content.
"""

from __future__ import annotations

import importlib.util
import threading
from collections import OrderedDict
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

from assistant.errors import ConfigError

if TYPE_CHECKING:
    import numpy as np

    from assistant.deidentify.burned import Box, TextFinder
    from assistant.imaging.picture import Picture

PixelRule = Literal["clean", "written", "keep"]
"""`clean`: text is blacked out in all that is shown, written or sent, and in what a model that could read it is given.
`written`: in all that is shown, written or sent. `keep`: nowhere."""

_PASSES = 3
_REMEMBERED = 4096
_NO_LETTERS = 160
"""Models that see pictures no larger than this many pixels a side: a letter of a thirtieth of the height has five."""
WHOLE = 1 << 16
"""The `picture_size` of what is given pictures as they are."""

_rule: PixelRule = "clean"
_found: OrderedDict[str, tuple[Box, ...]] = OrderedDict()
_lock = threading.RLock()


def take_rule(rule: PixelRule) -> None:
    """Set what this process does with burned-in text; a command calls it with its settings before it begins."""
    global _rule
    _rule = rule


def rule() -> PixelRule:
    """Return what this process does with burned-in text."""
    return _rule


def cleans() -> bool:
    """Whether text is blacked out in what is shown, written or sent."""
    return _rule != "keep"


@lru_cache(maxsize=1)
def _finder() -> TextFinder:
    from assistant.deidentify.burned import TextFinder

    return TextFinder()


def check() -> None:
    """Refuse to go on where text is to be blacked out and cannot be found.

    Raises:
        ConfigError: RapidOCR cannot be loaded.
    """
    if cleans():
        _finder()


def installed() -> bool:
    """Whether text need not be found, or what finds it is installed; it is not loaded for that, which takes a while."""
    return not cleans() or importlib.util.find_spec("rapidocr_onnxruntime") is not None


def can_clean() -> bool:
    """Whether pictures may leave: text in them can be found, or need not be."""
    try:
        check()
    except ConfigError:
        return False
    return True


def shown(picture: Picture) -> Picture:
    """Return a picture as it may leave.

    Args:
        picture: as it was read.
    Returns:
        The picture with black boxes over all text that was found; itself where there is none, or under the rule `keep`.
    Raises:
        ConfigError: RapidOCR cannot be loaded.
    """
    if not cleans():
        return picture
    boxes = _boxes(picture)
    if not boxes:
        return picture
    made = replace(picture, pixels=_filled(picture.pixels, boxes))
    with _lock:
        _remember(made.content_id, ())  # it was looked at already
    return made


def as_read(pictures: tuple[Picture, ...], picture_size: int) -> tuple[Picture, ...]:
    """Return pictures as a model is given them.

    Args:
        pictures: of one question or study.
        picture_size: pixels a side that the model sees, all tiles together.
    Returns:
        The pictures, cleaned under the rule `clean` where the model could read what stands in them. Slices of volumes
        stay: they are many, and a scanner writes no text over them.
    Raises:
        ConfigError: RapidOCR cannot be loaded.
    """
    if _rule != "clean" or picture_size <= _NO_LETTERS:
        return pictures
    return tuple(one if one.section is not None else shown(one) for one in pictures)


def _boxes(picture: Picture) -> tuple[Box, ...]:
    """Find text, black it out and look again until nothing is read; one picture at a time."""
    with _lock:
        known = _found.get(picture.content_id)
        if known is None:
            finder = _finder()
            boxes: list[Box] = []
            pixels = picture.pixels
            for _ in range(_PASSES):
                fresh = finder.find(pixels)
                if not fresh:
                    break
                boxes += fresh
                pixels = _filled(pixels, fresh)
            known = tuple(boxes)
        _remember(picture.content_id, known)
        return known


def _remember(content_id: str, boxes: tuple[Box, ...]) -> None:
    _found[content_id] = boxes
    _found.move_to_end(content_id)
    if len(_found) > _REMEMBERED:
        _found.popitem(last=False)


def _filled(pixels: np.ndarray, boxes: tuple[Box, ...] | list[Box]) -> np.ndarray:
    made = pixels.copy()
    for left, top, right, bottom in boxes:
        made[top:bottom, left:right] = 0
    return made
