"""Stored values of a grey DICOM image to 8-bit grey, by the image's own header or by a chosen window."""

from __future__ import annotations

import numpy as np
from pydicom.dataset import Dataset

from assistant.errors import ImageError
from assistant.imaging.header import Header, is_localizer
from assistant.imaging.pixels import Layout
from assistant.imaging.reduce import mean_blocks, reduce_area
from assistant.imaging.window import (
    PRESETS,
    LookupTable,
    Window,
    WindowRequest,
    apply_window,
    lookup,
    percentile_window,
    stretch_caution,
)

MOST_ERROR = 1.0
"""Greys of 255 by which averaging before windowing may differ in the mean."""
_EACH = 32
_SAMPLE_SIDE = 512


class GreyScale:
    """The way from stored value to shown grey for one frame.

    Source: DICOM PS3.3 C.11.1 (modality LUT), C.11.2 (VOI LUT), C.7.5.1.1.2 (pixel padding).
    """

    def __init__(self, header: Header, layout: Layout, modality: str | None, little_endian: bool) -> None:
        self._header = header
        self._layout = layout
        self._modality = modality
        self._little_endian = little_endian
        tables = self._tables("ModalityLUTSequence")
        self._modality_lut = tables[0] if tables else None
        slope, intercept = (header.numbers(k)[:1] or [d] for k, d in (("RescaleSlope", 1.0), ("RescaleIntercept", 0.0)))
        self._slope, self._intercept = slope[0], intercept[0]
        if not (np.isfinite(self._slope) and np.isfinite(self._intercept) and self._slope != 0):
            raise ImageError(
                f"Rescale Slope {self._slope:g} and Intercept {self._intercept:g} make no values; "
                "the header is damaged. Export or send the image again."
            )

    def render(self, stored: np.ndarray, request: WindowRequest, factor: int = 1) -> tuple[np.ndarray, list[str]]:
        """Show the stored values.

        Args:
            stored: (H, W), integers or floats.
            request: a window in the form that `window.parse_request` gives.
            factor: the picture is made smaller by this. Where it costs little, stored values are averaged and then
                windowed, several times faster than the other way round; see `_show_smaller`.
        Returns:
            uint8 (ceil(H / factor), ceil(W / factor)), 0 for black, and cautions about a window that was assumed.
        Raises:
            ImageError: a window that this image does not have.
        """
        chosen, cautions = self._choose(request, stored)
        small = self._show_smaller(stored, chosen, factor)
        if small is not None and not _flat(small):
            return small, cautions
        grey = self._show(stored, chosen)
        if request is None and _flat(grey) and not _flat(stored):
            chosen = self._stretch(stored)
            cautions = [stretch_caution(chosen, "The usual window leaves this picture black or white")]
            grey = self._show(stored, chosen)
        return reduce_area(grey, factor), cautions

    def modality_values(self, stored: np.ndarray) -> np.ndarray:
        """Return modality values (HU for CT), with the least value where there is no picture: float64, same shape."""
        values = self._values(stored)
        padding = self._padding(stored)
        if padding.any() and not padding.all():
            values[padding] = values[~padding].min()
        return values

    @property
    def in_hounsfield(self) -> bool:
        """Whether modality values are Hounsfield units."""
        return self._in_hounsfield()

    def _stretch(self, stored: np.ndarray) -> Window:
        """The window between two percentiles of what is picture and not padding, from an even sample of it."""
        step = max(1, min(stored.shape) // _SAMPLE_SIDE)
        sample = stored[::step, ::step]
        return percentile_window(self._values(sample[~self._padding(sample)]))

    def _show(self, stored: np.ndarray, chosen: Window | LookupTable) -> np.ndarray:
        """Grey for every pixel: through a table of all possible stored values, or directly above 16 bits."""
        if stored.dtype.kind in "iu" and stored.dtype.itemsize <= 2:
            unsigned = np.dtype(f"u{stored.dtype.itemsize}")
            # Without negative values the table need not go beyond the largest.
            size = int(stored.max()) + 1 if stored.dtype.kind == "u" else 1 << (8 * stored.dtype.itemsize)
            every = np.arange(size, dtype=unsigned).view(stored.dtype)
            return lookup(self._grey(every, chosen), stored)
        return self._grey(stored, chosen)

    def _show_smaller(self, stored: np.ndarray, chosen: Window | LookupTable, factor: int) -> np.ndarray | None:
        """Average first and window then, or None where that could show something else.

        A straight window commutes with averaging but where it clips: there, half of a square may be above white. So
        one in 32 rows of squares is shown both ways, and the mean difference must stay under one grey of 255. Tables
        and curves do not commute, and padding must not be mixed into what lies beside it.
        """
        whole = stored.dtype.kind in "iu" and stored.dtype.itemsize <= 2
        straight = isinstance(chosen, Window) and chosen.function != "SIGMOID" and self._modality_lut is None
        if factor == 1 or not (whole and straight) or self._header.numbers("PixelPaddingValue"):
            return None
        small = self._grey(mean_blocks(stored, factor), chosen)
        rows = range(0, len(stored) // factor, _EACH)
        if not rows:
            return None
        sample = np.concatenate([stored[row * factor : (row + 1) * factor] for row in rows])
        exact = reduce_area(self._show(sample, chosen), factor).astype(np.int16)
        error = np.abs(exact - small[list(rows)]).mean()
        return small if error <= MOST_ERROR else None

    def _grey(self, codes: np.ndarray, chosen: Window | LookupTable) -> np.ndarray:
        values = self._values(codes)
        grey = chosen.apply_as_grey(values) if isinstance(chosen, LookupTable) else apply_window(values, chosen)
        if self._layout.photometric == "MONOCHROME1":
            grey = 255 - grey
        grey[self._padding(codes)] = 0
        return grey

    def _values(self, codes: np.ndarray) -> np.ndarray:
        """Modality values (HU for CT) of stored values, float64."""
        values: np.ndarray = codes.astype(np.float64)
        if self._modality_lut is not None:
            return self._modality_lut.apply(values)
        if (self._slope, self._intercept) != (1.0, 0.0):
            values *= self._slope
            values += self._intercept
        return values

    def _padding(self, codes: np.ndarray) -> np.ndarray:
        """Where there is no picture: (0028,0120) Pixel Padding Value, to (0028,0121) its range limit, and NaN."""
        if codes.dtype.kind == "f":
            return np.asarray(~np.isfinite(codes))
        values = self._header.numbers("PixelPaddingValue")[:1]
        if not values:
            return np.zeros(codes.shape, bool)
        limits = [*values, *self._header.numbers("PixelPaddingRangeLimit")[:1]]
        # The element may have been read with the wrong sign, so it is brought into the range of the pixels.
        span = 1 << (8 * codes.dtype.itemsize)
        top = int(np.iinfo(codes.dtype).max)
        limits = [v - span if v > top else v + span if v < top + 1 - span else v for v in limits]
        inside: np.ndarray = (codes >= min(limits)) & (codes <= max(limits))
        return inside

    def _choose(self, request: WindowRequest, stored: np.ndarray) -> tuple[Window | LookupTable, list[str]]:
        """Turn a request into a window or table, with a caution where it had to be assumed."""
        if isinstance(request, tuple):
            whole = self._layout.allocated < 32 and request[1] >= 1
            return Window(request[0], request[1], "LINEAR" if whole else "LINEAR_EXACT"), []
        if isinstance(request, str):
            return self._by_name(request, stored), []
        offered = self._offered()
        if request is not None:
            if not 0 <= request < len(offered):
                choice = f"0 to {len(offered) - 1}" if offered else "none"
                raise ImageError(
                    f"window {request} was asked for; the header has {choice}. Choose one of these, "
                    f"a preset ({', '.join(PRESETS)}) or (center, width)."
                )
            return offered[request], []
        return (offered[0], []) if offered else self._default(stored)

    def _by_name(self, name: str, stored: np.ndarray) -> Window | LookupTable:
        """A window of the header by its explanation, a preset, or "percentiles"."""
        for window in self._offered():
            if window.name == name:
                return window
        if name == "percentiles":
            return self._stretch(stored)
        if name not in PRESETS:
            raise ImageError(
                f"there is no window named {name!r}. "
                f"Choose one of {', '.join(PRESETS)}, percentiles, or (center, width)."
            )
        if not self._in_hounsfield():
            raise ImageError(
                f"the window {name!r} is in Hounsfield units, but this is not a CT slice in Hounsfield units "
                f"(modality {self._modality or 'not stated'}). Leave the window out, or give (center, width)."
            )
        return Window(*PRESETS[name])

    def _default(self, stored: np.ndarray) -> tuple[Window, list[str]]:
        """The window of an image that brings none: whole range up to 8 bits, HU for CT, else percentiles."""
        why = "The header has no usable window"
        if self._in_hounsfield():
            name = "brain" if self._header.text("BodyPartExamined") in ("HEAD", "BRAIN", "SKULL") else "soft tissue"
            center, width = PRESETS[name]
            return Window(center, width), [
                f"{why}: the {name} window is used (center {center:g}, width {width:g} HU); "
                "lung and bone need windows of their own."
            ]
        plain = self._modality_lut is None and (self._slope, self._intercept) == (1.0, 0.0)
        if plain and self._layout.stored <= 8 and not self._layout.signed:
            full = float(2**self._layout.stored - 1)
            return Window(full / 2, full, "LINEAR_EXACT"), []
        window = self._stretch(stored)
        return window, [stretch_caution(window, why)]

    def _in_hounsfield(self) -> bool:
        """Whether values are HU: a CT slice with a rescale of type HU or of no stated type (PS3.3 C.8.2.1.1.2)."""
        rescaled = self._header.get("RescaleIntercept") is not None and self._modality_lut is None
        unit = self._header.text("RescaleType")
        return self._modality == "CT" and rescaled and unit in ("", "HU") and not is_localizer(self._header)

    def _offered(self) -> list[Window | LookupTable]:
        """The usable VOI tables and windows of the header, in their order; tables first (C.11.2.1)."""
        function = self._header.text("VOILUTFunction") or "LINEAR"
        centers, widths = self._header.numbers("WindowCenter"), self._header.numbers("WindowWidth")
        names = self._header.texts("WindowCenterWidthExplanation")
        names += [""] * (len(centers) - len(names))
        windows = [Window(c, w, function, _plain(n)) for c, w, n in zip(centers, widths, names, strict=False)]
        return [*self._tables("VOILUTSequence"), *(w for w in windows if w.usable)]

    def _tables(self, keyword: str) -> list[LookupTable]:
        """Read the lookup tables of a sequence (PS3.3 C.11.1.1 and C.11.2.1.1)."""
        return [_read_table(item, self._layout.signed, self._little_endian) for item in self._header.items(keyword)]


def _plain(text: str) -> str:
    return " ".join(text.lower().replace("_", " ").split())


def _flat(pixels: np.ndarray) -> bool:
    return bool(pixels.min() == pixels.max())


def _read_table(item: Dataset, signed: bool, little_endian: bool) -> LookupTable:
    """Read (0028,3002) LUT Descriptor and (0028,3006) LUT Data, which may be words, bytes or numbers."""
    header = Header(item)
    described = [int(v) for v in header.numbers("LUTDescriptor")]
    data = header.get("LUTData")
    if len(described) != 3 or not 8 <= described[2] <= 16:
        raise ImageError(f"a lookup table in the DICOM header is described by {described}; export the image again.")
    count, first, bits = described[0] % 65536 or 65536, described[1], described[2]
    if signed and first > 32767:
        first -= 65536
    if isinstance(data, bytes):
        word = ("<u2" if little_endian else ">u2") if len(data) >= 2 * count else "u1"
        entries = np.frombuffer(data, word, len(data) // np.dtype(word).itemsize)
    else:
        entries = np.array(header.numbers("LUTData"), np.int64) % 65536
        if 2 * len(entries) in (count, count + 1) and bits == 8:
            entries = np.frombuffer(entries.astype("<u2").tobytes(), "u1")
    if len(entries) < count:
        raise ImageError(
            f"a lookup table in the DICOM header has {len(entries)} entries instead of {count}; export the image again."
        )
    return LookupTable(first, entries[:count], bits, _plain(header.text("LUTExplanation")))
