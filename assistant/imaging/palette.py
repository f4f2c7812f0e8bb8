"""PALETTE COLOR images: stored values are places in three colour tables (DICOM PS3.3 C.7.6.3.1.5 and .6)."""

from __future__ import annotations

import numpy as np
from pydicom.pixels.processing import apply_color_lut

from assistant.errors import ImageError
from assistant.imaging.header import Header
from assistant.imaging.pixels import Layout

_CHANNELS = ("Red", "Green", "Blue")
_MEND = "Export it as RGB."


def palette_to_rgb(stored: np.ndarray, header: Header, layout: Layout, little_endian: bool) -> np.ndarray:
    """Look every stored value up in the image's colour tables.

    Args:
        stored: (H, W) integers.
        header: of the image.
        layout: of its pixels.
        little_endian: byte order of the file, for tables with 16-bit entries.
    Returns:
        uint8, (H, W, 3).
    Raises:
        ImageError: the tables are missing or damaged.
    """
    descriptor = [int(v) for v in header.numbers("RedPaletteColorLookupTableDescriptor")]
    if len(descriptor) != 3 or layout.allocated not in (8, 16):
        raise ImageError(f"the palette of the DICOM image is described by {descriptor}, not 3 numbers. {_MEND}")
    entries = descriptor[0] % 65536 or 65536
    first = descriptor[1] - 65536 if layout.signed and descriptor[1] > 32767 else descriptor[1]
    if header.get("RedPaletteColorLookupTableData") is not None:
        tables = [_table(header, channel, entries, little_endian) for channel in _CHANNELS]
    else:
        tables = _segmented(header, entries, first)
    index = np.clip(stored.astype(np.int64) - first, 0, entries - 1)
    return np.stack([table[index] for table in tables], axis=-1)


def _table(header: Header, channel: str, entries: int, little_endian: bool) -> np.ndarray:
    """One channel's table as uint8, (entries,); 16-bit entries keep their upper byte unless only 8 bits are used."""
    data = header.get(f"{channel}PaletteColorLookupTableData")
    if not isinstance(data, bytes) or len(data) < entries:
        size = len(data) if isinstance(data, bytes) else 0
        raise ImageError(f"the {channel.lower()} palette has {size} bytes for {entries} entries. {_MEND}")
    if len(data) < 2 * entries:
        return np.frombuffer(data, np.uint8, entries)
    wide = np.frombuffer(data, "<u2" if little_endian else ">u2", entries)
    return (wide >> 8 if wide.max() > 255 else wide).astype(np.uint8)


def _segmented(header: Header, entries: int, first: int) -> list[np.ndarray]:
    """Segmented tables (C.7.9.2), which pydicom expands."""
    domain = np.arange(first, first + entries, dtype=np.int32)
    try:
        colours = apply_color_lut(domain, header.dataset)
    except Exception:  # missing or damaged in any way
        raise ImageError(f"the colour tables of the DICOM image are missing or damaged. {_MEND}") from None
    if colours.dtype == np.uint16:
        colours = colours >> 8
    return [colours[:, channel].astype(np.uint8) for channel in range(3)]
