"""What evidence tells of a finding that an image shows: which of it is about that finding, and which sentence answers.

Two things keep what stands beside the point out. Evidence must carry the finding's name: "lung mass" is a mass, "mass
effect" is none, for in English the last word of a compound says what it is. And where a piece has headings, what stands
under the heading that was asked for is the answer; words such as "imitates" decide only where there is none.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from assistant.evidence import Evidence
from assistant.kinds import ABOUT_LIKENESS, Kind, kinds_of, kinds_of_finding
from assistant.quote import Quote, quotable, unlike
from assistant.words import ASKING, STOPWORDS, plain, tokens

_CUES = 2
_BASE = 0.8
_CUE = 0.1
_NAMED = 0.1
_HEADED = 0.3
_HEADED_LIKE = 0.2
_LATER = 0.2
_PARTS = re.compile(r"[(),:;/?]|\b(?:or|and|on|in|of|with|from|by|for|after|during|at|versus|vs)\b")


def telling_sentences(
    query: str, subject: str, evidence: Sequence[Evidence], k: int = 1, *, modality: str | None = None
) -> list[Quote]:
    """Choose the sentences of evidence on a subject that tell what a question asks, whatever its other words.

    Args:
        query: the question, such as "What are the pitfalls of the finding in this image?".
        subject: what it is about, such as "pleural effusion"; only evidence that bears its name is read.
        evidence: best first.
        k: the most sentences to return.
        modality: of the image; evidence on another one is not read.
    Returns:
        At most `k` quotes, best first; none if the question has no known form, or no sentence has it.
    """
    kinds = kinds_of_finding(query)
    words = set(_words(subject))
    quotes: list[Quote] = []
    fits = {place: fit(item, subject, modality=modality) for place, item in enumerate(evidence)}
    read = sorted((place for place in fits if fits[place]), key=lambda place: -fits[place])
    for later, place in enumerate(read):
        for order, one in enumerate(_telling(evidence[place], kinds)):
            named = _NAMED if words & set(tokens(one.text)) else 0.0
            # Evidence counts first, then how plainly the sentence has the form; of equals the earlier one.
            score = _BASE + one.worth + named - _LATER * later - 0.001 * order
            quotes.append(Quote(place, one.text, round(score, 4)))
    return unlike(sorted(quotes, key=lambda quote: -quote.score), k)


@dataclass(frozen=True)
class _Sentence:
    """One that has the asked form, and how plainly."""

    text: str
    worth: float


def _telling(item: Evidence, kinds: Sequence[Kind]) -> list[_Sentence]:
    """Return the sentences of a piece that have one of the kinds; under headings of that kind only, if it has any."""
    found = [(heading, sentence) for heading, text in item.sections for sentence in quotable(text)]
    headed = [(_headed(heading, kinds), sentence) for heading, sentence in found]
    best = max((worth for worth, _ in headed), default=0.0)
    telling = []
    for worth, sentence in headed:
        cues = sum(min(len(kind.answered.findall(plain(sentence))), _CUES) for kind in kinds)
        if worth == best and (worth or cues):
            telling.append(_Sentence(sentence, worth + _CUE * cues))
    return telling


def _headed(heading: str, kinds: Sequence[Kind]) -> float:
    asked, said = {kind.name for kind in kinds}, {kind.name for kind in kinds_of(heading)}
    if asked & said:
        return _HEADED
    return _HEADED_LIKE if asked & ABOUT_LIKENESS and said & ABOUT_LIKENESS else 0.0


def fit(item: Evidence, subject: str, *, modality: str | None = None, region: str | None = None) -> int:
    """Return how well a piece of evidence fits a finding.

    Args:
        item: its title and other names are looked at.
        subject: the finding, such as "mass".
        modality: of the image.
        region: of the image, as `Evidence.anatomy` names it.
    Returns:
        0 if it is on another modality, or none of its names is the finding or a kind of it ("lung mass"); 1 if only a
        synonym is, 2 if its title or first name is. 2 more if it is on the image's own region, where that is known.
    """
    wanted = _words(subject)
    if not wanted or (modality and item.modality and item.modality != modality):
        return 0

    def bears(names: Iterable[str]) -> bool:
        return any(_words(name)[-len(wanted) :] == wanted for name in names)

    # A title says what the whole is about; a synonym may be loose.
    bearing = 2 if bears([*_PARTS.split(plain(item.title)), *item.names[:1]]) else int(bears(item.names))
    return bearing + 2 if bearing and region and _place(item.anatomy) == _place(region) else bearing


def _place(region: str | None) -> str | None:
    return "head" if region == "brain" else region


def _words(text: str) -> list[str]:
    """Return the normalised words of a name, hyphened ones apart: "ring-enhancing" is two."""
    return [word for word in tokens(plain(text).replace("-", " ")) if word not in STOPWORDS and word not in ASKING]
