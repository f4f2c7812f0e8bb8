"""Does a passage have the form that a question asks for? Among passages on one subject words alone cannot tell.

Every passage on a disease holds its name; that one of them tells how it is treated and another whom it befalls shows in
how they are worded, most of all at their beginning. Kinds of question come with the words that answers of that kind
use. A second, simpler sign is the title: one that names more than was asked for is about something narrower.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

from assistant.kinds import KINDS, Kind, make_kind
from assistant.words import content_words, plain, sentences, tokens

_ENOUGH = 2
_OPENING = 0.6
"""Share that the first sentence has in the whole; the rest of the passage has what is left."""
_READ = 12

TOPICS: tuple[Kind, ...] = (
    *(one for one in KINDS if one.name in ("cause", "treatment", "definition", "differential")),
    make_kind(
        "symptom",
        r"\bsymptoms?\b|\bsigns of\b|\bcomplain\w*",
        r"\b(symptoms?|signs?|experience|feel\w*|pain\w*|fever|fatigue|nausea|weakness|complain\w*|affected (?:people|"
        r"individuals)|features?)\b",
    ),
    make_kind(
        "diagnosis",
        r"\bdiagnos\w+|\btests?\b|\bdetect\w*|\bexams?\b",
        r"\b(diagnos\w+|tests?|exams?|examine\w*|examining|examination\w*|biops\w+|histor(?:y|ies)|detect\w*|screening|"
        r"x-rays?|ct|mri|blood)\b",
    ),
    make_kind(
        "prevention",
        r"\bprevent\w*|\bavoid\w*",
        r"\b(prevent\w*|avoid\w*|lower\w*|reduc\w+|vaccin\w+|protect\w*|quit\w*|wash\w*|healthy)\b",
    ),
    make_kind(
        "risk",
        r"\bat risk\b|\brisk factors?\b|\bwho gets\b",
        r"\b(risk\w*|more (?:common|likely|often)|older|men|women|famil(?:y|ies)|smok\w+|factors?|people who)\b",
    ),
    make_kind(
        "outlook",
        r"\boutlook\b|\bprognosis\b|\bsurviv\w*|\blife expectancy\b|\bcomplications?\b",
        r"\b(outlook|prognosis|surviv\w*|recover\w*|life expectancy|most people|course|complications?|can lead to|"
        r"problems?|fatal|chance)\b",
    ),
    make_kind(
        "frequency",
        r"\bhow many people\b|\bhow common\b|\bprevalence\b|\bincidence\b",
        r"\b(estimated|prevalence|incidence|occurs? in|people worldwide|per|million|rare|common|1 in|"
        r"frequency|affects)\b",
    ),
    make_kind(
        "inheritance",
        r"\binherit\w*|\bgenetic\b|\bheredit\w*|\bruns? in\b",
        r"\b(inherit\w*|autosomal|dominant|recessive|x-linked|mutations?|genes?|genetic|chromosom\w+|cop(?:y|ies)|"
        r"parents?)\b",
    ),
    make_kind(
        "research",
        r"\bresearch\b|\bclinical trials?\b|\bstud(?:y|ies)\b",
        r"\b(research\w*|clinical trials?|stud(?:y|ies)|scientists?|nih|institutes?|investigat\w+|funds?)\b",
    ),
    make_kind(
        "help",
        r"\bwhat to do\b|\bcope\b|\bliving with\b|\bmore information\b|\bresources?\b",
        r"\b(talk|eat\w*|diet|drink|foods?|should|exercise|support|resources?|information|manage|remember|"
        r"key points)\b",
    ),
)
"""Kinds that passages differ by; a question may be of several."""


@lru_cache(maxsize=256)
def topics_of(question: str) -> tuple[Kind, ...]:
    """Return the kinds of `TOPICS` that a question is of; "What is it?" only if it is of no other."""
    said = plain(question).strip()
    found = tuple(one for one in TOPICS if one.asked.search(said))
    return tuple(one for one in found if one.name != "definition") or found


def form_fit(question: str, text: str) -> float:
    """Return how far a passage is worded as a question asks, in [0, 1]; 0 if the question shows no known form.

    Args:
        question: as it was put.
        text: of the passage.
    Returns:
        Most for a passage whose first sentence is of that form already.
    """
    kinds = topics_of(question)
    if not kinds:
        return 0.0
    told = [plain(one) for one in sentences(text)[:_READ]]
    if not told:
        return 0.0
    rest = sum(_cues(one, kinds) > 0 for one in told) / len(told)
    return _OPENING * _cues(told[0], kinds) / _ENOUGH + (1 - _OPENING) * rest


def _cues(said: str, kinds: Sequence[Kind]) -> int:
    return min(_ENOUGH, sum(len(one.answered.findall(said)) for one in kinds))


_BRACKETS = re.compile(r"\([^)]*\)")


def title_fit(question: str, title: str) -> float:
    """Return the share of a title's content words that a question holds, in [0, 1]; brackets are left out.

    Args:
        question: as it was put.
        title: of the document.
    Returns:
        1 for a title that names nothing beyond the question.
    """
    named = content_words(_BRACKETS.sub(" ", title)) or content_words(title)
    asked = set(tokens(question))
    return sum(word in asked for word in named) / len(named) if named else 0.0
