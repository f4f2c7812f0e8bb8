"""The imaging door: a path or bytes become a `Picture`, or an `ImageError` says why not."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import BinaryIO

from assistant.errors import ImageError
from assistant.imaging.picture import Picture
from assistant.imaging.quiet import QUIET
from assistant.imaging.readers import import_readers
from assistant.imaging.window import WindowRequest, parse_request

MAX_PIXELS = 80_000_000
"""The most pixels of one frame that are decoded unless the caller allows more: about 9000 x 9000."""

EXTENSIONS = frozenset(
    (".jpg", ".jpeg", ".jpe", ".png", ".webp", ".tif", ".tiff", ".bmp", ".gif", ".dcm", ".dicom", ".dic", ".ima")
)
"""File name endings of pictures, lower case."""

_MAGIC: tuple[tuple[int, bytes, str], ...] = (
    (128, b"DICM", "DICOM"),  # first: a file may be DICOM and TIFF at once, and DICOM tells more
    (0, b"\xff\xd8\xff", "JPEG"),
    (0, b"\x89PNG\r\n\x1a\n", "PNG"),
    (0, b"GIF87a", "GIF"),
    (0, b"GIF89a", "GIF"),
    (0, b"BM", "BMP"),
    (8, b"WEBP", "WEBP"),
    (0, b"II*\0", "TIFF"),
    (0, b"MM\0*", "TIFF"),
    (0, b"II+\0", "TIFF"),
    (0, b"MM\0+", "TIFF"),
)
_REFUSED: tuple[tuple[int, bytes, str], ...] = (
    (0, b"%PDF", "a PDF document; save the picture in it as PNG"),
    (0, b"PK\x03\x04", "a ZIP archive or office document; unpack it, or save the picture in it as PNG"),
    (0, b"\x1f\x8b", "a gzip archive; unpack it first"),
    (344, b"n+1\0", "a NIfTI volume; give it the ending .nii, and ask or report on it as a volume"),
    (0, b"\0\0\0\x0cjP  ", "a JPEG 2000 file outside DICOM; save it as PNG"),
    (0, b"\xff\x4f\xff\x51", "a JPEG 2000 file outside DICOM; save it as PNG"),
    (4, b"ftyp", "a HEIC, AVIF or video file; save the picture as JPEG or PNG"),
)
_BARE_DICOM = (b"\x02\0", b"\x04\0", b"\x08\0", b"\0\x02", b"\0\x04", b"\0\x08")  # first group, without preamble
_HEAD = 512
_KNOWN = "JPEG, PNG, WebP, TIFF, BMP, GIF or DICOM"


def load_picture(
    source: str | Path | bytes,
    *,
    frame: int | None = None,
    window: WindowRequest = None,
    max_pixels: int = MAX_PIXELS,
    max_side: int | None = None,
    salt: bytes | None = None,
) -> Picture:
    """Read one picture; the kind of file is told from its bytes, not from its name.

    Args:
        source: a path, or the file's bytes.
        frame: which frame or page, from 0. None takes a DICOM's representative frame if it names one, else the first.
        window: for grey pictures with more than 8 bits: (center, width), or "center,width"; a preset for CT
            ("brain", "lung", …: `window.PRESETS`) or a window's name in the header; the index of a window or VOI
            table in the header; or "percentiles". None takes the header's first, else a default and a caution.
        max_pixels: the most pixels one frame may have; checked before anything is decoded.
        max_side: if the picture is at least twice as long as this, it is reduced by a whole factor to no less than
            this many pixels on its longer side. None keeps every pixel.
        salt: secret of the study and patient keys; this installation's own if None.
    Returns:
        the picture, with nothing in it that names a patient.
    Raises:
        ImageError: the file is missing, no picture, damaged or too large, or has no such frame or window. It says
            which, the value seen, and what to do; of the source it names the path as given, and nothing from inside.
        ValueError: max_side or max_pixels is below 1.
        TypeError: source is neither path nor bytes.
    """
    if max_pixels < 1 or (max_side is not None and max_side < 1):
        raise ValueError(f"max_pixels is {max_pixels} and max_side is {max_side}; both take 1 or more.")
    if isinstance(source, (bytes, bytearray, memoryview)):
        name, stream = "the given bytes", io.BytesIO(source)
        return _read(name, stream, frame, window, max_pixels, max_side, salt)
    if not isinstance(source, (str, os.PathLike)):
        raise TypeError(f"source is {type(source).__name__}; give a path or bytes.")
    with _open(source) as file:
        return _read(str(source), file, frame, window, max_pixels, max_side, salt)


def is_supported(path: str | Path) -> bool:
    """Tell whether a file found in a folder is worth loading.

    A broken file with a picture's ending counts, so that a run over a folder reports it instead of passing it over.
    DICOMDIR indexes, hidden files and folders do not count.

    Args:
        path: any path; it need not exist.
    Returns:
        True for a file with a picture's ending or first bytes.
    """
    path = Path(path)
    if path.name.startswith(".") or path.stem.upper() == "DICOMDIR":
        return False
    try:
        if not path.is_file():
            return False
        if path.suffix.lower() in EXTENSIONS:
            return True
        with path.open("rb") as file:
            return sniff(file.read(_HEAD)) is not None
    except (OSError, ValueError):
        return False


def sniff(head: bytes) -> str | None:
    """Tell the kind of file from its first bytes.

    Args:
        head: the first 132 bytes or more.
    Returns:
        "JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF" or "DICOM"; None for anything else.
    """
    for offset, magic, kind in _MAGIC:
        if head[offset : offset + len(magic)] == magic and (kind != "WEBP" or head[:4] == b"RIFF"):
            return kind
    return None


def is_bare_dicom(head: bytes) -> bool:
    """Whether a file may be a data set without preamble: it begins with a first group of the standard."""
    return head[:2] in _BARE_DICOM


def _open(source: str | os.PathLike[str]) -> BinaryIO:
    """Open a regular file; anything else gets an ImageError."""
    try:
        path = Path(source)
        if path.is_dir():
            raise ImageError(f"{source} is a folder; give a picture file inside it.")
        if not path.exists():
            raise ImageError(f"{source} does not exist; check the path.")
        if not path.is_file():
            raise ImageError(f"{source} is no regular file; give a picture file.")
        return path.open("rb")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not a valid path"
        raise ImageError(f"{source} cannot be opened ({reason}); check the path and its permissions.") from None


def _read(
    name: str,
    stream: BinaryIO,
    frame: int | None,
    window: WindowRequest,
    max_pixels: int,
    max_side: int | None,
    salt: bytes | None,
) -> Picture:
    """Read an open source, and put its name before whatever is wrong with it."""
    try:
        head = stream.read(_HEAD)
        kind = sniff(head)
        request = parse_request(window)
        stream.seek(0)
        with QUIET:
            if kind == "DICOM" or (kind is None and is_bare_dicom(head)):
                import_readers()
                from assistant.imaging.dicom import read_dicom

                return read_dicom(
                    stream, frame=frame, window=request, max_pixels=max_pixels, max_side=max_side, salt=salt
                )
            if kind is None:
                raise ImageError(_why_no_picture(head))
            from assistant.imaging.raster import read_raster

            return read_raster(stream, kind, frame=frame, window=request, max_pixels=max_pixels, max_side=max_side)
    except ImageError as error:
        raise ImageError(f"{name}: {error}") from None
    except MemoryError:
        raise ImageError(f"{name}: too large for this machine's memory. Give a smaller picture.") from None
    except Exception as error:  # the last net: no library's message, which may quote the file, may get out
        raise ImageError(
            f"{name}: damaged in an unforeseen way ({type(error).__name__}). Save or export it again."
        ) from None


def _why_no_picture(head: bytes) -> str:
    """Say what a file is that is no picture, without quoting it."""
    if not head:
        return "the file is empty (0 bytes). Copy or save it again."
    for offset, magic, what in _REFUSED:
        if head[offset : offset + len(magic)] == magic:
            return f"this is {what}."
    try:
        text = head[: max(1, len(head) - 4)].decode("utf-8")
    except UnicodeDecodeError:
        text = "\0"
    if all(c.isprintable() or c.isspace() for c in text):
        return f"this is text, not a picture. Give a {_KNOWN} file."
    return f"this is no picture that can be read (it begins with the bytes {head[:4].hex(' ')}). Give a {_KNOWN} file."
