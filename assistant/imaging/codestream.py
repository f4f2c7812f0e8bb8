"""What one compressed frame says about itself, read before a decoder touches it."""

from __future__ import annotations

from assistant.errors import ImageError

_SOF = {*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC}  # frame headers of JPEG (T.81 B.2.2) and JPEG-LS (T.87 C.2.2)
_STANDALONE = {0x01, *range(0xD0, 0xD8)}
_J2K_START = b"\xff\x4f\xff\x51"  # SOC followed by SIZ, T.800 A.5.1
_END = b"\xff\xd9"  # EOI of JPEG and JPEG-LS, EOC of JPEG 2000


def check_frame(encoded: bytes, rows: int, columns: int) -> bytes:
    """Refuse a compressed frame that is cut off or of another size than its header says.

    A decoder would fill the missing part with grey, or allocate whatever size the codestream claims.

    Args:
        encoded: one frame of a JPEG, JPEG-LS, JPEG 2000 or HTJ2K transfer syntax.
        rows: (0028,0010) Rows.
        columns: (0028,0011) Columns.
    Returns:
        the bare codestream: a JP2 wrapper, which DICOM does not allow and some writers add, is taken off.
    Raises:
        ImageError: no frame header, another size, or no end marker.
    """
    found = _size(encoded)
    if found is None:
        raise ImageError(
            f"the compressed frame ({len(encoded)} bytes) has no image header; "
            "the file is damaged or its transfer syntax is wrong. Export or send it again."
        )
    start, height, width = found
    if (height, width) != (rows, columns):
        raise ImageError(
            f"the compressed frame is {width} x {height} pixels but the header says {columns} x {rows}; "
            "the file is damaged. Export or send it again."
        )
    if encoded.find(_END, start) < 0:
        raise ImageError(
            f"the compressed frame ({len(encoded)} bytes) has no end marker; the file is cut off. "
            "Copy or send it again."
        )
    return encoded if encoded[:2] == b"\xff\xd8" else encoded[encoded.index(_J2K_START) :]


def _size(encoded: bytes) -> tuple[int, int, int] | None:
    """Return (offset after the size, height, width), or None when there is no frame header."""
    if encoded[:2] == b"\xff\xd8":
        return _jpeg_size(encoded)
    siz = encoded.find(_J2K_START, 0, 4096)
    if siz < 0 or len(encoded) < siz + 24:
        return None
    x1, y1, x0, y0 = (int.from_bytes(encoded[siz + 8 + 4 * k : siz + 12 + 4 * k], "big") for k in range(4))
    return siz + 24, y1 - y0, x1 - x0


def _jpeg_size(encoded: bytes) -> tuple[int, int, int] | None:
    """Walk the marker segments up to the frame header (T.81 B.1.1)."""
    at = 2
    while at + 9 <= len(encoded):
        if encoded[at] != 0xFF:
            return None
        marker = encoded[at + 1]
        if marker == 0xFF:
            at += 1
        elif marker in _STANDALONE:
            at += 2
        elif marker in _SOF:
            height = int.from_bytes(encoded[at + 5 : at + 7], "big")
            return at + 9, height, int.from_bytes(encoded[at + 7 : at + 9], "big")
        else:
            at += 2 + int.from_bytes(encoded[at + 2 : at + 4], "big")
    return None
