"""Questions about what an image shows that no image answers: "What else can look like this finding?".

The image tells which finding it is; what is known of it stands in the evidence. So the model is asked for the finding,
and the answer is quoted from evidence on that finding. Only for models that quote, and where there is an index.
"""

from __future__ import annotations

import re

from assistant.conversation import Question
from assistant.questions import options_of

FINDING_QUESTION = "What abnormality is seen?"

_ASKS = re.compile(
    r"\b(?:pitfalls?|mimic\w*|imitat\w+|mistaken|confused|what else (?:can|could|may|might)|differential\w*|"
    r"(?:can|could|may|might|commonly|usually|often) (?:be )?caus\w+|causes of|what does .+ mean|meaning of)\b",
    re.IGNORECASE,
)
_REFERS = re.compile(
    r"\b(?:this|the|that|these|those)(?: \w+)? (?:findings?|abnormalit(?:y|ies)|lesions?|diagnosis|disease|condition)\b"
    r"(?:,? (?:that is )?(?:seen|shown|visible|present))?"
    r"(?: (?:in|on|of) (?:this|the|that) (?:\w+[ -]?){1,3}\b(?=[,?.]|$))?",
    re.IGNORECASE,
)
_NOTHING = re.compile(r"^(?:no (?:abnormality|finding|tumou?r|lesion)|normal|none|not a )", re.IGNORECASE)


def asks_knowledge(question: Question) -> bool:
    """Tell whether a question asks what is known of the finding that its image shows.

    Args:
        question: any; one without an image, or with answers to choose from, is none.
    Returns:
        Whether the image alone cannot answer it.
    """
    if not question.pictures or options_of(question):
        return False
    return bool(_ASKS.search(question.text)) and bool(_REFERS.search(question.text))


def about_finding(text: str, finding: str) -> str:
    """Return a question with the finding's name in place of "the finding in this image"."""
    name = finding.strip(" .").lower()
    return _REFERS.sub(lambda _: name, " ".join(text.split()), count=1)


def is_nothing(finding: str) -> bool:
    """Tell whether an answer says that there is no finding."""
    return bool(_NOTHING.match(finding.strip()))
