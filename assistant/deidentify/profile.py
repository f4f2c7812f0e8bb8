"""What becomes of each attribute: the table of DICOM PS3.15 Annex E and its options.

`profile.csv` holds Table E.1-1, one attribute a line: tag, keyword, action of the basic profile, and the action of
each option that changes it. The basic column is that of edition 2026c, the options are those of 2024d; an attribute
that came later has no option and always gets the basic action, which is the stricter one.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

from pydicom.datadict import dictionary_has_tag, dictionary_VR

from assistant.errors import ConfigError

EDITION = "2026c"
"""Edition of the basic profile in `profile.csv`."""

Action = Literal["keep", "remove", "empty", "dummy", "uid", "clean", "shift", "pseudonym"]
Dates = Literal["shift", "remove", "keep"]

DATES: tuple[Dates, ...] = ("shift", "remove", "keep")
RETAINABLE: dict[str, tuple[str, str]] = {
    "uids": ("113110", "Retain UIDs Option"),
    "device": ("113109", "Retain Device Identity Option"),
    "institution": ("113112", "Retain Institution Identity Option"),
    "patient": ("113108", "Retain Patient Characteristics Option"),
    "descriptors": ("113105", "Clean Descriptors Option"),
    "structured": ("113104", "Clean Structured Content Option"),
}
"""What can be let through, with the option's code of PS3.16 CID 7050."""

TEXT_VRS = frozenset({"LO", "LT", "SH", "ST", "UC", "UR", "UT"})
"""Value representations that hold what somebody typed."""
_TEMPORAL = frozenset({"DA", "DT", "TM"})
_BASIC: dict[str, Action] = {
    "X": "remove",
    "Z": "empty",
    "D": "dummy",
    "U": "uid",
    "X/Z": "empty",
    "X/D": "dummy",
    "Z/D": "dummy",
    "X/Z/D": "dummy",
    "X/Z/U*": "keep",  # a sequence of references: kept, and the UIDs in its items replaced
}
_PSEUDONYMS = frozenset({0x00100010, 0x00100020})  # Patient's Name and Patient ID


@dataclass(frozen=True)
class Rule:
    """One line of the table."""

    keyword: str
    basic: str
    options: dict[str, str]
    """Action by option, "K" or "C"."""


@lru_cache(maxsize=1)
def table() -> dict[int, Rule]:
    """Return the table by tag. The repeating groups 50xx and 60xx are no part of it: they always go."""
    rules = {}
    with Path(__file__).with_name("profile.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            if "XX" not in row["tag"]:
                options = dict(part.split("=") for part in row["options"].split())
                rules[int(row["tag"], 16)] = Rule(row["keyword"], row["basic"], options)
    return rules


@dataclass(frozen=True)
class Profile:
    """The basic profile with the options chosen."""

    retain: tuple[str, ...] = ()
    """Of `RETAINABLE`."""
    dates: Dates = "shift"
    """"shift" moves all dates of a patient by one number of days, "remove" empties them, "keep" leaves them."""
    clean_pixels: bool = True
    """Whether text in the pixels is looked for and blacked out."""

    def __post_init__(self) -> None:
        unknown = [one for one in self.retain if one not in RETAINABLE]
        if unknown:
            raise ConfigError(f"retain has {unknown[0]!r}; use one or more of {', '.join(RETAINABLE)}.")
        if self.dates not in DATES:
            raise ConfigError(f"dates is {self.dates!r}; use one of {', '.join(DATES)}.")

    def action(self, tag: int, vr: str) -> Action:
        """Tell what is to be done with one element.

        Args:
            tag: group and element.
            vr: its value representation as read.
        Returns:
            "clean" means: keep the value less what names somebody.
        """
        group, element = tag >> 16, tag & 0xFFFF
        if group % 2 or group < 0x0008 or element == 0 or group & 0xFF00 in (0x5000, 0x6000):
            return "remove"
        if tag in _PSEUDONYMS:
            return "pseudonym"
        rule = table().get(tag)
        if rule is None:
            return self._unlisted(tag, vr)
        for option in self.retain:
            if option in rule.options:
                return "keep" if rule.options[option] == "K" else "clean"
        if "full_dates" in rule.options and self.dates != "remove":
            return self._temporal()
        if vr == "SQ" and rule.basic in ("X/D", "X/Z/D"):
            return "empty"
        return _BASIC[rule.basic]

    def _unlisted(self, tag: int, vr: str) -> Action:
        """Decide by the value representation; what the data dictionary does not know goes.

        PS3.15 E.3.6 holds for every date and time, named in the table or not.
        """
        if not dictionary_has_tag(tag) or not _is_allowed(vr, dictionary_VR(tag)):
            return "remove"
        if vr in _TEMPORAL:
            return "empty" if self.dates == "remove" else self._temporal()
        if vr in ("PN", "AE", "UN"):
            return "remove"
        if vr == "UI":
            return "keep" if "uids" in self.retain else "uid"
        return "clean" if vr in TEXT_VRS else "keep"

    def _temporal(self) -> Action:
        return "keep" if self.dates == "keep" else "shift"

    def codes(self) -> list[tuple[str, str]]:
        """Return the codes for (0012,0064) De-identification Method Code Sequence (PS3.16 CID 7050)."""
        codes = [("113100", "Basic Application Confidentiality Profile")]
        if self.clean_pixels:
            codes.append(("113101", "Clean Pixel Data Option"))
        codes += [RETAINABLE[option] for option in RETAINABLE if option in self.retain]
        if self.dates == "shift":
            codes.append(("113107", "Retain Longitudinal Temporal Information Modified Dates Option"))
        if self.dates == "keep":
            codes.append(("113106", "Retain Longitudinal Temporal Information Full Dates Option"))
        return codes


def _is_allowed(vr: str, dictionary: str) -> bool:
    """Whether an element has a value representation that its tag may have; any text passes for any other text."""
    return vr in dictionary.split(" or ") or (vr in TEXT_VRS and dictionary in TEXT_VRS)
