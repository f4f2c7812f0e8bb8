"""The kinds of objects that are asked for and offered, and how they may be encoded.

An association has room for 128 presentation contexts (PS3.8 9.3.2.2), so the list is of images only, the ones that
the imaging door can open.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pynetdicom.presentation import PresentationContext

_STORAGE = "1.2.840.10008.5.1.4.1.1."
_ENDINGS = (
    "1 1.1 1.1.1 1.2 1.2.1 1.3 1.3.1 2 2.1 2.2 3.1 4 4.1 4.3 4.4 6.1 6.2 7 7.1 7.2 7.3 7.4 12.1 12.1.1 12.2 12.2.1 "
    "13.1.1 13.1.2 13.1.3 13.1.4 13.1.5 14.1 14.2 20 77.1.1 77.1.1.1 77.1.2 77.1.2.1 77.1.3 77.1.4 77.1.4.1 77.1.5.1 "
    "77.1.5.2 77.1.5.4 77.1.5.5 77.1.5.6 77.1.6 77.1.7 128 128.1 130 481.1"
)
IMAGES: tuple[str, ...] = tuple(_STORAGE + one for one in _ENDINGS.split())
"""SOP classes of images (PS3.4 B.5): CR, DX, MG, CT, US, MR, NM, SC, XA, tomosynthesis, visible light, OCT, PET, …"""
REPORTS: tuple[str, ...] = tuple(_STORAGE + one for one in ("88.11", "88.22", "88.33", "104.1", "7"))
"""What this program stores: structured reports, Encapsulated PDF, Secondary Capture."""
NO_IMAGES = frozenset(
    (
        "SR",
        "DOC",
        "KO",
        "PR",
        "REG",
        "SEG",
        "RTPLAN",
        "RTSTRUCT",
        "RTDOSE",
        "ECG",
        "HD",
        "EPS",
        "AU",
        "PLAN",
        "FID",
        "ANN",
    )
)
"""Modalities whose series are not fetched (PS3.16 CID 29): reports, marks, plans, curves."""

_ROOM = 127
_PLAIN = ("1.2.840.10008.1.2.1", "1.2.840.10008.1.2")
_JPEG = tuple(f"1.2.840.10008.1.2.4.{one}" for one in (50, 51, 57, 70, 80, 81, 90, 91, 201, 202, 203))
SYNTAXES: tuple[str, ...] = (*_PLAIN, *_JPEG, "1.2.840.10008.1.2.5", "1.2.840.10008.1.2.1.99")
"""Uncompressed, the JPEG families, RLE and deflated."""


def image_contexts() -> list[PresentationContext]:
    """Return one presentation context a class of images, each with every encoding that can be read."""
    from pynetdicom import build_context

    return [build_context(one, list(SYNTAXES)) for one in IMAGES]


def asked_contexts(classes: Collection[str]) -> list[PresentationContext]:
    """Return the contexts for a C-GET.

    A context settles one encoding for all of its objects, and an archive cannot always decode what it holds. So where
    the classes are known, each encoding has a context of its own, and every object can come as it is stored.

    Args:
        classes: of the series, as the archive named them; more than a few, or none, leaves the choice to the archive.
    Returns:
        at most 127 contexts.
    """
    from pynetdicom import build_context

    known = sorted(set(classes) & set(IMAGES))
    if not known or len(known) * len(SYNTAXES) > _ROOM:
        return image_contexts()
    return [build_context(one, syntax) for one in known for syntax in SYNTAXES]


def report_contexts() -> list[PresentationContext]:
    """Return the contexts that reports are sent in; they are never compressed."""
    from pynetdicom import build_context

    return [build_context(one, list(_PLAIN)) for one in REPORTS]
