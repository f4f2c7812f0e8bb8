"""Applies a profile to one data set, nested sequences included, and notes what it did without any value."""

from __future__ import annotations

import re
from collections.abc import Sequence as SequenceType
from dataclasses import dataclass
from typing import Any

from pydicom.datadict import keyword_for_tag
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence
from pydicom.tag import BaseTag

from assistant import __version__
from assistant.deidentify.dummies import STRUCTURE, dummy_items, dummy_value, empty_document, placeholder_content
from assistant.deidentify.identifiers import as_bytes, elements, find_identifiers
from assistant.deidentify.profile import EDITION, TEXT_VRS, Action, Profile
from assistant.deidentify.pseudonyms import Pseudonyms, shifted
from assistant.deidentify.scrub import Scrubber

_PIXELS = frozenset({0x7FE00008, 0x7FE00009, 0x7FE00010})
_OLDEST = 89
_METHOD = (f"medassist {__version__}", f"DICOM PS3.15 {EDITION} Annex E")
_TEMPORAL = {"shift": "MODIFIED", "remove": "REMOVED", "keep": "UNMODIFIED"}
_BINARY = frozenset({"OB", "OD", "OF", "OL", "OV", "OW"})


@dataclass(frozen=True)
class Change:
    """One thing that was done. It never holds a value."""

    tag: str
    keyword: str
    vr: str
    where: str
    """The sequences around it, outermost first."""
    action: str


class Deidentifier:
    """Applies one profile with one set of pseudonyms to any number of data sets.

    Args:
        profile: the options.
        pseudonyms: of the run.
    """

    def __init__(self, profile: Profile, pseudonyms: Pseudonyms) -> None:
        self.profile = profile
        self.pseudonyms = pseudonyms

    def apply(self, dataset: Dataset, scrubber: Scrubber | None = None) -> list[Change]:
        """De-identify a data set in place; its pixels are left to `pixels`, its meta header to `files`.

        Args:
            dataset: any object of the standard.
            scrubber: knows further identifiers, of the whole run; one of this data set's own if None.
        Returns:
            what was done, in the order of the elements.
        """
        identifiers = find_identifiers(dataset, "institution" in self.profile.retain)
        patient = _patient(dataset)
        work = _Pass(self.profile, self.pseudonyms, scrubber or Scrubber(identifiers), as_bytes(identifiers), patient)
        work.walk(dataset, ())
        self._mark(dataset)
        return work.changes

    def _mark(self, dataset: Dataset) -> None:
        """Say in the data set what was done to it (PS3.15 E.1.1, PS3.3 C.7.1.1, C.12.1)."""
        dataset.PatientIdentityRemoved = "YES"
        dataset.DeidentificationMethod = list(_METHOD)
        items = []
        for code, meaning in self.profile.codes():
            item = Dataset()
            item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = code, "DCM", meaning[:64]
            items.append(item)
        dataset.DeidentificationMethodCodeSequence = Sequence(items)
        dataset.LongitudinalTemporalInformationModified = _TEMPORAL[self.profile.dates]


def own_words(profile: Profile) -> frozenset[str]:
    """Return all values that this package itself writes: they name nobody, whatever a patient is called."""
    codes = {text for pair in profile.codes() for text in (pair[0], pair[1][:64])}
    words = {str(dummy_value(vr)) for vr in ("CS", "DA", "DS", "DT", "TM", "UR", "AS")}
    words |= {str(item.value) for item in elements(placeholder_content())}
    return STRUCTURE | frozenset(
        codes | words | set(_TEMPORAL.values()) | {"YES", "NO", "DCM", str(MultiValue(str, _METHOD))}
    )


def _patient(dataset: Dataset) -> str:
    """Return what tells this patient from others: number and issuer, else name, else the study."""
    for keywords in (("PatientID", "IssuerOfPatientID"), ("PatientName",), ("StudyInstanceUID",)):
        try:
            values = [str(dataset.get(keyword) or "").strip(" \0^") for keyword in keywords]
        except Exception:  # damaged: the next one tells
            continue
        if values[0]:
            return "\0".join([keywords[0], *values])
    return "unknown"


@dataclass
class _Pass:
    """One walk over one data set."""

    profile: Profile
    pseudonyms: Pseudonyms
    scrubber: Scrubber
    needles: list[bytes]
    patient: str

    def __post_init__(self) -> None:
        self.changes: list[Change] = []

    def walk(self, dataset: Dataset, where: tuple[str, ...]) -> None:
        """Treat every element of one level, then the levels below."""
        for tag in list(dataset.keys()):
            try:
                element = dataset[tag]
            except Exception:  # it cannot be decoded, so nobody can say what is in it
                del dataset[tag]
                self._note(tag, "UN", where, "removed: unreadable")
                continue
            if tag in _PIXELS and not where:
                continue
            action = self.profile.action(tag, element.VR)
            done = self._one(dataset, element, action, where)
            if done:
                self._note(tag, element.VR, where, done)

    def _note(self, tag: BaseTag, vr: str, where: tuple[str, ...], done: str) -> None:
        keyword = "" if tag.is_private else keyword_for_tag(tag)
        self.changes.append(Change(f"({tag.group:04X},{tag.element:04X})", keyword, vr, "/".join(where), done))

    def _one(self, dataset: Dataset, element: DataElement, action: Action, where: tuple[str, ...]) -> str:
        """Do one action; return what was done in a word, "" if the value stands as it was."""
        if action == "remove":
            del dataset[element.tag]
            return "removed"
        if action == "dummy":
            return self._dummy(dataset, element)
        if element.VR == "SQ":
            if action == "empty":
                element.value = Sequence()
                return "emptied"
            name = element.keyword or f"{element.tag:08X}"
            for number, item in enumerate(element.value or ()):
                self.walk(item, (*where, f"{name}[{number}]"))
            return ""
        if action == "empty":
            element.value = None
            return "emptied"
        if action == "pseudonym":
            element.value = self.pseudonyms.patient(self.patient)
            return "replaced by pseudonym"
        if action == "uid":
            return self._each(element, self.pseudonyms.uid, "replaced by new UID")
        if action == "shift":
            if element.VR == "TM":
                return ""
            days = self.pseudonyms.days(self.patient)
            return self._each(element, lambda value: shifted(value, days), "shifted")
        return self._screen(dataset, element, clean=action == "clean" or element.VR in TEXT_VRS)

    def _each(self, element: DataElement, change: Any, word: str) -> str:
        """Change each value of an element that holds strings."""
        value = element.value
        if value is None or value == "":
            return ""
        many = isinstance(value, MultiValue | list)
        new = [change(str(one)) for one in (value if many else [value])]
        if new == [str(one) for one in (value if many else [value])]:
            return ""
        element.value = new if many else new[0]
        return word

    def _dummy(self, dataset: Dataset, element: DataElement) -> str:
        if element.keyword == "EncapsulatedDocument":
            element.value = empty_document(str(dataset.get("MIMETypeOfEncapsulatedDocument") or ""))
            dataset.EncapsulatedDocumentLength = len(element.value)
        elif element.keyword == "ContentSequence":
            element.value = Sequence([placeholder_content()])
        elif element.VR == "SQ":
            element.value = Sequence(dummy_items(element.value or ()))
        elif element.VR == "UI":
            return self._each(element, self.pseudonyms.uid, "replaced by new UID")
        else:
            element.value = dummy_value(element.VR)
        return "replaced by dummy"

    def _screen(self, dataset: Dataset, element: DataElement, clean: bool) -> str:
        """Let a value stay unless a known identifier is in it; text is scrubbed by pattern too."""
        value = element.value
        if value is None or value == "":
            return ""
        if element.VR in _BINARY or isinstance(value, bytes):
            if isinstance(value, bytes) and any(needle in value for needle in self.needles):
                del dataset[element.tag]
                return "removed: holds an identifier"
            return ""
        if element.VR == "AS" and (found := re.fullmatch(r"(\d{3})Y", str(value))) and int(found[1]) > _OLDEST:
            element.value = "090Y"
            return "capped"
        if clean and element.VR in TEXT_VRS:
            return self._each(element, lambda text: self._scrubbed(element, text), "cleaned")
        many: SequenceType[Any] = value if isinstance(value, MultiValue | list) else [value]
        if any(str(one) not in STRUCTURE and self.scrubber.names(str(one)) for one in many):
            element.value = None
            return "emptied: holds an identifier"
        return ""

    def _scrubbed(self, element: DataElement, text: str) -> str:
        """Scrub one value, and keep it within what a short string may hold (PS3.5 6.2)."""
        new = self.scrubber.scrub(text)[0]
        return new[: {"SH": 16, "LO": 64}.get(element.VR, len(new))]
