"""The pixels of a data set: text blacked out, hidden parts dropped, everything else equal."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from pydicom import dcmread
from pydicom.dataset import FileDataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import ExplicitVRLittleEndian

from assistant.deidentify.burned import Box, TextFinder
from assistant.deidentify.codestream import cleaned_frame
from assistant.errors import ImageError
from assistant.imaging.dicom import NOT_PICTURES, stored_frames
from assistant.imaging.load import MAX_PIXELS, load_picture
from assistant.imaging.pixels import Layout

_PASSES = 3
_DIFFERENT = 8.0
_TABLES = ("ExtendedOffsetTable", "ExtendedOffsetTableLengths")


@dataclass(frozen=True)
class PixelWork:
    """What was done to the pixels."""

    boxes: int = 0
    """How many places were blacked out, counted once for all frames."""
    rewritten: bool = False
    """Whether compressed pixels became uncompressed ones."""
    checked: bool = False
    """Whether text was looked for."""


def clean_pixels(dataset: FileDataset, source: bytes, needles: Sequence[bytes], finder: TextFinder | None) -> PixelWork:
    """Clean the pixels of a data set in place.

    Args:
        dataset: the object that is to be written; only its pixel elements are touched.
        source: the file it was read from.
        needles: identifiers as bytes; a compressed frame that holds one is decoded and stored plain.
        finder: looks for burned-in text; None leaves the picture as it is.
    Returns:
        what was done.
    Raises:
        ImageError: text is to be looked for, but the picture cannot be decoded, or text is left after all passes.
    """
    if "PixelData" not in dataset:
        return PixelWork()
    encapsulated = dataset.file_meta.TransferSyntaxUID.is_encapsulated
    _drop_hidden(dataset, encapsulated)
    hidden = int(dataset.get("BitsAllocated") or 0) > 1 and _has_overlay_bits(source)
    if finder is None or _is_no_picture(dataset):
        if hidden or (encapsulated and any(needle in dataset.PixelData for needle in needles)):
            layout, frames = stored_frames(io.BytesIO(source), MAX_PIXELS)
            _store(dataset, layout, [_masked(frame, layout) for frame in frames])
            return PixelWork(rewritten=encapsulated)
        return PixelWork()
    layout, frames = stored_frames(io.BytesIO(source), MAX_PIXELS)
    frames = [_masked(frame, layout) if hidden else frame for frame in frames]
    boxes = _find(source, frames, finder)
    if not boxes and not hidden and not (encapsulated and any(needle in dataset.PixelData for needle in needles)):
        return PixelWork(checked=True)
    _black_out(dataset, frames, boxes, finder)
    _store(dataset, layout, frames)
    return PixelWork(len(boxes), encapsulated, True)


def _is_no_picture(dataset: FileDataset) -> bool:
    """Masks and maps of dose are no pictures that anything is burned into."""
    return int(dataset.get("BitsAllocated") or 0) == 1 or str(dataset.get("SOPClassUID")) in NOT_PICTURES


def _drop_hidden(dataset: FileDataset, encapsulated: bool) -> None:
    """Drop what a decoder skips: comments in codestreams, bytes behind the last pixel."""
    if encapsulated:
        count = _count(dataset, "NumberOfFrames")
        try:
            frames = [cleaned_frame(one) for one in generate_frames(dataset.PixelData, number_of_frames=count)]
        except Exception:  # what is wrong is told when it is decoded
            return
        dataset.PixelData = encapsulate(frames)
        dataset["PixelData"].is_undefined_length = True
        for keyword in _TABLES:
            if keyword in dataset:
                delattr(dataset, keyword)
        return
    bits = 1
    for keyword in ("BitsAllocated", "SamplesPerPixel", "Rows", "Columns", "NumberOfFrames"):
        bits *= _count(dataset, keyword)
    length = (bits + 7) // 8
    if length and dataset.get("PhotometricInterpretation") != "YBR_FULL_422" and len(dataset.PixelData) > length:
        dataset.PixelData = dataset.PixelData[:length] + b"\0" * (length % 2)


def _count(dataset: FileDataset, keyword: str) -> int:
    """Return a whole number of the header; 1 frame and 1 sample where it does not say, else 0."""
    try:
        return int(dataset.get(keyword) or (keyword in ("NumberOfFrames", "SamplesPerPixel")))
    except (TypeError, ValueError):
        raise ImageError(f"{keyword} in the DICOM header is not a whole number; the file is damaged.") from None


def _has_overlay_bits(source: bytes) -> bool:
    """Whether an overlay lies in the unused bits of the pixels (PS3.5 8.1.2, retired but met)."""
    dataset = dcmread(io.BytesIO(source), stop_before_pixels=True, force=True)
    groups = {tag.group for tag in dataset.keys() if tag.group & 0xFF00 == 0x6000}  # noqa: SIM118
    return any((group, 0x3000) not in dataset for group in groups)


def _masked(frame: np.ndarray, layout: Layout) -> np.ndarray:
    """Return the stored values with nothing in the bits above them; signed values keep their sign."""
    if frame.dtype.kind not in "iu" or layout.stored >= layout.allocated:
        return frame
    spare = 8 * frame.dtype.itemsize - layout.stored
    masked: np.ndarray = (frame << spare) >> spare
    return masked


def _find(source: bytes, frames: Sequence[np.ndarray], finder: TextFinder) -> list[Box]:
    """Look for text in each frame, as a viewer shows it and stretched over its whole range; equal frames once."""
    boxes: set[Box] = set()
    seen: set[bytes] = set()
    for index, frame in enumerate(frames):
        content = frame.tobytes()
        if content in seen:
            continue
        seen.add(content)
        shown = load_picture(source, frame=index, salt=b"").pixels
        boxes.update(finder.find(shown))
        if frame.ndim == 2 and frame.dtype.itemsize > 1:
            stretched = _stretched(frame)
            if float(np.abs(stretched.astype(int) - shown[:, :, 0]).mean()) > _DIFFERENT:
                boxes.update(finder.find(stretched))
    return sorted(boxes)


def _stretched(frame: np.ndarray) -> np.ndarray:
    values = frame.astype(float)
    low, high = float(values.min()), float(values.max())
    return (255 * (values - low) / ((high - low) or 1.0)).astype(np.uint8)


def _black_out(dataset: FileDataset, frames: list[np.ndarray], boxes: list[Box], finder: TextFinder) -> None:
    """Fill the boxes in every frame, look again at the first frame, and go on until nothing is read there.

    Raises:
        ImageError: text is still read after the last pass.
    """
    fresh = list(boxes)
    for _ in range(_PASSES):
        for number, frame in enumerate(frames):
            frames[number] = filled(frame, fresh, _black(dataset, frame))
        if not boxes:
            return
        fresh = finder.find(frames[0] if frames[0].ndim == 3 and frames[0].itemsize == 1 else _stretched(frames[0]))
        if not fresh:
            return
        boxes += fresh
    raise ImageError("text is still read in the picture after three passes; look at it and cut it by hand.")


def filled(frame: np.ndarray, boxes: Sequence[Box], value: int) -> np.ndarray:
    """Return a copy of a frame, (H, W) or (H, W, 3), with the boxes filled."""
    made = frame.copy()
    for left, top, right, bottom in boxes:
        made[top:bottom, left:right] = value
    return made


def _black(dataset: FileDataset, frame: np.ndarray) -> int:
    """Return the stored value that is shown darkest."""
    kind = str(dataset.get("PhotometricInterpretation"))
    if frame.ndim == 3:
        return 0
    if kind == "PALETTE COLOR":
        return _darkest_entry(dataset)
    return int(frame.max() if kind == "MONOCHROME1" else frame.min())


def _darkest_entry(dataset: FileDataset) -> int:
    from pydicom.pixels.processing import apply_color_lut

    entries = int(dataset.RedPaletteColorLookupTableDescriptor[0] or 65536)
    first = int(dataset.RedPaletteColorLookupTableDescriptor[1])
    colours = apply_color_lut(np.arange(first, first + entries), dataset)
    return first + int(colours.sum(axis=-1).argmin())


def _store(dataset: FileDataset, layout: Layout, frames: Sequence[np.ndarray]) -> None:
    """Write frames uncompressed. Native data keep their syntax, their layout and every byte outside the boxes."""
    if dataset.file_meta.TransferSyntaxUID.is_encapsulated:
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    big = not dataset.file_meta.TransferSyntaxUID.is_little_endian
    array = np.stack(frames)
    if layout.samples == 3:
        dataset.PhotometricInterpretation, dataset.PlanarConfiguration = "RGB", 0
    array = array.astype(array.dtype.newbyteorder(">" if big else "<"))
    data = array.tobytes()
    dataset.PixelData = data + b"\0" * (len(data) % 2)
    dataset["PixelData"].VR = "OW" if layout.allocated > 8 else "OB"
    dataset["PixelData"].is_undefined_length = False
    for keyword in _TABLES:
        if keyword in dataset:
            delattr(dataset, keyword)
