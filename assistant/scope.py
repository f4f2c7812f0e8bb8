"""Which questions this assistant does not take on: on treatment, outlook, other subjects, and an image not sent.

The rules are conservative on purpose: a question that none of them catches goes on, and the confidence threshold
or an empty search may stop it later. They hold no medical content, only wording.
"""

from __future__ import annotations

import re

from assistant.guard import Stop

_HELP = (
    "It describes medical images, answers questions about what they show, drafts reports, and quotes its evidence "
    "on imaging findings."
)


def _any(*patterns: str) -> re.Pattern[str]:
    return re.compile("|".join(f"(?:{pattern})" for pattern in patterns), re.IGNORECASE)


_FAMILY = "my (?:mother|father|child|son|daughter|wife|husband|baby|patient)"
_PERSON = rf"(?:i|me|my|mine|we|he|she|him|her|this patient|the patient|{_FAMILY})"
_HELPER = "(?:doctor|physician|specialist|surgeon|oncologist)"
_REMEDY = "(?:treatment|medication|medicine|drug|therapy|surgery|antibiotics?)"

_ADVICE = _any(
    r"\b(?:what|which|right|correct|recommended|safe|maximum) (?:\w+ )?(?:doses?|dosage|dosing)\b(?! of radiation)",
    r"\bdos(?:e|age) of (?!radiation)\w+",
    r"\bhow (?:much|many) (?:mg|milligrams?|ml|tablets?|pills?|units?)\b",
    rf"\b(?:should|can|could|must|may|shall) {_PERSON} (?:\w+ ){{0,2}}?(?:take|stop|start|use|avoid|eat|drink)\b",
    rf"\b(?:should|must|shall) {_PERSON} (?:have|get|undergo) (?:an? )?(?:surgery|operation|chemo\w*|radiotherapy)\b",
    r"\bprescribe\b|\bprescription for\b",
    rf"\b(?:treat|cure|heal) {_PERSON}\b",
    r"\bhow (?:should|would|do|can) (?:you|i|we) treat\b",
    rf"\b(?:what|which) {_REMEDY} (?:should|would|do|does|must|is best|will)\b",
    rf"\bwhat (?:should|must|can|could|shall) {_PERSON} (?:now |next )?do\b",
    r"\bwhat (?:should|must) (?:be done|happen|come|follow)\b",
    r"\bwhat(?: is|'s| are) (?:the |my |his |her )?next steps?(?: now| here)?\s*\??$",
    rf"\b(?:do|does) {_PERSON} need (?:an? |any )?(?:{_REMEDY}|operation|biopsy|chemo\w*|radiotherapy|{_HELPER})\b",
    rf"\bshould {_PERSON} (?:see (?:an? |my )?{_HELPER}|call|go to|worry|be (?:worried|treated|admitted|operated))\b",
)
_OUTLOOK = _any(
    rf"\b(?:will|am|are|is) {_PERSON} (?:going to )?(?:die|survive|live|recover|make it|be ok(?:ay)?)\b",
    rf"\bhow long (?:do|does|will|have|has) {_PERSON}\b.*\b(?:live|left|survive)\b",
    r"\b(?:my|his|her) (?:prognosis|chances?|life expectancy|survival)\b|\bchance of (?:dying|survival)\b",
)
_LANGUAGE = r"(?:python|javascript|java|c\+\+|rust|sql|html|bash)"
_ELSEWHERE = _any(
    r"\b(?:write|compose|tell|sing|make up|give) (?:me |us )?(?:an? |another |some )?(?:\w+ )?"
    r"(?:poem|haiku|limerick|song|lyrics|joke|story|essay|novel|rap)\b",
    r"\b(?:the weather|weather forecast|temperature (?:outside|today))\b",
    rf"\b{_LANGUAGE} (?:code|script|function|program|query)\b",
    r"\b(?:write|debug|fix) (?:me )?(?:some |an? |the |this |my )?(?:code|script|program|function)\b",
    r"\b(?:capital (?:city )?of|president of|prime minister|stock (?:price|market)|bitcoin|world cup|football)\b",
    r"\b(?:recipe for|translate (?:this|the|into)|horoscope|lottery|election results?|film star|song by)\b",
    r"^\s*(?:what(?:'s| is) )?\d+(?:\.\d+)?\s*(?:[-+*/x×]|plus|minus|times|divided by)\s*\d+",
    r"\b(?:ignore|disregard|forget) (?:all |your |the )?(?:previous |prior |above )?(?:instructions|rules|prompt)\b",
    r"\bsystem prompt\b",
)

_SENT = r"(?:image|picture|photo(?:graph)?|scan|x-?ray|radiograph|mri?|ct|ultrasound|slice|smear|film|study|one)"
_ASKED = r"(?:abnormalit(?:y|ies)|findings?|organs?|modality|sequence|plane|(?:kind|type|sort) of image)"
_OF_AN_IMAGE = _any(
    rf"\b(?:this|these|(?:my|the) attached|(?:my|the) uploaded) (?:[\w-]+ ){{0,3}}?{_SENT}s?\b",
    r"^(?:please )?describe (?:the|my) (?:image|picture|scan)\b",
    rf"^(?:what|which) {_ASKED} (?:is|are|can be) (?:seen|shown|visible|this)(?: here)? ?\??$",
    r"^(?:is|are) there (?:an? |any )?(?:[\w-]+ ){0,2}[\w-]+ ?\?$",
    r"^(?:do|can) you see\b|^what do you see\b",
)


def check_image_sent(text: str) -> Stop | None:
    """Stop a question about one image, asked without any: what a search quotes would look like an answer about it.

    Args:
        text: the question, which came with no picture and follows none.

    Returns:
        The stop, or None for a question that can be answered without an image.
    """
    if _OF_AN_IMAGE.search(" ".join(text.split())):
        return Stop(
            "This question is about an image, and none was sent.",
            "Send the image with it, or ask how something looks on images of its kind.",
        )
    return None


def check_scope(text: str) -> Stop | None:
    """Stop a question about one's own treatment, a dose, one's outlook, or a subject that is not medicine.

    Args:
        text: the question.

    Returns:
        The stop, or None for a question that may go on.
    """
    flat = " ".join(text.split())
    if _ADVICE.search(flat):
        reason = "Treatment, doses and what to do next are out of this assistant's scope."
        return Stop(reason, f"Ask a physician or pharmacist about them. {_HELP}")
    if _OUTLOOK.search(flat):
        return Stop("A person's outlook is out of this assistant's scope.", f"Ask the treating physician. {_HELP}")
    if _ELSEWHERE.search(flat):
        return Stop("This question is out of this assistant's scope.", _HELP)
    return None
