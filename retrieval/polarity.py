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
    r"rules?|ruled|exclud\w+|resol\w+|cleared|(?:was|were|does|is|are)n)\b"
)


def only_negated(passage: Passage, words: Collection[str]) -> set[str]:
    """Return those of `words` that the passage holds, but never outside a negation.

    Args:
        passage: its title, finding and keywords count as said to be there.
        words: normalised words (`assistant.words`).
    Returns:
        The words that only stand inside negations.
    """
    wanted = set(words)
    if not wanted or not _CUE.search(passage.text.lower()):
        return set()
    told = sentences(passage.text)
    cued = [_CUE.search(sentence.lower()) is not None for sentence in told]
    denied: set[str] = set()
    affirmed: set[str] = set()
    for sentence, may_deny in zip(told, cued, strict=True):
        held = wanted & set(tokens(sentence)) if may_deny else set()
        if held:
            negated = held & negated_words(sentence)
            denied |= negated
            affirmed |= held - negated
    denied -= affirmed
    if not denied:
        return denied
    denied -= set(tokens(" . ".join(part for part in (passage.title, passage.finding, *passage.keywords) if part)))
    # Taking words apart is what takes time: sentences that can only affirm come last, while a word is in doubt.
    for sentence, may_deny in zip(told, cued, strict=True):
        if denied and not may_deny:
            denied -= set(tokens(sentence))
    return denied
