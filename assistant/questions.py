"""What a question's wording tells: closed or open, the alternatives it names, whether it leans on what came before."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from assistant.conversation import Question, Turn
from assistant.plain import plain

YES_NO = ("Yes", "No")

_AUXILIARY = (
    r"(?:is|are|was|were|am|does|do|did|has|have|had|can|could|will|would|should|may|might|must|"
    r"isn't|aren't|wasn't|doesn't|don't|didn't|hasn't|haven't|can't)"
)
_OPENING = re.compile(
    rf"^(?:[^,?]{{0,60}},\s*)?(?:(?:and|so|but|then) )?(?:{_AUXILIARY}\b|any(?:thing)?\b|evidence of\b|notice any\b)"
)
_REQUEST = re.compile(
    r"^(?:please )?(?:(?:can|could|would|will) you (?:please )?"
    r"(?:describe(?!.*\bas\b)|tell|explain|list|show|give|write|name|say|help|summari[sz]e|provide|compare|draw|make|"
    r"generate|point|locate|mark|report|interpret|analy[sz]e|classify|suggest|recommend|translate)\b|"
    r"(?:may|can|could) i\b)"
)
_REPORT = re.compile(
    r"^(?:please )?(?:(?:can|could|would|will) you )?(?:please )?"
    r"(?:write|draft|give|make|generate|create|produce|prepare)(?: me| us)?(?: (?:an?|the|your))?"
    r"(?: (?:short|brief|full|structured|draft|radiology|radiological|imaging|medical))*"
    r" reports?(?: (?:on|of|for|about) (?:this|the|that|these)(?: [\w-]+){1,3})?(?:,? please)?[ .!?]*$",
    re.IGNORECASE,
)
_YES_NO_TAG = re.compile(r"[\s,.:;?(-]*\b(?:yes\s*(?:/|or)\s*no|y/n)\b[\s).?!]*$", re.IGNORECASE)
_LIST = re.compile(r"[:?]\s*(?P<items>[^:?]+?\s+or\s+[^:?]+?)\s*[?.]*$", re.IGNORECASE)
_LONGEST_OPTION_WORDS = 5

# Words of which exactly one is the answer to "A or B". Any other "or" may join two names of one thing.
_CONTRASTS: tuple[frozenset[str], ...] = tuple(
    frozenset(group.split())
    for group in (
        "left right",
        "benign malignant normal",
        "normal abnormal",
        "ct mri mr x-ray ultrasound",
        "axial coronal sagittal",
        "ap pa",
        "t1 t2 flair",
        "male female",
        "man woman",
        "cystic solid",
        "upper lower",
        "anterior posterior",
        "superior inferior",
        "medial lateral",
        "acute chronic",
        "unilateral bilateral",
        "central peripheral",
        "hyperdense hypodense isodense",
        "hyperintense hypointense isointense",
        "hyperechoic hypoechoic anechoic isoechoic",
        "increased decreased",
        "enlarged small",
        "focal diffuse",
        "supratentorial infratentorial",
        "intraaxial extraaxial",
        "intra-axial extra-axial",
    )
)
_SMALL_WORDS = frozenset(["a", "an", "the", "on", "in", "of", "on", "to", "from", "for"])
_TURNING = re.compile(r"^(?:non|un|ir|in|ab|a|hyper|hypo|iso|uni|bi|homo|hetero|supra|infra)(?=\w{4})")
_ACRONYMS = frozenset({"ct", "mri", "mr", "ap", "pa", "t1", "t2", "flair"})

_POINTING = re.compile(
    r"\b(?:it|its|that|those|they|them|their|this one|the same|there|he|she)\b|"
    r"^(?:and|but|so|why|how so|what about|how about|or)\b",
    re.IGNORECASE,
)
_LONGEST_ELLIPSIS_WORDS = 8
_CONTINUING = re.compile(r"(?:and|but|or|so|what about|how about)\b", re.IGNORECASE)
_LONGEST_FRAGMENT_WORDS = 2
_WHICH = re.compile(r"(?:(?:in|on|at|from|of|by|to|about|near) )?(?:what|where|which|who|whose|why|when|how)\b", re.I)
_ASKED_FOR = re.compile(r"(?:is|are) there\b|(?:do|can) you see\b", re.IGNORECASE)
_OF_IT = re.compile(
    r"(?:where|what size|which side|how (?:large|big|wide|long|many))\b.*\b(?:it|they|them|those)\b", re.IGNORECASE
)


def options_of(question: Question) -> tuple[str, ...]:
    """Return the answers that a question leaves to choose from; none for an open question.

    They are the options given with it, else Yes and No for a question of that form, else the alternatives it names.
    """
    if question.options:
        return tuple(dict.fromkeys(option.strip() for option in question.options if option.strip()))
    return options_in(question.text)


def options_in(text: str) -> tuple[str, ...]:
    """Return the answers that a question's wording leaves to choose from.

    Args:
        text: such as "Is there a mass?" or "How would you class it: normal, benign or malignant?".

    Returns:
        ("Yes", "No"), or the alternatives as they would stand as answers, or nothing where the wording is not clear.
    """
    flat = plain(text)
    lowered = flat.lower().replace("is/are", "is")
    if _YES_NO_TAG.search(flat):
        return YES_NO
    listed = _listed(flat)
    if listed:
        return listed
    if " or " in lowered:
        pair = _contrast(lowered)
        if pair:
            return pair
    if not _OPENING.search(lowered) or _REQUEST.search(lowered):
        return ()
    # "Is it A or B?" without a contrast known here: the answer may be A, B, or yes.
    return () if " or " in lowered and not _same_kind(lowered) else YES_NO


def _listed(text: str) -> tuple[str, ...]:
    match = _LIST.search(text)
    if not match:
        return ()
    items = [item for item in re.split(r",\s*(?:or\s+)?|\s+or\s+", match.group("items"), flags=re.IGNORECASE)]
    items = [re.sub(r"^(?:an?|the|either)\s+", "", item.strip(), flags=re.IGNORECASE) for item in items]
    if len(items) < 2 or not all(items) or any(len(item.split()) > _LONGEST_OPTION_WORDS for item in items):
        return ()
    return tuple(dict.fromkeys(_as_answer(item) for item in items))


def _contrast(lowered: str) -> tuple[str, ...]:
    words = re.findall(r"[\w-]+", lowered)
    for place in (place for place, word in enumerate(words) if word == "or"):
        # "T1 weighted, T2 weighted, or FLAIR": a word of its own may stand between an alternative and the "or".
        before = [word for word in words[max(0, place - 6) : place] if word not in ("or", "a", "an", "the")]
        after = [word for word in words[place + 1 : place + 5] if word not in _SMALL_WORDS][:1]
        for last in after:
            for group in _CONTRASTS:
                named = [word for word in before if word in group]
                if last in group and named and before[-2:].count(named[-1]):
                    return tuple(_as_answer(word) for word in dict.fromkeys([*named, last]))
            if before and before[-1] != last and _opposed(before[-1], last):
                return (_as_answer(before[-1]), _as_answer(last))
    return ()


def _opposed(first: str, second: str) -> bool:
    """Whether two words differ by a prefix that turns the meaning: regular, irregular; symmetric, asymmetric."""
    cores = [_TURNING.sub("", word.replace("-", "")) for word in (first, second)]
    wholes = [word.replace("-", "") for word in (first, second)]
    return bool({cores[0], wholes[0]} & {cores[1], wholes[1]}) and min(map(len, cores)) >= 4


def _same_kind(lowered: str) -> bool:
    """Whether the "or" joins two things that are asked for alike: "is there a mass or nodule?", "any … or …"."""
    return bool(re.search(r"\b(?:is|are|was|were) there\b|\b(?:any|evidence|signs?)\b", lowered))


def _as_answer(item: str) -> str:
    if item.lower() in _ACRONYMS:
        return item.upper()
    return item[:1].upper() + item[1:]


def written_forms(option: str) -> tuple[str, ...]:
    """Return the ways in which a model may write one option: as given, with a capital, in small letters."""
    return tuple(dict.fromkeys((option, option[:1].upper() + option[1:], option.lower())))


def matching_option(text: str, options: Sequence[str]) -> str | None:
    """Return the option that a free answer is, or begins with; None if it is none of them."""
    said = _bare(text)
    for option in options:
        if said == _bare(option):
            return option
    begun = [option for option in options if re.match(rf"{re.escape(_bare(option))}\b", said)]
    return max(begun, key=len) if begun else None


def _bare(text: str) -> str:
    return " ".join(text.lower().split()).strip(" .,;:!\"'")


def is_no_answer(asked: str, text: str) -> bool:
    """Tell whether a question of where, what or which got a bare Yes or No."""
    return matching_option(text, YES_NO) is not None and len(text.split()) == 1 and bool(_WHICH.match(plain(asked)))


def wants_report(text: str) -> bool:
    """Tell whether a text asks for a report and nothing else, in whatever words."""
    return bool(_REPORT.match(" ".join(text.split())))


def standalone(question: Question) -> Question:
    """Return the question in words that mean something by themselves, for a search.

    A short follow-up such as "And on the left?" is put behind the previous question of the person.
    """
    previous = [turn.text for turn in question.history if turn.role == "user" and turn.text.strip()]
    if not previous or not is_elliptic(question.text):
        return question
    return replace(question, text=f"{previous[-1].strip()} {question.text.strip()}")


def completed(question: Question) -> Question:
    """Return the question for a model that reads no history, in words that can be asked of its pictures.

    What is no sentence of its own ("Where?", "And on the left?") is put behind the previous question, and so is what
    is asked of a thing that this one asked for ("Is there a mass?", "Where is it?"). Else a question stands alone: "Is
    it normal?" is about the picture, and a model may answer the question before it as well.
    """
    text = question.text.strip()
    before = next((turn.text.strip() for turn in reversed(question.history) if turn.role == "user"), "")
    of_that = _OF_IT.match(text) and _ASKED_FOR.match(before)
    fragment = len(text.split()) <= _LONGEST_FRAGMENT_WORDS or _CONTINUING.match(text)
    return standalone(question) if fragment or of_that else question


def is_elliptic(text: str) -> bool:
    """Tell whether a question is short and points back, so that it cannot be understood alone."""
    words = text.split()
    return len(words) <= 3 or (len(words) <= _LONGEST_ELLIPSIS_WORDS and bool(_POINTING.search(text.strip())))


def newest(history: Sequence[Turn], limit: int) -> tuple[Turn, ...]:
    """Return the last turns of a conversation, at most `limit`, beginning with the person's."""
    kept = list(history)[-limit:] if limit else []
    while kept and kept[0].role != "user":
        kept.pop(0)
    return tuple(kept)
