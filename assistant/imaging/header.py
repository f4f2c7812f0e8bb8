"""What a DICOM header tells about a picture, in this project's own words; free text never passes through.

Every answer is either one of our own names or a number, so nothing that a person typed into a header
(names, remarks, descriptions) can reach a `Picture`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence
from pydicom.tag import BaseTag

from assistant.errors import ImageError
from assistant.imaging.deidentify import may_pass
from assistant.imaging.identity import key
from assistant.imaging.terms import BODY_PARTS, VIEW_CODES, VIEWS
from assistant.vocabulary import canonical_modality

_CROSS_SECTIONS = ("CT", "MRI", "Nuclear medicine", "OCT")
_OBLIQUE_BELOW = 0.8
"""A plane is named only if its normal lies within about 37 degrees of an axis of the body."""

_TEXT_LIKELY = ("US", "IVUS", "ES", "XC", "OT", "SC", "GM", "OP", "DOC")
_SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"


class Header:
    """A header as one frame sees it: its own functional groups first, then the shared ones, then the rest.

    Source: DICOM PS3.3 C.7.6.16 (multi-frame functional groups).
    """

    def __init__(self, dataset: Dataset, frame: int = 0) -> None:
        self.dataset = dataset
        self._layers = [*_groups(dataset, "PerFrameFunctionalGroupsSequence", frame)]
        self._layers += [*_groups(dataset, "SharedFunctionalGroupsSequence", 0), dataset]

    def get(self, keyword: str) -> Any:
        """Return the element's value.

        Args:
            keyword: of the data dictionary.
        Returns:
            the value, or None if it is absent, empty, or cannot be read.
        Raises:
            ValueError: the element is one that de-identification takes out (PS3.15 Annex E); a fault of the caller.
        """
        if not may_pass(keyword):
            raise ValueError(f"{keyword} may name somebody, so it is not read from a header.")
        return self._first(keyword)

    def identifier(self, keyword: str) -> str:
        """Return an identifier or date, "" if there is none, for a one-way key or an order in memory alone."""
        return str(self._first(keyword) or "")

    def _first(self, keyword: str) -> Any:
        """Return the value of the innermost layer that has one."""
        for layer in self._layers:
            value = _value(layer, keyword)
            if value is not None and value != "" and (not hasattr(value, "__len__") or len(value)):
                return value
        return None

    def texts(self, keyword: str) -> list[str]:
        """Return all values as text without blanks at their ends."""
        value = self.get(keyword)
        if value is None:
            return []
        return [str(v).strip(" \0") for v in (value if isinstance(value, MultiValue) else [value])]

    def text(self, keyword: str) -> str:
        """Return the first value as upper-case text, "" if there is none."""
        return (self.texts(keyword) or [""])[0].upper()

    def items(self, keyword: str) -> list[Dataset]:
        """Return the items of a sequence, none if the element is absent or no sequence."""
        value = self.get(keyword)
        return list(value) if isinstance(value, Sequence) else []

    def numbers(self, keyword: str) -> list[float]:
        """Return all values as numbers, none at all if one of them is no number."""
        value = self.get(keyword)
        if value is None:
            return []
        many = value if hasattr(value, "__len__") and not isinstance(value, (str, bytes)) else [value]
        try:
            return [float(v) for v in many]
        except (TypeError, ValueError):
            return []

    def count(self, keyword: str, default: int | None = None) -> int:
        """Return a whole number that the picture cannot do without.

        Args:
            keyword: an element with one whole number, such as Rows.
            default: the value when the element is absent or empty; None if it must be there.
        Returns:
            the number, or the default.
        Raises:
            ImageError: it is absent without a default, or no whole number.
        """
        numbers = self.numbers(keyword)
        if not numbers and default is not None and not _present(self.dataset, keyword):
            return default
        if not numbers or numbers[0] != int(numbers[0]):
            seen = "missing" if not _present(self.dataset, keyword) else "not a whole number"
            raise ImageError(f"{keyword} in the DICOM header is {seen}; the file is damaged. Export or send it again.")
        return int(numbers[0])


def _value(dataset: Dataset, keyword: str | BaseTag) -> Any:
    try:
        return dataset.get(keyword)
    except Exception:  # pydicom decodes on access, and a damaged element may fail in any way; it counts as absent
        return None


def _present(dataset: Dataset, keyword: str) -> bool:
    try:
        return keyword in dataset and not dataset[keyword].is_empty
    except Exception:  # there, but damaged
        return True


def _groups(dataset: Dataset, keyword: str, index: int) -> Iterator[Dataset]:
    """Yield the first item of each functional group macro of one frame."""
    items = _value(dataset, keyword)
    if not isinstance(items, Sequence) or not 0 <= index < len(items):
        return
    for tag in list(items[index].keys()):
        macro = _value(items[index], tag)
        if isinstance(getattr(macro, "value", None), Sequence) and macro.value:
            yield macro.value[0]


def modality(header: Header) -> str | None:
    """Return a name of `vocabulary.MODALITIES` from (0008,0060) Modality, or None.

    A computed radiograph of a breast, or in a view that only mammograms have, is Mammography.
    """
    name = canonical_modality(header.text("Modality"))
    if name == "X-ray" and (anatomy(header) == "breast" or view(header, name) in ("CC", "MLO")):
        return "Mammography"
    return name


def anatomy(header: Header) -> str | None:
    """Return the body part in lower case from (0018,0015) or (0008,2218), or None.

    Source: DICOM PS3.16 Annex L (body parts); PS3.3 C.7.6.16.2.8 (frame anatomy).
    """
    candidates = [header.text("BodyPartExamined")]
    candidates += [Header(item).text("CodeMeaning") for item in header.items("AnatomicRegionSequence")]
    for text in candidates:
        found = BODY_PARTS.get("".join(c for c in text if c.isalpha()))
        if found:
            return found
    return None


def view(header: Header, modality_name: str | None) -> str | None:
    """Tell the projection or the plane.

    Args:
        header: of the frame that is shown.
        modality_name: planes are told for CT, MRI, nuclear medicine and OCT, projections for the others.
    Returns:
        "PA", "lateral", "CC", …, or "axial", "coronal", "sagittal", "oblique"; None if the header does not tell.

    Source: DICOM PS3.3 C.8.11.1 (View Position), C.8.11.7 (View Code), C.7.6.2.1.1 (Image Orientation).
    """
    if modality_name in _CROSS_SECTIONS:
        return None if is_localizer(header) else plane(header.numbers("ImageOrientationPatient"))
    position = "".join(c for c in header.text("ViewPosition") if c.isalpha())
    if position in VIEWS:
        return VIEWS[position]
    codes = [Header(item).text("CodeValue") for item in header.items("ViewCodeSequence")]
    return VIEW_CODES.get(codes[0]) if codes else None


def plane(orientation: list[float]) -> str | None:
    """Return "axial", "coronal", "sagittal" or "oblique" from row and column direction cosines.

    Args:
        orientation: the 6 values of (0020,0037) Image Orientation (Patient).
    Returns:
        the plane, or None when the values are no two perpendicular unit vectors.

    Source: DICOM PS3.3 C.7.6.2.1.1: x runs to the left hand, y to the back, z to the head.
    """
    if len(orientation) != 6 or not np.all(np.isfinite(orientation)):
        return None
    row, column = np.array(orientation[:3]), np.array(orientation[3:])
    normal = np.cross(row, column)
    if abs(float(np.linalg.norm(row)) - 1) > 0.1 or abs(float(np.linalg.norm(normal)) - 1) > 0.1:
        return None
    axis = int(np.argmax(np.abs(normal)))
    return ("sagittal", "coronal", "axial")[axis] if abs(normal[axis]) >= _OBLIQUE_BELOW else "oblique"


def is_localizer(header: Header) -> bool:
    """Whether this is a scout view: value 3 of (0008,0008) Image Type is LOCALIZER (PS3.3 C.8.2.1.1.1)."""
    return "LOCALIZER" in [kind.upper() for kind in header.texts("ImageType")]


def laterality(header: Header) -> str | None:
    """Return "left" or "right" from (0020,9072), (0020,0062) or (0020,0060); None for both sides or neither."""
    for keyword in ("FrameLaterality", "ImageLaterality", "Laterality"):
        side = {"L": "left", "R": "right"}.get(header.text(keyword))
        if side:
            return side
    return None


def spacing_mm(header: Header) -> tuple[float, float] | None:
    """Return row and column spacing in mm, or None.

    (0028,0030) Pixel Spacing is taken first, then (0018,1164) Imager Pixel Spacing, divided by (0018,1114)
    where the magnification is known, then (0018,2010) Nominal Scanned Pixel Spacing of a digitised film.

    Source: DICOM PS3.3 10.7.1.1 and 10.7.1.3.
    """
    for keyword in ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing"):
        pair = header.numbers(keyword)
        if len(pair) != 2 or not all(math.isfinite(v) and v > 0 for v in pair):
            continue
        magnification = header.numbers("EstimatedRadiographicMagnificationFactor")
        if keyword == "ImagerPixelSpacing" and magnification and magnification[0] >= 1:
            pair = [v / magnification[0] for v in pair]
        return pair[0], pair[1]
    return None


def identity_keys(header: Header, salt: bytes) -> tuple[str | None, str | None]:
    """Make the keys that group files of one study and of one patient.

    Args:
        header: any header of the study.
        salt: see `identity.installation_salt`.
    Returns:
        the study's and the patient's key; None where the header holds no identifier.
    """
    study = key(salt, "study", header.identifier("StudyInstanceUID"))
    issuer, patient = (header.identifier(k) for k in ("IssuerOfPatientID", "PatientID"))
    return study, key(salt, "patient", issuer, patient)


def text_caution(header: Header) -> str | None:
    """Return a caution about text burned into the pixels, from (0028,0301) or the kind of picture, or None.

    Source: DICOM PS3.3 C.7.6.1 (Burned In Annotation).
    """
    burned = header.text("BurnedInAnnotation")
    if burned == "YES":
        return "The header says that text is burned into this picture; it may name the patient."
    if burned == "NO":
        return None
    captured = header.text("SOPClassUID").startswith(_SECONDARY_CAPTURE) or header.text("ConversionType") in (
        "DF",
        "SD",
        "SI",
        "WSD",
    )
    if captured or header.text("Modality") in _TEXT_LIKELY:
        return "Pictures of this kind often have text burned in, and it may name the patient; the header does not say."
    return None


def shape_caution(header: Header) -> str | None:
    """Return a caution when pixels are not square, from (0028,0034) or the spacing; None if they are."""
    ratio = header.numbers("PixelAspectRatio") or list(spacing_mm(header) or ())
    if len(ratio) != 2 or min(ratio) <= 0 or 0.95 <= ratio[0] / ratio[1] <= 1.05:
        return None
    return f"Pixels are {ratio[0] / ratio[1]:.2f} times as high as wide; shapes look squeezed."
