"""`decide`: what a model wrote and how it weighs the options become one answer with a raw confidence."""

from __future__ import annotations

import math
import re

from assistant.case import Case
from assistant.confidence import Kind, raw_confidence, shares
from assistant.questions import YES_NO, matching_option

_LEAST = 1e-12
"""What one view holds for impossible is left to the others."""
_NEITHER = re.compile(r"\s*(?:neither|none of)\b", re.IGNORECASE)


def option_shares(case: Case) -> list[float]:
    """Return the share of the probability that each option of a weighed case has.

    Where altered pictures were weighed too, it is the geometric mean over them and the picture itself.
    """
    if not case.altered:
        return shares(case.option_scores())
    views = [one.option_scores() for one in (case, *case.altered) if one.scores]
    told = [[math.log(max(share, _LEAST)) for share in shares(one)] for one in views if not all(map(math.isinf, one))]
    return shares([math.fsum(column) / len(told) for column in zip(*told, strict=True)])


def decide(case: Case) -> tuple[str, float, Kind]:
    """Return a case's answer, its raw confidence and its kind.

    For a closed question the free answer stands if it is one of the options, else the likeliest option does; the raw
    confidence is that option's share of all options. A free answer that says it is none of the alternatives in the
    question's words stands as well: "Neither: X-ray" to "Is this a CT or an MRI?". Of options that were given with a
    question one is always chosen. Where altered pictures were looked at too, the likeliest over all of them is the
    answer.
    """
    generated = case.generated
    if generated is None:
        return "", 0.0, "open"
    # A server that gives no probabilities of the options leaves them all at none.
    if not case.options or (case.scores and all(math.isinf(score) for score in case.scores)):
        return generated.text, raw_confidence(generated.log_probs), "open"
    parts = option_shares(case)
    chosen = matching_option(generated.text, case.options)
    given = case.question.options if case.question is not None else ()
    if chosen is None and not given and case.options != YES_NO and _NEITHER.match(generated.text):
        return generated.text, raw_confidence(generated.log_probs), "open"
    if chosen is None or case.altered:
        chosen = case.options[parts.index(max(parts))]
    return chosen, parts[case.options.index(chosen)], "closed"
