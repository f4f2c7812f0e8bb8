"""Takes names, numbers, dates and addresses out of text: those that a header gave, and those that look like one.

Rules find what has a form. A name that no header holds and no title announces stays in; docs/deidentify.md says so.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

_MONTH = r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.?"
_LABELS = (
    r"patient(?:'s)?(?:[ _]?(?:name|id|number|no))?|name|surname|first name|last name|date of birth|birth ?date|dob|"
    r"d\.o\.b\.?|mrn|medical record(?: number| no)?|accession(?: number| no)?|ssn|address|street|phone|telephone|tel|"
    r"mobile|fax|e-?mail|physician|referring(?: physician| doctor)?|requesting physician|reported by|dictated by|"
    r"signed by|electronically signed by|verified by|attending|radiologist|technologist|operator|hospital|institution"
)
_CAPITALISED = r"[A-Z][\w'’-]+"
_PATTERNS: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("[removed]", re.compile(rf"(?im)^([ \t>*#-]*(?:{_LABELS})[ \t*]*[:=#])[^\n]+")),
    ("[email]", re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")),
    ("[address]", re.compile(r"(?:https?|ftp)://\S+|\bwww\.\S+")),
    (
        "[number]",
        re.compile(r"(?i)\b(?:mrn|ssn|patient id|acc(?:ession)?(?: no| number)?|case no)\b[ .:#]*[\w-]*\d[\w-]*"),
    ),
    ("[name]", re.compile(rf"\b(?:Dr|Drs|Mr|Mrs|Ms|Miss|Prof|Professor|Doctor)\b\.?(?:[ ]+{_CAPITALISED}){{1,3}}")),
    ("[name]", re.compile(rf"\b{_CAPITALISED}(?:[ ]+{_CAPITALISED})*,?[ ]+(?:M\.?D\.?|D\.?O\.?|FRCR|RT\(R\))(?!\w)")),
    ("[date]", re.compile(r"\b(?:19|20)\d{2}[-./](?:0?[1-9]|1[0-2])[-./](?:3[01]|[12]\d|0?[1-9])\b")),
    ("[date]", re.compile(r"\b(?:3[01]|[12]\d|0?[1-9])[-./](?:3[01]|[12]\d|0?[1-9])[-./](?:19|20)?\d{2}\b")),
    ("[date]", re.compile(rf"(?i)\b\d{{1,2}}(?:st|nd|rd|th)?(?: of)?[ -]{_MONTH}[ -,]*(?:\d{{4}}|'?\d{{2}})?\b")),
    ("[date]", re.compile(rf"(?i)\b{_MONTH} \d{{1,2}}(?:st|nd|rd|th)?,? (?:19|20)\d{{2}}\b")),
    ("[date]", re.compile(r"(?<!\d)(?:19|20)\d{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])(?!\d)")),
    ("[number]", re.compile(r"\b\d{3}-\d{2}-\d{4}\b")),
    (
        "[phone]",
        re.compile(r"(?<![\w.])(?:\+\d{1,3}[ ./-]?)?(?:\(\d{1,5}\)[ ./-]?)?\d{2,5}(?:[ /-]\d{2,8}){1,4}(?!\w|\.\d)"),
    ),
    ("[address]", re.compile(r"(?i)\b\d{1,5} (?:[a-z]+ ){1,3}(?:street|st|avenue|ave|road|rd|lane|drive|blvd)\b\.?")),
    ("[number]", re.compile(r"(?<![\w.])(?=[A-Z-]*\d)[A-Z]{0,5}-?\d{6,}(?!\w|\.\d)")),
    ("90+", re.compile(r"\b(?:9\d|1[0-2]\d)(?=(?:[ -]year|[ ]?y/?o\b))")),
)
_PHONE_DIGITS = 7
REMOVED = "[removed]"


class Scrubber:
    """Scrubs text with the identifiers of one patient, or of a whole run, and with patterns.

    Args:
        identifiers: exact words and numbers, from headers.
    """

    def __init__(self, identifiers: Iterable[str] = ()) -> None:
        words = sorted({one for one in identifiers if one}, key=len, reverse=True)
        self._known = re.compile("|".join(_bounded(one) for one in words), re.IGNORECASE) if words else None

    def scrub(self, text: str) -> tuple[str, int]:
        """Take out what names somebody.

        Args:
            text: any.
        Returns:
            the text with a word in brackets where something stood, and how many places that were.
        """
        found = 0
        if self._known:
            text, found = self._known.subn(REMOVED, text)
        for mark, pattern in _PATTERNS:
            replaced = 0

            def put(match: re.Match[str], mark: str = mark) -> str:
                nonlocal replaced
                if mark == "[phone]" and sum(c.isdigit() for c in match[0]) < _PHONE_DIGITS:
                    return match[0]  # two numbers with a sign between, such as 12-15
                replaced += 1
                return f"{match[1]} {mark}" if match.re.groups else mark

            text = pattern.sub(put, text)
            found += replaced
        return text, found

    def names(self, text: str) -> bool:
        """Whether a text holds one of the known identifiers."""
        return bool(self._known and self._known.search(text))


def _bounded(word: str) -> str:
    """Match a word as a whole; letters of scripts without blanks between words need no bounds."""
    left = r"(?<![A-Za-z0-9])" if word[0].isascii() and word[0].isalnum() else ""
    right = r"(?![A-Za-z0-9])" if word[-1].isascii() and word[-1].isalnum() else ""
    return left + re.escape(word) + right
