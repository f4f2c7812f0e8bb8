"""Windows: which band of greys is shown, and how (DICOM PS3.3 C.11.2)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from assistant.errors import ImageError

PRESETS: dict[str, tuple[float, float]] = {
    "brain": (40, 80),
    "subdural": (75, 215),
    "stroke": (40, 40),
    "bone": (400, 1800),
    "lung": (-600, 1500),
    "mediastinum": (50, 350),
    "abdomen": (50, 400),
    "liver": (30, 150),
    "soft tissue": (40, 400),
}
"""Usual CT windows: name to (center, width) in Hounsfield units."""

PERCENTILES = (0.5, 99.5)
"""The share of the greys, in percent, that a window made from the picture itself runs between."""

_SAMPLE = 250_000
_CHUNK = 1 << 16

WindowRequest = tuple[float, float] | str | int | None
"""What a caller may ask for: (center, width), a name, the index of a window in the header, or nothing."""


@dataclass(frozen=True)
class Window:
    """One band of values and the curve that maps it to grey, PS3.3 C.11.2.1."""

    center: float
    """Middle of the band, in modality units (HU for CT)."""
    width: float
    """Size of the band, in the same units."""
    function: str = "LINEAR"
    """(0028,1056) VOI LUT Function: LINEAR, LINEAR_EXACT or SIGMOID."""
    name: str = ""
    """(0028,1055) Window Center & Width Explanation, for choosing by name only."""

    @property
    def usable(self) -> bool:
        """Whether the standard gives this window a meaning (C.11.2.1.2.1 and C.11.2.1.3)."""
        smallest_ok = self.width >= 1 if self.function == "LINEAR" else self.width > 0
        known = self.function in ("LINEAR", "LINEAR_EXACT", "SIGMOID")
        return known and math.isfinite(self.center) and math.isfinite(self.width) and smallest_ok


@dataclass(frozen=True)
class LookupTable:
    """A modality or VOI lookup table, PS3.3 C.11.1.1 and C.11.2.1.1."""

    first: int
    """The input that maps to the first entry; everything below maps there too."""
    entries: np.ndarray
    """Outputs, (N,), unsigned; inputs beyond the last entry map to the last."""
    bits: int
    """Size of an entry in bits, 8 to 16."""
    name: str = ""
    """(0028,3003) LUT Explanation, for choosing by name only."""

    def apply(self, values: np.ndarray) -> np.ndarray:
        """Return the entry of each value.

        Args:
            values: any shape; rounded to whole numbers first.
        Returns:
            float64, same shape, 0 to 2**bits - 1.
        """
        index = np.clip(np.floor(values + 0.5) - self.first, 0, len(self.entries) - 1)
        chosen: np.ndarray = self.entries[index.astype(np.intp)]
        return chosen.astype(np.float64)

    def apply_as_grey(self, values: np.ndarray) -> np.ndarray:
        """Return the entry of each value as 8-bit grey: uint8, same shape, 255 for an entry with all bits set."""
        return _to_uint8(self.apply(values) * (255.0 / (2**self.bits - 1)))


def apply_window(values: np.ndarray, window: Window) -> np.ndarray:
    """Show one band of values as 8-bit grey.

    Args:
        values: any shape, in modality units; apply rescale or modality LUT first.
        window: the band and its curve; must be `usable`.
    Returns:
        uint8, same shape; rounded to the nearest grey.
    Raises:
        ValueError: the window is not usable.

    Source: DICOM PS3.3 C.11.2.1.2.1 (LINEAR), C.11.2.1.3.1 (SIGMOID), C.11.2.1.3.2 (LINEAR_EXACT).
    """
    if not window.usable:
        raise ValueError(f"{window} cannot be applied; LINEAR takes a width of at least 1, the others above 0.")
    x = np.asarray(values, dtype=np.float64)
    if window.function == "SIGMOID":
        exponent = np.clip(-4.0 * (x - window.center) / window.width, -700.0, 700.0)
        return _to_uint8(255.0 / (1.0 + np.exp(exponent)))
    center, width = window.center, window.width
    if window.function == "LINEAR":
        center, width = center - 0.5, width - 1.0
    if width == 0:
        return np.where(x > center, 255, 0).astype(np.uint8)
    return _to_uint8(((x - center) / width + 0.5) * 255.0)


def _to_uint8(grey: np.ndarray) -> np.ndarray:
    """Round half up and clip; NaN becomes 0."""
    rounded: np.ndarray = np.clip(np.floor(grey + 0.5), 0, 255)
    if np.isnan(rounded.sum()):
        rounded = np.nan_to_num(rounded)
    out: np.ndarray = rounded.astype(np.uint8)
    return out


def percentile_window(values: np.ndarray) -> Window:
    """Make a window from the values themselves.

    Args:
        values: the values to look at, any shape, without padding; large arrays are sampled evenly.
    Returns:
        from the 0.5th to the 99.5th percentile, or the whole range where these are equal.
    """
    flat = np.asarray(values).reshape(-1)
    if flat.dtype.kind == "f":
        flat = flat[np.isfinite(flat)]
    if flat.size == 0:
        return Window(0.5, 1.0, "LINEAR_EXACT")
    sample = flat[:: max(1, flat.size // _SAMPLE)]
    low, high = (float(v) for v in np.percentile(sample, PERCENTILES))
    if high <= low:
        low, high = float(flat.min()), float(flat.max())
    if high <= low:
        high = low + 1.0
    return Window((low + high) / 2, high - low, "LINEAR_EXACT")


def stretch_caution(window: Window, why: str) -> str:
    """Say in one sentence that the greys were stretched between two percentiles, and why."""
    low, high = window.center - window.width / 2, window.center + window.width / 2
    return f"{why}: the greys from {low:g} to {high:g} (the middle 99 %) are stretched over black to white."


def lookup(table: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Return `table[codes]`, in pieces that stay in the processor's cache (three times faster on large images).

    Args:
        table: uint8, one entry for every value that the type of `codes` can hold, in the order of the bit patterns.
        codes: 8- or 16-bit integers, any shape, signed or not.
    Returns:
        uint8, the shape of `codes`.
    """
    unsigned = np.ascontiguousarray(codes).view(np.dtype(f"u{codes.dtype.itemsize}")).reshape(-1)
    out = np.empty(unsigned.shape, np.uint8)
    for start in range(0, unsigned.size, _CHUNK):
        piece = slice(start, start + _CHUNK)
        np.take(table, unsigned[piece], out=out[piece], mode="clip")
    return out.reshape(codes.shape)


def parse_request(request: WindowRequest) -> WindowRequest:
    """Bring a request to one form: (center, width) of floats, a header index, a lower-case name, or None.

    Args:
        request: as the caller gave it; "40,400" means (40, 400) and "1" means index 1.
    Returns:
        the request in that form; names are not looked up here.
    Raises:
        ImageError: a width or number that cannot be meant.
    """
    if isinstance(request, str):
        text = " ".join(request.lower().replace("_", " ").split())
        if text.isdecimal():
            return int(text)
        parts = text.split(",")
        if len(parts) != 2:
            return text
        try:
            request = (float(parts[0]), float(parts[1]))
        except ValueError:
            return text
    if request is None or isinstance(request, int):
        return request
    try:
        center, width = (float(number) for number in request)
    except (TypeError, ValueError):
        raise ImageError(f"the window {request!r} is not (center, width); give two numbers, as (40, 400).") from None
    if not (math.isfinite(center) and math.isfinite(width) and width > 0):
        raise ImageError(f"the window (center {center:g}, width {width:g}) shows nothing; give a width above 0.")
    return center, width
