"""What a DICOM header answers by itself: which kind of image this is. A file's own word goes before a model's guess."""

from __future__ import annotations

import re
from collections.abc import Sequence

from assistant.imaging.picture import Picture
from assistant.plain import plain
from assistant.vocabulary import canonical_modality

_KIND = frozenset({"kind", "type", "sort"})
_IMAGE = frozenset({"image", "images", "scan", "picture", "study", "exam", "examination", "imaging"})
_METHOD = frozenset({"modality", "technique", "method"})
_AROUND = frozenset(
    re.findall(
        r"\w+",
        "a what which how is was are were this that these the it an used using to take taken make made obtain "
        "obtained acquire acquired capture captured produce produced get shown seen here of for in by with do "
        "we see have please tell me",
    )
)
_IS_IT = re.compile(
    r"(?:is|was|are)\s+(?:this|it|these|the)\s*(?:image|scan|picture|study|images)?\s+"
    r"(?:(?:taken|made|obtained|acquired)\s+)?(?:(?:by|with|using|from)\s+)?(?:an?\s+)?"
    r"(?P<name>[\w\s-]+?)(?:\s+(?:image|scan|picture|study))?",
    re.IGNORECASE,
)


def header_modality(pictures: Sequence[Picture]) -> str | None:
    """Return the modality that the headers of all pictures name; None if one names none or they differ."""
    named = {picture.modality for picture in pictures}
    return named.pop() if len(named) == 1 else None


def answer_from_header(text: str, options: Sequence[str], pictures: Sequence[Picture]) -> str | None:
    """Answer a question that asks for the kind of image and nothing else.

    Args:
        text: the question.
        options: answers to choose from, if any.
        pictures: as they were loaded.
    Returns:
        The modality, one of the options, Yes or No; None where the header does not tell, or more is asked.
    """
    modality = header_modality(pictures)
    if modality is None:
        return None
    asked = plain(text).rstrip("?. ")
    if _asks_kind(asked):
        return modality if not options else _option(options, modality)
    match = _IS_IT.fullmatch(asked)
    named = canonical_modality(match["name"]) if match else None
    if named is not None and (not options or {one.lower() for one in options} == {"yes", "no"}):
        return "Yes" if named == modality else "No"
    # "Is this a CT or an MRI?": the alternatives are all kinds of images.
    if match and options and all(canonical_modality(one) for one in options):
        return _option(options, modality)
    return None


def _asks_kind(asked: str) -> bool:
    words = set(re.findall(r"\w+", asked.lower()))
    if words - _AROUND - _KIND - _IMAGE - _METHOD:
        return False
    how_made = "how" in words and bool(words & {"taken", "made", "obtained", "acquired", "captured", "produced"})
    return bool(words & _METHOD) or bool(words & _KIND and words & _IMAGE) or how_made


def _option(options: Sequence[str], modality: str) -> str | None:
    return next((one for one in options if canonical_modality(one) == modality), None)
