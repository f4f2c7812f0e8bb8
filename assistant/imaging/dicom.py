"""DICOM to `Picture`: decode, modality LUT or rescale, VOI LUT or window, polarity; and no patient's name.

The order is that of DICOM PS3.4 N.2 (grayscale transformation): stored value, modality transformation
(PS3.3 C.11.1), value-of-interest transformation (C.11.2), then the polarity of MONOCHROME1 (C.7.6.3.1.2).
Up to 16 bits all of that depends on the stored value alone, so it is worked out once for each of the 65 536
possible values in double precision, and the picture is looked up in that table: exact, and fast.
"""

from __future__ import annotations

from typing import BinaryIO

import numpy as np
from pydicom import dcmread, uid
from pydicom.dataset import Dataset, FileDataset

from assistant.errors import ImageError
from assistant.imaging import header as tags
from assistant.imaging.grey import GreyScale
from assistant.imaging.header import Header
from assistant.imaging.identity import installation_salt
from assistant.imaging.palette import palette_to_rgb
from assistant.imaging.picture import Picture
from assistant.imaging.pixels import Layout, PixelElement, find_pixels, inflate, read_frame, read_layout
from assistant.imaging.reduce import reduce_area, reduction, to_rgb
from assistant.imaging.window import WindowRequest

NOT_PICTURES = {
    "1.2.840.10008.5.1.4.1.1.66.4": "a mask; give the image that it was drawn on",
    "1.2.840.10008.5.1.4.1.1.66.7": "a mask; give the image that it was drawn on",
    "1.2.840.10008.5.1.4.1.1.481.2": "a map of dose; give the image that it was planned on",
}
_HEADER_ROOM = 64 << 20


def read_dicom(
    stream: BinaryIO,
    *,
    frame: int | None,
    window: WindowRequest,
    max_pixels: int,
    max_side: int | None,
    salt: bytes | None,
) -> Picture:
    """Read one frame of a DICOM object.

    Args:
        stream: at its start; a file without preamble is taken if it turns out to hold a real image.
        frame: from 0; None takes (0028,6010) Representative Frame Number, else the first.
        window: see `assistant.imaging.load.load_picture`, already brought to one form.
        max_pixels: the most pixels that one frame may have.
        max_side: see `load_picture`.
        salt: for the keys; this installation's own if None.
    Returns:
        the picture; everything else in the header is left behind.
    Raises:
        ImageError: no image in it, damaged, too large, or a frame or window that it does not have.
    """
    stream, dataset, element = open_dicom(stream, max_pixels)
    whole = Header(dataset)
    if element is None or _kind(whole) in NOT_PICTURES:
        raise ImageError(_why_no_picture(whole))
    layout = read_layout(whole, element, max_pixels)
    index = _choose_frame(whole, layout.frames, frame)
    header = Header(dataset, index)
    modality = tags.modality(header)
    stored = read_frame(stream, whole, element, layout, index)
    factor = reduction(layout.columns, layout.rows, max_side)
    little_endian = dataset.original_encoding[1] is not False
    pixels, cautions = _render(stored, header, layout, window, modality, little_endian, factor)
    spacing = tags.spacing_mm(header)
    if layout.frames > 1:
        cautions.append(f"Frame {index + 1} of {layout.frames} is shown; the other frames were not read.")
    if tags.is_localizer(header):
        cautions.append("This is a localizer (scout view), made for planning and not for diagnosis.")
    cautions += [c for c in (tags.shape_caution(header), tags.text_caution(header)) if c]
    study, patient = tags.identity_keys(header, installation_salt() if salt is None else salt)
    return Picture(
        pixels=to_rgb(pixels),
        source_format="DICOM",
        modality=modality,
        anatomy=tags.anatomy(header),
        view=tags.view(header, modality),
        laterality=tags.laterality(header),
        pixel_spacing_mm=(spacing[0] * factor, spacing[1] * factor) if spacing else None,
        frame=index,
        frames=layout.frames,
        study_key=study,
        patient_key=patient,
        cautions=tuple(cautions),
    )


def stored_frames(stream: BinaryIO, max_pixels: int) -> tuple[Layout, list[np.ndarray]]:
    """Decode all frames of a DICOM object and do nothing else to them.

    Args:
        stream: at its start.
        max_pixels: the most pixels that one frame may have.
    Returns:
        how the pixels lie, and a frame each: (H, W) stored values or (H, W, 3) RGB.
    Raises:
        ImageError: no image in it, damaged or too large.
    """
    stream, dataset, element = open_dicom(stream, max_pixels)
    whole = Header(dataset)
    if element is None:
        raise ImageError(_why_no_picture(whole))
    layout = read_layout(whole, element, max_pixels)
    return layout, [read_frame(stream, whole, element, layout, index) for index in range(layout.frames)]


def open_dicom(stream: BinaryIO, max_pixels: int) -> tuple[BinaryIO, Dataset, PixelElement | None]:
    """Read everything before the pixels, and find where these begin.

    Args:
        stream: of a DICOM object.
        max_pixels: the most pixels that one frame may have.
    Returns:
        a stream to read pixels from, the header, and the pixel element, None if the object has none.
    Raises:
        ImageError: the header cannot be read.
    """
    start = _deflated_from(stream)
    if start is not None:
        stream = inflate(stream, start, max_pixels * 8 + _HEADER_ROOM)
    stream.seek(0)
    try:
        dataset = dcmread(stream, stop_before_pixels=True, force=True)
        syntax = _transfer_syntax(dataset)
    except Exception:  # whatever pydicom finds broken; its message may quote header values, so it stays here
        raise ImageError("the DICOM header cannot be read; the file is damaged. Copy or send it again.") from None
    return stream, dataset, find_pixels(stream, syntax, dataset.original_encoding[1] is not False)


def _deflated_from(stream: BinaryIO) -> int | None:
    """Return where the deflated part of a deflated file begins, None for every other file (PS3.10 7.1)."""
    stream.seek(128)
    head = stream.read(4096)
    deflated = uid.DeflatedExplicitVRLittleEndian.encode()
    if head[:4] != b"DICM" or head[4:8] != b"\x02\x00\x00\x00":
        return None
    length = int.from_bytes(head[12:16], "little")
    return 144 + length if deflated in head[16 : 16 + length] else None


def _transfer_syntax(dataset: FileDataset) -> uid.UID:
    """The syntax that the file states, else the one that its bytes were read by (files without meta header)."""
    stated = dataset.file_meta.get("TransferSyntaxUID") if hasattr(dataset, "file_meta") else None
    if stated:
        return uid.UID(stated)
    implicit, little = dataset.original_encoding
    if implicit:
        return uid.ImplicitVRLittleEndian
    return uid.ExplicitVRLittleEndian if little else uid.ExplicitVRBigEndian


def _kind(header: Header) -> uid.UID:
    """The kind of object: (0008,0016) SOP Class UID, or the meta header's (0002,0002) for a DICOMDIR."""
    meta = Header(getattr(header.dataset, "file_meta", Dataset()))
    return uid.UID(header.text("SOPClassUID") or meta.text("MediaStorageSOPClassUID"))


def _why_no_picture(header: Header) -> str:
    """Say what a report, plan, signal or mask is, or that an image has lost its pixels."""
    sop = _kind(header)
    kind = sop.name if sop.is_valid and sop.name != str(sop) else ""
    if sop in NOT_PICTURES:
        return f"the DICOM object is {kind}, {NOT_PICTURES[sop]}."
    if not kind and not header.text("Modality"):
        return (
            "there is no DICOM image in it (no pixel data, and no kind of object is named). "
            "Give a file that a viewer can show."
        )
    if "Image Storage" in kind or (not kind and header.get("Rows") is not None):
        return (
            f"the DICOM object ({kind or 'an image'}) has no pixel data; it is cut off or only its header was "
            "kept. Copy or send it again."
        )
    return f"the DICOM object is {kind or 'of a kind'}, which holds no picture. Give an image of the study."


def _choose_frame(header: Header, frames: int, frame: int | None) -> int:
    """Check the wanted frame, or choose one: the representative frame (C.7.6.6), else the first."""
    if frame is None:
        representative = header.numbers("RepresentativeFrameNumber")
        return int(representative[0]) - 1 if representative and 1 <= representative[0] <= frames else 0
    if not 0 <= frame < frames:
        choice = f"frames 0 to {frames - 1}" if frames > 1 else "only frame 0"
        raise ImageError(f"frame {frame} was asked for, but the file has {choice}. Choose one of these.")
    return frame


def _render(
    stored: np.ndarray,
    header: Header,
    layout: Layout,
    window: WindowRequest,
    modality: str | None,
    little_endian: bool,
    factor: int,
) -> tuple[np.ndarray, list[str]]:
    """Return uint8 pixels, (H, W) grey or (H, W, 3) RGB, made smaller by `factor`, and cautions."""
    if layout.samples == 1 and layout.photometric != "PALETTE COLOR":
        scale = GreyScale(header, layout, modality, little_endian)
        return scale.render(stored, window, factor)
    if window is not None:
        raise ImageError(f"the window {window!r} was asked for, but the picture is in colour. Leave the window out.")
    if layout.photometric == "PALETTE COLOR":
        return reduce_area(palette_to_rgb(stored, header, layout, little_endian), factor), []
    if layout.stored > 8:
        stored = stored >> (layout.stored - 8)
    return reduce_area(np.clip(stored, 0, 255).astype(np.uint8), factor), []
