"""What a question asks for, and how an answer of that kind is worded: a look, a cause, a number, what is alike.

Headings name kinds as questions do: "Pitfalls", "Treatment", "What causes it?".
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from assistant.words import plain


@dataclass(frozen=True)
class Kind:
    """A kind of question, and how a sentence that answers it is worded."""

    name: str
    asked: re.Pattern[str]
    answered: re.Pattern[str]


def make_kind(name: str, asked: str, answered: str) -> Kind:
    """Return a kind from two patterns of plain words: of the question, and of sentences that answer it."""
    return Kind(name, re.compile(asked), re.compile(answered))


KINDS: tuple[Kind, ...] = (
    make_kind(
        "pitfall",
        r"\b(pitfalls?|mimics?|imitat\w+|mistak\w+|confus\w+|miss(?:ed)?|false|overlook\w*|wrong\w*|fool\w*)\b",
        r"\b(imitat\w+|mimic\w*|mistak\w+|confus\w+|resembl\w+|miss(?:ed)?|hid\w*|false|simulat\w+|pitfalls?|invisible)\b",
    ),
    make_kind(
        "differential",
        r"\b(differential|distinguish\w*|differ\w*|tell .+ from|what else|other causes?|versus|vs)\b",
        r"\b(differential|other|rather|whereas|while|unlike|may be|include\w*|distinguish\w*|instead|told from)\b",
    ),
    make_kind(
        "number",
        r"\b(how (?:many|much|large|big|long|wide|high|often|tall)|size|ratio|diameter|normal (?:value|range))\b",
        r"\d|\b(half|third|quarter|percent|two|three|four|five|ten|double|twice)\b",
    ),
    make_kind(
        "place",
        r"^where\b|\b(location|located|which (?:side|lobe|part))\b",
        r"\b(in|at|between|under|above|below|along|near)\b",
    ),
    make_kind(
        "cause",
        r"\b(why|causes?|caused|due to|leads? to|reasons?|results? from|aetiology|etiology)\b",
        r"\b(caus\w+|due to|because|result\w*|aris\w+|owing|leads?|from|after|by)\b",
    ),
    make_kind(
        "treatment",
        r"\b(treat\w*|manag\w+|therap\w+|drain\w*|cure\w*)\b",
        r"\b(treat\w*|manag\w+|therap\w+|drain\w*|surg\w+|drugs?|antibiotics?)\b",
    ),
    make_kind(
        "appearance",
        r"\b(looks?|appear\w*|seen|show\w*|signs?|features?|recogni[sz]e\w*|visible|bright|dark|shape|colou?r|tell)\b",
        r"\b(appears?|seen|shows?|looks?|visible|bright|dark|dense|density|white|black|grey|gray|opa\w+|lucen\w+|lines?|"
        r"shadow\w*|blunt\w*|signs?|margins?|shape\w*|hyper\w+|hypo\w+|an?echo\w*|round|oval|sharp|thin|thick)\b",
    ),
    make_kind(
        "definition",
        r"^(?:what (?:is|are)|define)\b|\b(mean(?:s|ing)?|definition)\b",
        r"\b(?:is|are) (?:an?|the|air|fluid|blood|any|when|\w+ing)\b|\b(means?|refers? to|called|defined|known as)\b",
    ),
)
"""Every kind that is known; a question may be of several."""
ABOUT_LIKENESS = frozenset({"pitfall", "differential"})
"""Kinds that open like others: "What are the pitfalls" is worded as a definition and asks for none."""


def kinds_of(text: str) -> tuple[Kind, ...]:
    """Return the kinds that a question or a heading is of; none if it shows no known form."""
    said = plain(text).strip()
    return tuple(kind for kind in KINDS if kind.asked.search(said))


def kinds_of_finding(text: str) -> tuple[Kind, ...]:
    """Return the kinds that a question on a finding is of; those of likeness stand alone where there are any."""
    found = kinds_of(text)
    return tuple(kind for kind in found if kind.name in ABOUT_LIKENESS) or found


def question_kinds(query: str) -> tuple[str, ...]:
    """Return what a question asks for: "appearance", "cause", "number", …; empty if it shows no known form."""
    return tuple(kind.name for kind in kinds_of(query))


def asks_form(word: str) -> bool:
    """Tell whether a word only says what form the answer should have, such as "pitfalls" or "causes"."""
    return any(kind.asked.search(word) for kind in KINDS)
