"""Is something said to be there, or said not to be there? A small check of negation and its scope.

After the idea of NegEx (Chapman et al., J Biomed Inform 2001): a cue such as "no evidence of" negates what follows it,
one such as "was excluded" what stands before it, both only within a clause.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Literal

from assistant.words import plain, sentences, tokens

Polarity = Literal["affirmed", "negated", "absent"]

_SEEMING = re.compile(
    r"\b(?:no (?:significant )?(?:change|increase|decrease|doubt|longer)|no matter|without (?:any )?change|"
    r"not (?:only|necessarily|always|usually|certain|sure|clear)|not (?:be )?(?:excluded|ruled out)|"
    r"cannot (?:be )?(?:exclude\w*|rule\w* out)|can not|should not be (?:mistaken|confused))\b"
)
_BEFORE = re.compile(
    r"\b(?:no evidence (?:of|for)|no signs? of|negative for|free (?:of|from)|absence of|absent|lack(?:s|ing)? of|"
    r"rules? out|ruled out|denies|denied|exclud(?:es|ed|ing)|resolution of|no|not|without|never|neither|nor|"
    r"isn't|aren't|wasn't|weren't|doesn't)\b"
)
_AFTER = re.compile(
    r"\b(?:(?:is|are|was|were|has been|have been) (?:absent|excluded|ruled out|resolved|negative|"
    r"not (?:seen|present|visible|identified|found|detected|demonstrated|evident|observed|noted|shown|there))|"
    r"(?:has|have) (?:resolved|cleared)|: (?:absent|none|negative|no)(?=[\s.]|$))"
)
_CLAUSE = re.compile(
    r"[;]|,? \b(?:but|however|although|though|except|apart from|yet|whereas|while|because|which|who)\b|"
    r",? \b(?:and|with) (?:there (?:is|are)|shows?|has|have)\b|(?<!\d)\.(?!\d)"
)
_SCOPE_WORDS = 9


def negated_words(sentence: str) -> set[str]:
    """Return the normalised words of one sentence that stand inside the scope of a negation."""
    found: set[str] = set()
    for clause in _CLAUSE.split(plain(sentence)):
        clause = _SEEMING.sub(" ", clause)
        after = _AFTER.search(clause)
        if after:
            found.update(tokens(clause[: after.start()])[-_SCOPE_WORDS:])
            clause = clause[: after.start()]
        before = _BEFORE.search(clause)
        if before:
            found.update(tokens(clause[before.end() :])[:_SCOPE_WORDS])
    return found


def polarity(text: str, words: Collection[str]) -> Polarity:
    """Tell whether `text` affirms or only negates what `words` name.

    Args:
        text: one or more sentences.
        words: normalised words (`assistant.words.tokens`) that name one thing, such as {"pleura", "effusion"}.

    Returns:
        "affirmed" if at least one sentence holds all the words outside a negation, "negated" if sentences hold them all
        but each inside one, "absent" if no sentence holds them all.
    """
    wanted = set(words)
    if not wanted:
        return "absent"
    result: Polarity = "absent"
    for sentence in sentences(text):
        if not wanted <= set(tokens(sentence)):
            continue
        if not wanted & negated_words(sentence):
            return "affirmed"
        result = "negated"
    return result
