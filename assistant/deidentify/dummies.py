"""Values that stand where the standard asks for one and nothing true may stand (action D of PS3.15 E.1)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

WORD = "REMOVED"
_VALUES: dict[str, Any] = {
    "AE": WORD,
    "AS": "000Y",
    "CS": WORD,
    "DA": "19000101",
    "DS": "0",
    "DT": "19000101000000",
    "IS": "0",
    "PN": WORD,
    "TM": "000000",
    "UR": "about:blank",
    "AT": 0,
    **dict.fromkeys(("LO", "LT", "SH", "ST", "UC", "UT"), WORD),
    **dict.fromkeys(("FD", "FL"), 0.0),
    **dict.fromkeys(("SL", "SS", "SV", "UL", "US", "UV"), 0),
    **dict.fromkeys(("OB", "OD", "OF", "OL", "OV", "OW", "UN"), bytes(8)),
}

_VALUE_TYPES = (
    "TEXT NUM CODE DATETIME DATE TIME UIDREF PNAME COMPOSITE IMAGE WAVEFORM SCOORD SCOORD3D TCOORD TABLE CONTAINER"
)
_RELATIONS = "CONTAINS,HAS OBS CONTEXT,HAS CONCEPT MOD,HAS PROPERTIES,HAS ACQ CONTEXT,INFERRED FROM,SELECTED FROM"
STRUCTURE = frozenset([*_VALUE_TYPES.split(), *_RELATIONS.split(","), "SEPARATE", "CONTINUOUS"])
"""Words that hold a structured report together (PS3.3 C.17.3): they name nobody, whatever a patient is called."""


def dummy_value(vr: str) -> Any:
    """Return a value of a representation that means nothing; None for one that is not known."""
    return _VALUES.get(vr)


def dummy_items(items: Iterable[Dataset]) -> list[Dataset]:
    """Return one item with the public elements of the first one and dummies in all of them."""
    first = next(iter(items), None)
    if first is None:
        return []
    made = Dataset()
    for tag in first.keys():  # noqa: SIM118 - iterating a Dataset decodes its elements
        if tag.is_private or tag.element == 0:
            continue
        try:
            element = first[tag]
        except Exception:  # damaged: a dummy item does without it
            continue
        if element.VR == "UI":
            continue
        value = Sequence(dummy_items(element.value or ())) if element.VR == "SQ" else dummy_value(element.VR)
        made.add_new(tag, element.VR, value)
    return [made]


def placeholder_content() -> Dataset:
    """Return a content item that says that the content was taken out (PS3.3 C.17.3)."""
    name = Dataset()
    name.CodeValue, name.CodingSchemeDesignator, name.CodeMeaning = "121106", "DCM", "Comment"
    item = Dataset()
    item.RelationshipType, item.ValueType = "CONTAINS", "TEXT"
    item.ConceptNameCodeSequence = Sequence([name])
    item.TextValue = "Removed by de-identification."
    return item


def empty_document(mime: str) -> bytes:
    """Make a document with nothing in it.

    Args:
        mime: of the document that it replaces.
    Returns:
        a PDF of one blank page for a PDF, a few blanks for all else; of even length.
    """
    if mime.strip(" \0").lower() != "application/pdf":
        return b"    "
    objects = (
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]>>",
    )
    text, places = b"%PDF-1.4\n", []
    for number, body in enumerate(objects, start=1):
        places.append(len(text))
        text += b"%d 0 obj%s endobj\n" % (number, body)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    text += b"xref\n0 4\n0000000000 65535 f \n" + table
    text += b"trailer<</Size 4/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF\n" % text.index(b"xref\n")
    return text + b"\n" * (len(text) % 2)
