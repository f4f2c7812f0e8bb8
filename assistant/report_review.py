"""A drafted report after the model: change without a prior taken out, sides and denials compared, critical findings.

Each function fills in a `Case`; what a person must look at first becomes a doubt, everything else a caution.
"""

from __future__ import annotations

import re

from assistant import review
from assistant.case import Case
from assistant.change import HOW, NOT_READ, compared
from assistant.conversation import ALL_SECTIONS, SECTIONS
from assistant.critical import CriticalFinding, calls_normal, critical_findings, is_gone, says
from assistant.header import header_modality
from assistant.report_template import GENERIC, Asked, Check
from assistant.template_files import shipped
from assistant.words import sentences, tokens

_CONTRADICTED = 0.5
NOTHING_COMPARED = "The model wrote nothing about change."
# A sentence that says nothing but how things have changed leaves the findings; another stays in them as well.
_ONLY_CHANGE = re.compile(
    r"^(?:as |when )?(?:compared (?:to|with)|in comparison|since the|no (?:significant |interval |appreciable )?change|"
    r"unchanged|there (?:is|has been) no (?:significant |interval )?change)",
    re.IGNORECASE,
)


_OF_CHANGE = frozenset(
    tokens(
        "compared comparison prior previous earlier last first unchanged change changed stable new newly again since "
        "increased decreased larger smaller grown shrunk improved worsened resolved cleared interval finding study exam"
    )
)


def review_sections(case: Case, sections: dict[str, str]) -> dict[str, str]:
    """Clean a report's sections and note on the case what is wrong with them.

    Args:
        case: the report's; its cautions and doubts grow.
        sections: as the model wrote them.
    Returns:
        The sections, with `comparison` among them where there is a prior.
    """
    has_prior = bool(case.request and case.request.priors) and case.earlier is None
    removed = 0
    for name in list(sections):
        text, caution = review.check_citations(review.drop_repeats(sections[name]), case.evidence)
        if not has_prior:
            text, count = review.remove_change(text)
            removed += count
        sections[name] = text
        case.warn(caution)
    if removed:
        why = "no prior image was given" if case.earlier is None else "the model read each image by itself"
        case.warn(f"{removed} sentence(s) about change were removed, because {why}.")
    if has_prior:
        _compare(case, sections)
    else:
        sections.pop("comparison", None)
    _contradictions(case, sections)
    known = header_modality(case.pictures)
    if not sections["technique"] or (known and review.wrong_modality(sections["technique"], known)):
        named = known or case.modality
        sections["technique"] = f"{named}." if named else ""
    return {name: sections[name] for name in ALL_SECTIONS if name in sections}


def add_comparison(case: Case, sections: dict[str, str], before: str | None) -> dict[str, str]:
    """Add what has changed since priors that were read by themselves; see `assistant.change`.

    Args:
        case: with `earlier`.
        sections: after review.
        before: what was read on the priors; None where that was not sure enough.
    Returns:
        The sections with `comparison` in its place.
    """
    if before is None:
        case.doubt(NOT_READ)
        text = NOT_READ
    else:
        text = compared(sections["findings"] or sections["impression"], review.remove_change(before)[0])
        pictures = (*case.pictures, *(case.earlier.pictures if case.earlier is not None else ()))
        known = all(picture.pixel_spacing_mm is not None for picture in pictures)
        case.warn(HOW, review.measure_caution(text, spacing_known=known))
    return {name: text if name == "comparison" else sections.get(name, "") for name in ALL_SECTIONS}


def _compare(case: Case, sections: dict[str, str]) -> None:
    """Put what the findings say of change into a section of its own."""
    told = [sections.get("comparison", "")]
    kept = []
    for sentence in sentences(sections["findings"]):
        changed = bool(review.change_sentences(sentence))
        if changed:
            told.append(sentence)
        if not (changed and _ONLY_CHANGE.match(sentence)):
            kept.append(sentence)
    sections["findings"] = " ".join(kept)
    text = " ".join(part for part in told if part)
    sections["comparison"] = text or NOTHING_COMPARED
    strangers = _strangers(text, sections["findings"])
    if strangers:
        case.doubt(f"The comparison speaks of what the findings do not name: {', '.join(strangers)}.")
    if not text:
        case.doubt("A prior image was given, but the report says nothing about change.")


def _strangers(comparison: str, findings: str) -> list[str]:
    """Return what a comparison speaks of that the findings do not name, and that has not gone."""
    named = set(review.named_findings(findings).split())
    found: dict[str, None] = {}
    for sentence in sentences(comparison):
        words = [word for word in review.named_findings(sentence).split() if word not in _OF_CHANGE]
        if words and not named & set(words) and not is_gone(sentence):
            found[" ".join(words)] = None
    return list(found)


def _contradictions(case: Case, sections: dict[str, str]) -> None:
    """Note where the report contradicts the image or itself."""
    findings, impression = sections["findings"], sections["impression"]
    whole = " ".join(sections.values())
    moved = review.side_conflicts(findings, impression)
    denied = review.denied_findings(findings, impression)
    case.doubt(
        review.wrong_modality(whole, case.modality),
        f"Findings and impression disagree on the side of: {', '.join(moved)}." if moved else None,
        f"The impression names what the findings deny: {', '.join(denied)}." if denied else None,
    )
    case.warn(measures(case, whole))


def measures(case: Case, text: str) -> str | None:
    """Return a caution if a text gives a length while the size of the current picture's pixels is unknown."""
    known = case.current is not None and case.current.pixel_spacing_mm is not None
    return review.measure_caution(text, spacing_known=known)


def mark_critical(case: Case, sections: dict[str, str]) -> tuple[CriticalFinding, ...]:
    """Look for critical findings, put them at the head of the cautions, and note a normal impression beside them.

    Args:
        case: with its template; the generic one is taken where there is none.
        sections: after review.
    Returns:
        The findings, none for a report that states none.
    """
    template = case.template or shipped().get(GENERIC)
    found = critical_findings(sections, template)
    if found:
        named = ", ".join(one.text for one in found)
        caution = f"Critical finding: {named}. Have the image read at once; the draft may be wrong."
        case.cautions.insert(0, caution)
        normal = calls_normal(sections["impression"], template)
        if normal:
            case.doubt(f"The impression says {normal!r}, but the report names {named}.")
    return found


def hold_against(case: Case, sections: dict[str, str], answers: list[tuple[str, float]]) -> None:
    """Hold a report against the answers to its template's checks; where they differ, it becomes a doubt.

    Asked directly, a model may know better than in a whole report, whose wording takes most of its doubt: on phantoms
    the answers tell right reports from wrong ones, which the mean probability of a report's tokens does not.

    Args:
        case: with checks.
        sections: of the report, after review.
        answers: text and calibrated confidence, one a check.
    """
    stated = [one for name in ("findings", "impression") for one in sentences(sections[name])]
    for part, (text, confidence) in zip(case.checks, answers, strict=True):
        check = part.asked
        if not isinstance(check, Check):
            continue
        named = any(says(sentence, phrase) for sentence in stated for phrase in check.phrases)
        yes = confidence if text.strip(" .").lower() == "yes" else 1 - confidence
        agrees = yes if named else 1 - yes
        if agrees < _CONTRADICTED:
            said, answer = ("names", "no") if named else ("does not name", "yes")
            case.doubt(
                f"The report {said} {check.finding}; asked directly, the model says {answer} ({1 - agrees:.0%})."
            )


def sections_of_answers(case: Case, answers: list[tuple[str, float, bool]]) -> tuple[dict[str, str], float]:
    """Make sections of the answers to a template's questions.

    Args:
        case: with its template and prior; an answer that is not sure enough becomes a doubt.
        answers: text, calibrated confidence and whether it is sure enough, one a part of the case.
    Returns:
        The sections, and the confidence of the least sure answer that stands in them; 0 without any.
    """
    sections = dict.fromkeys(SECTIONS, "")
    stated: list[float] = []
    asked = [one.asked for one in case.parts]
    for question, (text, confidence, sure) in zip(asked, answers, strict=True):
        if not isinstance(question, Asked):
            continue
        if not sure or review.is_empty(text):
            case.doubt(f"Not sure enough to say: {question.ask}")
            continue
        said = _chosen(question.answers, text)
        sentence = said if said[-1:] in ".!?" else f"{said}."
        sections[question.section] = f"{sections.get(question.section, '')} {sentence}".strip()
        stated.append(confidence)
    return sections, min(stated, default=0.0)


def _chosen(answers: dict[str, str], text: str) -> str:
    """Return the sentence of an answer, whatever its case and full stop; the answer itself where it has none."""
    plain = review.without_citations(text).strip(" .")
    return next((said for answer, said in answers.items() if answer.lower() == plain.lower()), plain)
