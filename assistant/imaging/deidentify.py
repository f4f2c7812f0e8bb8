"""The imaging door's side of de-identification: which elements of a header may be read for a `Picture` at all.

The rules are those of `assistant.deidentify.profile`, so what `deidentify` takes out of a file cannot come in here.
"""

from __future__ import annotations

from functools import lru_cache

from pydicom.datadict import dictionary_VR, tag_for_keyword

from assistant.deidentify.profile import Profile

_STRICTEST = Profile(dates="remove")
_KINDS = frozenset({"SOPClassUID", "MediaStorageSOPClassUID"})  # UIDs of the standard's own, which name nobody


@lru_cache(maxsize=512)
def may_pass(keyword: str) -> bool:
    """Whether the strictest profile leaves an element in a file.

    Args:
        keyword: of the data dictionary, such as BodyPartExamined.
    Returns:
        False for names, numbers, dates, UIDs, descriptions, and keywords that are not in the dictionary.
    """
    tag = tag_for_keyword(keyword)
    if tag is None or keyword in _KINDS:
        return keyword in _KINDS
    return _STRICTEST.action(tag, dictionary_VR(tag).split(" or ")[0]) in ("keep", "clean")
