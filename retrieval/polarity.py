"""A passage that says a thing is not there is no support for it, however near its words are."""

from __future__ import annotations

import re
from collections.abc import Collection

from assistant.polarity import negated_words
from assistant.words import sentences, tokens
from retrieval.passage import Passage

# Every negation that `assistant.polarity` knows holds one of these: most passages need no closer look.
_CUE = re.compile(
    r"\b(?:no|not|without|never|neither|nor|absent|absence|negative|none|free|lack|lacks|lacking|den(?:y|ies|ied)|"
    r"rules?|ruled|exclud\w+|resol\w+|cleared|(?:was|were|does|is|are)n)\b",
    re.IGNORECASE,
)


def only_negated(passage: Passage, words: Collection[str]) -> set[str]:
    """Return those of `words` that the passage holds, but never outside a negation.

    Args:
        passage: its title, finding and keywords count as said to be there.
        words: normalised words (`assistant.words`).
    Returns:
        The words that only stand inside negations.
    """
    if not _CUE.search(passage.text):
        return set()
    names = " . ".join(part for part in (passage.title, passage.finding, *passage.keywords) if part)
    open_words = set(words) - set(tokens(names))
    denied: set[str] = set()
    affirmed: set[str] = set()
    for sentence in sentences(passage.text) if open_words else ():
        held = open_words & set(tokens(sentence))
        if held:
            negated = held & negated_words(sentence)
            denied |= negated
            affirmed |= held - negated
    return denied - affirmed
