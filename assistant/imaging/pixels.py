"""The stored pixels of one DICOM frame, checked before and after they are decoded."""

from __future__ import annotations

import io
import os
import zlib
from dataclasses import dataclass
from typing import Any, BinaryIO, Literal

import numpy as np
from pydicom import uid
from pydicom.encaps import encapsulate, get_frame
from pydicom.pixels.decoders.base import get_decoder

from assistant.errors import ImageError
from assistant.imaging.codestream import check_frame
from assistant.imaging.header import Header
from assistant.imaging.isolated import GDCM
from assistant.imaging.unpack import decode_rle, in_range

UNDEFINED = 0xFFFFFFFF
_KEYWORDS = {0x0008: "FloatPixelData", 0x0009: "DoubleFloatPixelData", 0x0010: "PixelData"}
_VRS = (b"OB", b"OW", b"OF", b"OD", b"UN")
_COLOURS = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")
_GREYS = ("MONOCHROME1", "MONOCHROME2", "PALETTE COLOR")
_JPEG_FAMILY = uid.JPEGTransferSyntaxes + uid.JPEGLSTransferSyntaxes + uid.JPEG2000TransferSyntaxes
_GDCM = (uid.JPEGLossless, uid.JPEGLosslessSV1, *uid.JPEGLSTransferSyntaxes)  # nothing else in use decodes these
_OPENJPEG = uid.JPEG2000TransferSyntaxes
_SEND_AGAIN = "Copy or send it again."


@dataclass(frozen=True)
class PixelElement:
    """Where the pixel data begin in a stream, and what they are."""

    keyword: str
    """PixelData, FloatPixelData or DoubleFloatPixelData."""
    vr: str | None
    """Value representation; None in implicit syntaxes."""
    offset: int
    """Of the value's first byte."""
    length: int
    """In bytes, or `UNDEFINED` for encapsulated data."""
    syntax: uid.UID
    """Transfer syntax of the pixels."""


@dataclass(frozen=True)
class Layout:
    """The Image Pixel module, checked (PS3.3 C.7.6.3)."""

    rows: int
    columns: int
    frames: int
    samples: int
    photometric: str
    allocated: int
    stored: int
    signed: bool


def find_pixels(stream: BinaryIO, syntax: uid.UID, little_endian: bool) -> PixelElement | None:
    """Read the pixel element's head at the stream's position.

    Args:
        stream: at the element's tag.
        syntax: the transfer syntax, kept for decoding.
        little_endian: byte order of the data set.
    Returns:
        what it says, or None if no pixel element stands there.
    """
    order: Literal["little", "big"] = "little" if little_endian else "big"
    head = stream.read(8)
    if len(head) < 8:
        return None
    group, element = (int.from_bytes(head[k : k + 2], order) for k in (0, 2))
    if group != 0x7FE0 or element not in _KEYWORDS:
        return None
    vr = head[4:6].decode("latin-1") if head[4:6] in _VRS else None
    length = int.from_bytes(stream.read(4) if vr else head[4:], order)
    return PixelElement(_KEYWORDS[element], vr, stream.tell(), length, syntax)


def read_layout(header: Header, element: PixelElement, max_pixels: int) -> Layout:
    """Check the numbers that say how the pixels lie, before anything is allocated for them.

    Args:
        header: of the dataset.
        element: the pixel element that was found.
        max_pixels: the most pixels that one frame may have.
    Returns:
        the numbers, none of which can do harm.
    Raises:
        ImageError: a missing, impossible or too large number.
    """
    rows, columns = header.count("Rows"), header.count("Columns")
    frames = header.count("NumberOfFrames", 1) or 1
    samples = header.count("SamplesPerPixel", 1)
    allocated = {"FloatPixelData": 32, "DoubleFloatPixelData": 64}.get(element.keyword) or header.count("BitsAllocated")
    stored = header.count("BitsStored", allocated) if element.keyword == "PixelData" else allocated
    photometric = header.text("PhotometricInterpretation")
    if rows < 1 or columns < 1 or frames < 1:
        raise ImageError(f"the DICOM image is {columns} x {rows} pixels in {frames} frames: there is nothing to see.")
    if rows * columns > max_pixels:
        raise ImageError(
            f"the DICOM image is {columns} x {rows} pixels, more than the limit of {max_pixels}. "
            "Export a smaller one, or raise max_pixels."
        )
    known = _COLOURS if samples == 3 else _GREYS if samples == 1 else ()
    if photometric not in known:
        raise ImageError(
            f"Photometric Interpretation {photometric[:16]!r} with {samples} samples per pixel is not supported; "
            f"export as one of {', '.join(_GREYS + _COLOURS)}."
        )
    if allocated not in (1, 8, 16, 32, 64) or not 1 <= stored <= allocated:
        raise ImageError(
            f"the DICOM image stores {stored} of {allocated} allocated bits; "
            "1, 8, 16, 32 and 64 allocated bits are supported. Export it again."
        )
    signed = header.count("PixelRepresentation", 0) == 1
    return Layout(rows, columns, frames, samples, photometric, allocated, stored, signed)


def read_frame(stream: BinaryIO, header: Header, element: PixelElement, layout: Layout, frame: int) -> np.ndarray:
    """Decode one frame.

    Args:
        stream: holds the dataset; only this frame's part of it is read.
        header: of the dataset.
        element: where the pixels are.
        layout: what they are.
        frame: which, from 0.
    Returns:
        (rows, columns) stored values, or (rows, columns, 3) RGB, in the machine's byte order.
    Raises:
        ImageError: cut off, damaged, or in a syntax that cannot be decoded here.
    """
    syntax = element.syntax
    try:
        decoder = get_decoder(syntax)
    except NotImplementedError:
        raise ImageError(
            f"the transfer syntax {_syntax_name(syntax)} cannot be decoded; "
            "export the picture as JPEG 2000, JPEG or uncompressed DICOM."
        ) from None
    options: dict[str, Any] = {
        "transfer_syntax_uid": syntax,
        "pixel_keyword": element.keyword,
        "pixel_vr": element.vr or "OW",
        "rows": layout.rows,
        "columns": layout.columns,
        "samples_per_pixel": layout.samples,
        "bits_allocated": layout.allocated,
        "photometric_interpretation": layout.photometric,
        "planar_configuration": header.count("PlanarConfiguration", 0),
    }
    if element.keyword == "PixelData":
        options |= {"bits_stored": layout.stored, "pixel_representation": int(layout.signed)}
    try:
        if syntax.is_encapsulated:
            encoded = _encoded_frame(stream, element, layout, frame, _offsets(header))
            pixels = _decode(encoded, options, layout)
        else:
            _check_native(stream, element, layout)
            stream.seek(element.offset)
            # Read for this call: needs no copy.
            options |= {"number_of_frames": layout.frames, "view_only": True, "correct_unused_bits": False}
            pixels = in_range(decoder.as_array(stream, index=frame, **options)[0], layout.stored)
    except ImageError:
        raise
    except Exception:  # pydicom's message may quote header values, so it stays here
        raise ImageError(_why_not_decoded(syntax, layout)) from None
    return np.ascontiguousarray(pixels, dtype=pixels.dtype.newbyteorder("="))


def _decode(encoded: bytes, options: dict[str, Any], layout: Layout) -> np.ndarray:
    """Decode one compressed frame with the one library that is right for its syntax."""
    syntax: uid.UID = options["transfer_syntax_uid"]
    options["number_of_frames"] = 1
    if syntax == uid.JPEGExtended12Bit and layout.stored > 8:
        # pydicom bars GDCM from 12-bit JPEG Extended, but GDCM reads the process from the codestream and decodes it
        # right when it is called JPEG Lossless: checked against the values of pydicom's own reference files.
        options["transfer_syntax_uid"] = syntax = uid.JPEGLossless
    if syntax in _GDCM:
        pixels = GDCM.decode(encoded, options)
        if pixels is None:
            raise ImageError(_why_not_decoded(syntax, layout))
        return pixels
    source = encapsulate([encoded], has_bot=False)
    if syntax == uid.RLELossless:
        return in_range(decode_rle(source, {**options, "correct_unused_bits": False}), layout.stored)
    plugin = "pylibjpeg" if syntax in _OPENJPEG else "pillow"
    return get_decoder(syntax).as_array(source, index=0, decoding_plugin=plugin, **options)[0]


def _why_not_decoded(syntax: uid.UID, layout: Layout) -> str:
    return (
        f"the pixel data ({_syntax_name(syntax)}, {layout.columns} x {layout.rows}, {layout.stored} of "
        f"{layout.allocated} bits) cannot be decoded; the file is damaged. Export or send it again."
    )


def inflate(stream: BinaryIO, start: int, limit: int) -> BinaryIO:
    """Unpack a deflated data set (PS3.5 A.5).

    Args:
        stream: the file.
        start: offset of the deflated part.
        limit: the most bytes it may grow to.
    Returns:
        the data set in a DICOM file with the explicit little endian syntax.
    Raises:
        ImageError: damaged, cut off, or larger than the limit.
    """
    stream.seek(start)
    machine = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        plain = machine.decompress(stream.read(), limit)
    except zlib.error:
        raise ImageError(f"the deflated DICOM data set is damaged. {_SEND_AGAIN}") from None
    if machine.unconsumed_tail:
        raise ImageError(
            f"the deflated DICOM data set grows beyond the limit of {limit} bytes. Send it uncompressed, "
            "or raise max_pixels."
        )
    if not machine.eof:
        raise ImageError(f"the deflated DICOM data set is cut off. {_SEND_AGAIN}")
    name = uid.ExplicitVRLittleEndian.encode() + b"\0"
    meta = b"\x02\x00\x10\x00UI" + len(name).to_bytes(2, "little") + name
    return io.BytesIO(bytes(128) + b"DICM" + meta + plain)


def _syntax_name(syntax: uid.UID) -> str:
    return syntax.name if syntax.is_valid and syntax.type == "Transfer Syntax" else "(unknown)"


def _offsets(header: Header) -> tuple[bytes, bytes] | None:
    """The extended offset table (PS3.3 C.7.6.3.1.8), if both its halves are there."""
    pair = header.get("ExtendedOffsetTable"), header.get("ExtendedOffsetTableLengths")
    return pair if all(isinstance(half, bytes) for half in pair) else None


def _remaining(stream: BinaryIO, offset: int) -> int:
    return stream.seek(0, os.SEEK_END) - offset


def _check_native(stream: BinaryIO, element: PixelElement, layout: Layout) -> None:
    """Compare the bytes that are there with the bytes that the header asks for (PS3.5 8.1.1)."""
    bits = layout.rows * layout.columns * layout.samples * layout.allocated * layout.frames
    needed = (bits + 7) // 8
    if layout.photometric == "YBR_FULL_422":
        needed = needed * 2 // 3
    there = _remaining(stream, element.offset)
    if element.length == UNDEFINED:
        raise ImageError(f"the pixel data are compressed but the transfer syntax is not. {_SEND_AGAIN}")
    if element.length < needed or there < needed:
        raise ImageError(
            f"the pixel data have {min(element.length, there)} bytes but {layout.columns} x {layout.rows} pixels, "
            f"{layout.samples} samples, {layout.allocated} bits and {layout.frames} frames need {needed}; "
            f"the file is cut off or its header is wrong. {_SEND_AGAIN}"
        )


def _encoded_frame(
    stream: BinaryIO, element: PixelElement, layout: Layout, frame: int, offsets: tuple[bytes, bytes] | None
) -> bytes:
    """Walk the fragments to the end (PS3.5 A.4), take one frame's, and look into their own header."""
    if element.length != UNDEFINED:
        raise ImageError(f"the transfer syntax is compressed but the pixel data are not. {_SEND_AGAIN}")
    end = element.offset + _remaining(stream, element.offset)
    at, closed = element.offset, False
    while at + 8 <= end and not closed:
        stream.seek(at)
        tag, length = stream.read(4), int.from_bytes(stream.read(4), "little")
        closed = tag == b"\xfe\xff\xdd\xe0"
        if not closed and (tag != b"\xfe\xff\x00\xe0" or at + 8 + length > end):
            break
        at += 8 + length
    if not closed:
        raise ImageError(f"the compressed pixel data end in the middle, {end - element.offset} bytes in. {_SEND_AGAIN}")
    stream.seek(element.offset)
    try:
        encoded = get_frame(stream, frame, number_of_frames=layout.frames, extended_offsets=offsets)
    except Exception:  # damaged offset tables fail in many ways
        raise ImageError(
            f"frame {frame} cannot be found among the {layout.frames} compressed frames; the file is damaged. "
            f"{_SEND_AGAIN}"
        ) from None
    if element.syntax in _JPEG_FAMILY:
        return check_frame(encoded, layout.rows, layout.columns)
    return encoded
