"""`decide`: what a model wrote and how it weighs the options become one answer with a raw confidence."""

from __future__ import annotations

import math
import re

from assistant.case import Case
from assistant.confidence import Kind, raw_confidence, shares
from assistant.questions import YES_NO, matching_option

_NEITHER = re.compile(r"\s*(?:neither|none of)\b", re.IGNORECASE)


def decide(case: Case) -> tuple[str, float, Kind]:
    """Return a case's answer, its raw confidence and its kind.

    For a closed question the free answer stands if it is one of the options, else the likeliest option does; the raw
    confidence is that option's share of all options. A free answer that says it is none of the alternatives in the
    question's words stands as well: "Neither: X-ray" to "Is this a CT or an MRI?". Of options that were given with a
    question one is always chosen.
    """
    generated = case.generated
    if generated is None:
        return "", 0.0, "open"
    # A server that gives no probabilities of the options leaves them all at none.
    if not case.options or (case.scores and all(math.isinf(score) for score in case.scores)):
        return generated.text, raw_confidence(generated.log_probs), "open"
    parts = shares(case.option_scores())
    chosen = matching_option(generated.text, case.options)
    given = case.question.options if case.question is not None else ()
    if chosen is None and not given and case.options != YES_NO and _NEITHER.match(generated.text):
        return generated.text, raw_confidence(generated.log_probs), "open"
    if chosen is None:
        chosen = case.options[parts.index(max(parts))]
    return chosen, parts[case.options.index(chosen)], "closed"
