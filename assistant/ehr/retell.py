"""A report in plain words, and several reports in short: by rules, and every sentence with the one that it comes from.

No model writes here. Plain words are the report's own sentences with terms put plainly or explained; a summary is made
of sentences taken whole. What cannot be put plainly without touching a number, a side or a negation stays as it was.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from assistant.ehr.lexicon import EXPLAINED, INSTEAD, KEPT
from assistant.ehr.texts import Source, TextReport
from assistant.errors import ConfigError
from assistant.polarity import negated_words, polarity
from assistant.review import named_findings
from assistant.words import content_words, sentences, tokens

_SIDES = frozenset({"left", "right"})
_NUMBER = re.compile(r"\d+(?:[.,]\d+)?")
_NEGATION = re.compile(r"\b(?:no|not|without|never|neither|nor|absent|free of|negative|exclud\w+|ruled out)\b", re.I)
_LONGEST_FIRST = sorted({*INSTEAD, *EXPLAINED, *KEPT}, key=len, reverse=True)
_TERMS = re.compile(rf"(?<![\w-])(?:{'|'.join(map(re.escape, _LONGEST_FIRST))})(?![\w-])", re.IGNORECASE)
_BY_LENGTH = sorted(EXPLAINED, key=len, reverse=True)
_FINDINGS = re.compile(rf"(?<![\w-])(?:{'|'.join(map(re.escape, _BY_LENGTH))})(?:s|es)?(?![\w-])", re.IGNORECASE)
_UNSURE = re.compile(
    r"\?|\b(?:histor\w+|h/o|possib\w+|probab\w+|suspic\w+|suspect\w*|may|might|could|cannot|can not|can't|if|"
    r"question\w*|rule out|r/o|evaluat\w+|assess\w*|risk|concern\w*|prior|previous\w*|earlier|former|versus|vs|"
    r"resolved|differential|unclear|whether|likely|suggest\w*|equivocal|indeterminate)\b", re.I
)  # fmt: skip
"""Words by which a sentence does not say that something is there now."""
_WHOLE = """
    evidence sign signs no not without never neither nor absent free negative excluded ruled out resolved cleared gone
    longer further residual remaining identified seen noted demonstrated visible present appreciated detected found has
    have been is are was were there now today currently study examination image images interval since
"""
_FILLING = frozenset(tokens(_WHOLE))
"""Words of a denial that leave it whole."""
NOTICE = (
    "Put into plain words by fixed rules, not by a doctor. Every sentence names the one that it comes from; where they "
    "seem to differ, the report counts. Ask the doctor who treats you; for research, not for clinical use."
)


@dataclass(frozen=True)
class Told:
    """One sentence, and what it stands on."""

    text: str
    sources: tuple[Source, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {"text": self.text, "sources": [one.to_dict() for one in self.sources]}


def plain_report(report: TextReport, number: int = 1) -> list[Told]:
    """Put a report into plain words, impression first.

    Args:
        report: with findings or an impression.
        number: of the report among others.
    Returns:
        one sentence for each of the report's own, repeated ones once.
    """
    told: dict[str, Told] = {}
    explained: set[str] = set()
    for source in report.sources(number, ("impression", "findings")):
        known = tuple(one for one in told.values() if one.sources[0].text == source.text)
        if known:
            told[known[0].text] = Told(known[0].text, (*known[0].sources, source))
        else:
            text = _plainly(source.text, explained)
            told[text] = Told(text, (source,))
    return list(told.values())


def _plainly(sentence: str, explained: set[str]) -> str:
    """Put one sentence plainly; a term is explained where it comes first."""
    meanings: list[str] = []

    def put(match: re.Match[str]) -> str:
        term = match[0].lower()
        if term in KEPT:
            return match[0]
        if term in INSTEAD:
            plain = INSTEAD[term]
            return plain[0].upper() + plain[1:] if match[0][0].isupper() and match.start() == 0 else plain
        if term in explained or term in meanings:
            return match[0]
        meanings.append(term)
        return f"{match[0]} ({EXPLAINED[term]})"

    text = _TERMS.sub(put, sentence)
    if not same_facts(sentence, text):
        return sentence
    explained.update(meanings)
    return text


def same_facts(source: str, text: str) -> bool:
    """Tell whether a text has the numbers, sides and negations of its source, no more and no fewer."""
    return all(
        Counter(found(source)) == Counter(found(text))
        for found in (
            _NUMBER.findall,
            lambda one: [word for word in re.findall(r"[a-z]+", one.lower()) if word in _SIDES],
            lambda one: [match.lower() for match in _NEGATION.findall(one)],
        )
    )


@dataclass(frozen=True)
class Summary:
    """Several reports in short."""

    latest: tuple[Told, ...]
    """The last report's impression, or its findings where it has none."""
    new: tuple[Told, ...]
    """What the last report says is there and an earlier one says is not; the earlier sentence is a source too."""
    gone: tuple[Told, ...]
    """What the last report says is not there and an earlier one says is."""
    earlier: tuple[Told, ...]
    """What else the earlier reports' impressions said, newest first."""

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        names = ("latest", "new", "gone", "earlier")
        return {name: [one.to_dict() for one in getattr(self, name)] for name in names}


def summary(reports: Sequence[TextReport], most: int = 12) -> Summary:
    """Summarise reports of one patient by sentences taken whole.

    Args:
        reports: two or more, oldest first.
        most: sentences of the earlier reports.
    Returns:
        the summary; each of its sentences stands word for word in a report.
    Raises:
        ConfigError: there are fewer than two reports, or `most` is below 1.
    """
    if len(reports) < 2 or most < 1:
        raise ConfigError(f"{len(reports)} report(s) and {most} sentences; a summary takes two reports or more, and 1.")
    numbered = [(number, report) for number, report in enumerate(reports, start=1)]
    last = _said(*numbered[-1])
    before = [source for one in reversed(numbered[:-1]) for source in _all(*one)]
    new = tuple(Told(one.text, (one, other)) for one in _all(*numbered[-1]) if (other := _denied(one, before)))
    gone = tuple(Told(one.text, (one, other)) for one in before if (other := _denied(one, _all(*numbered[-1]))))
    seen = {_meaning(one) for one in last}
    earlier = []
    for one in reversed(numbered[:-1]):
        for source in _said(*one):
            if _meaning(source) not in seen:
                seen.add(_meaning(source))
                earlier.append(Told(source.text, (source,)))
    return Summary(tuple(Told(one.text, (one,)) for one in last), _once(new), _once(gone), tuple(earlier[:most]))


def _said(number: int, report: TextReport) -> list[Source]:
    return report.sources(number, ("impression",)) or report.sources(number, ("findings",))


def _all(number: int, report: TextReport) -> list[Source]:
    return report.sources(number, ("impression", "findings"))


def _denied(source: Source, others: Sequence[Source]) -> Source | None:
    """Return the sentence that says is not there what this one says is.

    A denial that says less than "none at all" counts only for what it names: "no left effusion" says nothing of a right
    one, and "no new nodule" nothing of an old one.
    """
    if _UNSURE.search(source.text):
        return None
    words, about = set(tokens(named_findings(source.text))), set(content_words(source.text))
    for other in others:
        shared = words & negated_words(other.text)
        if (
            shared
            and polarity(other.text, shared) == "negated"
            and polarity(source.text, shared) == "affirmed"
            and _limits(other.text, shared) <= about
        ):
            return other
    return None


def _limits(denial: str, shared: set[str]) -> set[str]:
    """Return the words of a denial that say of what kind, size or place the thing is that is not there."""

    def without(match: re.Match[str]) -> str:
        named = set(tokens(match[0]))
        return match[0] if named & shared and named - shared else " "  # of its own name every word counts

    return set(content_words(_FINDINGS.sub(without, denial))) - shared - _FILLING


def _meaning(source: Source) -> tuple[frozenset[str], bool]:
    return frozenset(content_words(source.text)), bool(_NEGATION.search(source.text))


def _once(told: Sequence[Told]) -> tuple[Told, ...]:
    return tuple({one.text: one for one in reversed(told)}.values())[::-1]


def unsupported(told: Sequence[Told], reports: Sequence[TextReport]) -> list[str]:
    """Return the sentences whose sources do not stand in the reports, or that say other facts than theirs.

    Args:
        told: plain words, or a summary's sentences.
        reports: that they were made from, report 1 first.
    Returns:
        none, or this module is at fault.
    """
    faults = []
    for one in told:
        there = [
            source.report <= len(reports)
            and source.text in sentences(reports[source.report - 1].sections.get(source.section, ""))
            for source in one.sources
        ]
        if not one.sources or not all(there) or not same_facts(one.sources[0].text, one.text):
            faults.append(one.text)
    return faults
