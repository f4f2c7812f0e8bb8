"""Findings of a report that must not wait, by the list of its template.

A finding counts where a sentence of the findings or the impression holds all words of one of its phrases and denies
none of them. What is only possible or cannot be excluded counts too: it is marked so, and never left out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from assistant.polarity import negated_words
from assistant.report_template import ReportTemplate
from assistant.review import without_citations
from assistant.words import content_words, sentences, tokens

_POSSIBLE = re.compile(
    r"\b(?:possib\w+|probab\w+|suspic\w+|suspect\w*|may|might|could|likely|suggest\w*|concern\w* for|question\w*|"
    r"cannot (?:be )?(?:exclude\w*|rule\w* out)|not (?:be )?(?:excluded|ruled out)|versus|vs\.?)(?!\w)",
    re.IGNORECASE,
)
# What stood in an earlier image, or was only asked about, is not a finding of this one.
_GONE = re.compile(
    r"\b(?:has|have) (?:now |since |completely |fully )?(?:resolved|cleared)\b|\bresolved\b|\bresolution of\b", re.I
)
_SECTIONS = ("findings", "impression", "comparison")


@dataclass(frozen=True)
class CriticalFinding:
    """One finding of a template's list that a report states."""

    finding: str
    """Its name in the template."""
    sentence: str
    """Where the report says so."""
    possible: bool = False
    """Whether the report calls it possible only."""

    @property
    def text(self) -> str:
        """Its name, and that it is only possible."""
        return f"possible {self.finding}" if self.possible else self.finding

    def to_dict(self) -> dict[str, str | bool]:
        """Return the JSON form that reports carry."""
        return {"finding": self.finding, "possible": self.possible, "sentence": self.sentence}


def critical_findings(sections: Mapping[str, str], template: ReportTemplate) -> tuple[CriticalFinding, ...]:
    """Look for a template's critical findings in a report.

    Args:
        sections: of the report.
        template: has the list.
    Returns:
        Each finding once, in the order of the list; one that is stated outright goes before one that is possible.
    """
    texts = [sentence for name in _SECTIONS for sentence in sentences(without_citations(sections.get(name, "")))]
    stated = [(sentence, frozenset(tokens(sentence))) for sentence in texts]
    found = []
    for one in template.critical:
        sentences_with = [
            sentence for sentence, words in stated if any(_says(sentence, words, phrase) for phrase in one.phrases)
        ]
        if sentences_with:
            plain = [sentence for sentence in sentences_with if not _POSSIBLE.search(sentence)]
            found.append(CriticalFinding(one.finding, (plain or sentences_with)[0], possible=not plain))
    return tuple(found)


def says(sentence: str, phrase: str) -> bool:
    """Tell whether a sentence states what a phrase names: it holds all its words, denies none, and it is not gone."""
    return _says(sentence, frozenset(tokens(sentence)), phrase)


def _says(sentence: str, words: frozenset[str], phrase: str) -> bool:
    wanted = _words_of(phrase)
    return wanted <= words and not wanted & negated_words(sentence) and not is_gone(sentence)


@lru_cache(maxsize=4096)
def _words_of(phrase: str) -> frozenset[str]:
    """Return the words that state a phrase; templates have the same phrases for every report."""
    return frozenset(content_words(phrase) or tokens(phrase))


def is_gone(sentence: str) -> bool:
    """Tell whether a sentence says that what it names has gone since an earlier image."""
    return _GONE.search(sentence) is not None


def calls_normal(text: str, template: ReportTemplate) -> str | None:
    """Return the statement of a section that calls all normal, None if there is none.

    Args:
        text: of the impression.
        template: has the statements.
    Returns:
        The statement as the section has it.
    """
    wanted = {_flat(one) for one in template.normal}
    return next((one for one in sentences(without_citations(text)) if _flat(one) in wanted), None)


def _flat(text: str) -> str:
    return " ".join(tokens(text))
