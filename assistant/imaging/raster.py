"""JPEG, PNG, WebP, TIFF, BMP and GIF to `Picture`."""

from __future__ import annotations

from typing import BinaryIO

import numpy as np
from PIL import Image, ImageOps

from assistant.errors import ImageError
from assistant.imaging.picture import Picture
from assistant.imaging.reduce import reduce_area, reduction, to_rgb
from assistant.imaging.window import Window, WindowRequest, apply_window, percentile_window, stretch_caution

_DEEP = ("I", "F")
_ALPHA = ("RGBA", "LA", "PA", "RGBa", "La")
_WHITE_IS_ZERO = (262, 0)  # TIFF 6.0: PhotometricInterpretation


def read_raster(
    stream: BinaryIO,
    kind: str,
    *,
    frame: int | None,
    window: WindowRequest,
    max_pixels: int,
    max_side: int | None,
) -> Picture:
    """Read one picture of a raster file.

    EXIF orientation is applied. Transparent parts are shown on black, as in the padding of a picture, and a caution
    says so. Grey with more than 8 bits is windowed, by percentiles unless a window is given.

    Args:
        stream: at its start.
        kind: "JPEG", "PNG", "WEBP", "TIFF", "BMP" or "GIF", from the first bytes.
        frame: page or frame from 0; None is the first.
        window: (center, width) in stored values or "percentiles", for grey with more than 8 bits only.
        max_pixels: the most pixels the picture may have; checked before any is decoded.
        max_side: see `assistant.imaging.load.load_picture`.
    Returns:
        the picture, without any of the file's metadata.
    Raises:
        ImageError: damaged, cut off, empty, too large, or a frame or window that it does not have.
    """
    image = _open(stream, kind, max_pixels)
    frames = _frames(image)
    _seek(image, 0 if frame is None else frame, frames)
    _check_size(image, max_pixels)  # pages may differ in size
    if kind == "JPEG" and max_side is not None:
        scale = max(image.size) / max_side
        if scale >= 2:
            image.draft(None, (int(image.width / scale), int(image.height / scale)))
    try:
        image.load()
    except Exception:  # the decoders fail in their own ways
        raise ImageError(f"the {kind} picture is cut off or damaged. Copy or save it again.") from None
    try:
        ImageOps.exif_transpose(image, in_place=True)
    except Exception:  # damaged EXIF counts as none
        image.info.pop("exif", None)
    pixels, cautions = _to_uint8(image, kind, window)
    if frames > 1:
        cautions.append(f"Frame {(frame or 0) + 1} of {frames} is shown; the other frames were not read.")
    factor = reduction(pixels.shape[1], pixels.shape[0], max_side)
    return Picture(
        pixels=to_rgb(reduce_area(pixels, factor)),
        source_format=kind,
        frame=frame or 0,
        frames=frames,
        cautions=tuple(cautions),
    )


def _open(stream: BinaryIO, kind: str, max_pixels: int) -> Image.Image:
    """Read the header, with the one plugin that the first bytes call for."""
    try:
        image: Image.Image = Image.open(stream, formats=[kind])
    except Image.DecompressionBombError:
        raise ImageError(
            f"the {kind} picture has more pixels than the limit of {max_pixels}. Save a smaller one."
        ) from None
    except Exception:  # every plugin fails in its own way
        raise ImageError(
            f"the {kind} header cannot be read: the file is cut off, damaged, or of a rare sub-type. "
            "Save it again as PNG or JPEG."
        ) from None
    _check_size(image, max_pixels)
    return image


def _check_size(image: Image.Image, max_pixels: int) -> None:
    width, height = image.size
    if width < 1 or height < 1:
        raise ImageError(f"the picture is {width} x {height} pixels: there is nothing to see. Save it again.")
    if width * height > max_pixels:
        raise ImageError(
            f"the picture is {width} x {height} pixels, more than the limit of {max_pixels}. "
            "Save a smaller one, or raise max_pixels."
        )


def _frames(image: Image.Image) -> int:
    """How many frames or pages there are; the extra pictures inside a phone's JPEG do not count."""
    if image.format in ("JPEG", "MPO"):
        return 1
    try:
        return max(1, int(getattr(image, "n_frames", 1)))
    except Exception:  # the list of frames is cut off: what can be seen is the first
        return 1


def _seek(image: Image.Image, frame: int, frames: int) -> None:
    if not 0 <= frame < frames:
        choice = f"frames 0 to {frames - 1}" if frames > 1 else "only frame 0"
        raise ImageError(f"frame {frame} was asked for, but the file has {choice}. Choose one of these.")
    try:
        image.seek(frame)
    except Exception:  # a page that the directory names but that is not there
        raise ImageError(f"frame {frame} of {frames} cannot be read; the file is cut off. Copy it again.") from None


def _to_uint8(image: Image.Image, kind: str, window: WindowRequest) -> tuple[np.ndarray, list[str]]:
    """Return uint8 (H, W) or (H, W, 3), and cautions."""
    if image.mode.startswith(_DEEP):
        tags = getattr(image, "tag_v2", {})
        return _deep_grey(np.asarray(image), window, inverted=tags.get(_WHITE_IS_ZERO[0]) == _WHITE_IS_ZERO[1])
    if window is not None:
        raise ImageError(
            f"the window {window!r} was asked for, but this {kind} picture has 8 bits and is already windowed. "
            "Leave the window out."
        )
    if image.mode in _ALPHA or "transparency" in image.info:
        return _on_black(image.convert("RGBA"))
    return np.asarray(image.convert("L" if image.mode in ("1", "L") else "RGB")), []


def _deep_grey(values: np.ndarray, window: WindowRequest, inverted: bool) -> tuple[np.ndarray, list[str]]:
    """Window grey with 16 or 32 bits, whole or real; no value is clipped by a bare conversion."""
    cautions = []
    if window is None or window == "percentiles":
        chosen = percentile_window(values)
        if window is None:
            cautions.append(stretch_caution(chosen, "The picture has more than 8 bits and names no window"))
    elif isinstance(window, tuple):
        whole = values.dtype.kind in "iu" and window[1] >= 1
        chosen = Window(window[0], window[1], "LINEAR" if whole else "LINEAR_EXACT")
    else:
        raise ImageError(
            f"the window {window!r} was asked for, but only CT in DICOM has named windows. "
            'Give (center, width) in stored values, or "percentiles".'
        )
    grey = apply_window(values, chosen)
    return (255 - grey if inverted else grey), cautions


def _on_black(image: Image.Image) -> tuple[np.ndarray, list[str]]:
    lowest, _ = image.getchannel("A").getextrema()
    if lowest == 255:
        return np.asarray(image.convert("RGB")), []
    canvas = Image.new("RGBA", image.size, (0, 0, 0, 255))
    canvas.alpha_composite(image)
    return np.asarray(canvas.convert("RGB")), ["Transparent parts of the picture are shown black."]
