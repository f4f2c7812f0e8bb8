"""Takes comments and foreign segments out of compressed frames; the coded pixels stay bit for bit."""

from __future__ import annotations

from collections.abc import Callable

_APPLICATION_KEPT = frozenset({0xE0, 0xE8, 0xEE})  # JFIF, SPIFF and Adobe: they tell the colours
_COMMENT, _START_OF_SCAN, _END = 0xFE, 0xDA, b"\xff\xd9"
_J2K_COMMENT, _J2K_TILE, _J2K_START = 0x64, 0x90, b"\xff\x4f\xff\x51"


def cleaned_frame(frame: bytes) -> bytes:
    """Return a frame without what its header carries beside the picture.

    JPEG and JPEG-LS lose comments, application segments (EXIF, XMP) and whatever stands behind the end of the image;
    JPEG 2000 loses comments of its main header. Anything else comes back as it is.

    Args:
        frame: one codestream.
    Returns:
        the codestream, of even length.
    Source: ITU-T T.81 B.1.1.3, ITU-T T.800 A.1, DICOM PS3.5 A.4.
    """
    if frame[:2] == b"\xff\xd8":
        frame = _walk(frame, 2, _START_OF_SCAN, _is_foreign)
        end = frame.rfind(_END)
        frame = frame[: end + 2] if end > 0 else frame
    elif frame[:4] == _J2K_START:
        frame = _walk(frame, 2, _J2K_TILE, lambda marker: marker == _J2K_COMMENT)
        end = frame.rfind(_END)
        frame = frame[: end + 2] if end > 0 else frame
    return frame + b"\0" * (len(frame) % 2)


def _is_foreign(marker: int) -> bool:
    return marker == _COMMENT or (0xE0 <= marker <= 0xEF and marker not in _APPLICATION_KEPT)


def _walk(frame: bytes, start: int, stop: int, foreign: Callable[[int], bool]) -> bytes:
    """Copy the segments up to `stop`, the foreign ones left out, and the rest as it is."""
    kept, at = [frame[:start]], start
    while at + 4 <= len(frame) and frame[at] == 0xFF and frame[at + 1] != stop:
        length = 2 + int.from_bytes(frame[at + 2 : at + 4], "big")
        if not foreign(frame[at + 1]):
            kept.append(frame[at : at + length])
        at += length
    return b"".join(kept) + frame[at:]
