"""Questions that are offered after an answer, fitting the kind of picture it was about."""

from __future__ import annotations

from collections.abc import Sequence

from assistant.conversation import Answer, Question
from assistant.review import without_citations
from assistant.ui.session import Session
from assistant.vocabulary import canonical_modality

MOST = 3
_NEAR = 0.25
"""Least score of evidence that says what a picture is: a text far from the picture tells nothing of it."""
_ANY = ("Is anything abnormal in this image?", "Which organ or body part is shown?", "What kind of image is this?")
_BY_MODALITY: dict[str, tuple[str, ...]] = {
    "X-ray": ("Is there a pleural effusion?", "Is there a pneumothorax?", "Is there a fracture?"),
    "CT": ("Is there a haemorrhage?", "Is there a mass?", "Which organ or body part is shown?"),
    "MRI": ("Is there a mass?", "Is there oedema?", "Which sequence is this?"),
    "Ultrasound": ("Is there free fluid?", "Is there a mass?", "Which organ or body part is shown?"),
    "Mammography": ("Is there a mass?", "Are there calcifications?", "How dense is the breast?"),
    "Fundus photography": ("Are there haemorrhages?", "Are there exudates?", "Is the optic disc swollen?"),
    "Dermoscopy": ("Is the lesion asymmetric?", "Is its border irregular?", "Is it benign or malignant?"),
    "Blood-smear microscopy": ("Which kind of cell is shown?", "Are there parasites?", "Is the cell abnormal?"),
    "Histopathology": ("Is there malignant tissue?", "Which tissue is shown?", "Are there mitoses?"),
    "Endoscopy": ("Is there a polyp?", "Is there bleeding?", "Which part of the gut is shown?"),
    "OCT": ("Is there fluid in the retina?", "Are there drusen?", "Is the fovea in view?"),
    "Nuclear medicine": ("Is there abnormal uptake?", "Which organ or body part is shown?"),
}


def modality_shown(question: Question, answer: Answer) -> str | None:
    """Return what kind of picture a question was about.

    Args:
        question: its pictures' headers are believed first.
        answer: a kind that it names comes next, then one that an earlier answer named, then the kind that most of its
            evidence is about.
    Returns:
        A name of `vocabulary.MODALITIES`, or None.
    """
    told = [picture.modality for picture in question.pictures if picture.modality]
    if told:
        return told[-1]
    answers = [answer.text, *(turn.text for turn in reversed(question.history) if turn.role == "assistant")]
    said = next((kind for one in answers if (kind := canonical_modality(without_citations(one).strip(" .")))), None)
    if said is not None:
        return said
    found = [item.modality for item in answer.evidence if item.modality and item.score >= _NEAR]
    return max(set(found), key=lambda name: (found.count(name), name)) if found else None


def followups(session: Session) -> Sequence[str]:
    """Return at most `MOST` questions that were not asked yet; none where no picture is under discussion.

    Args:
        session: just answered.
    Returns:
        Each as it would be typed.
    """
    if session.last is None or session.answer is None or not session.last.pictures:
        return ()
    kind = modality_shown(session.last, session.answer)
    asked = {_bare(turn.text) for turn in session.turns if turn.role == "user"}
    offered = dict.fromkeys((*_BY_MODALITY.get(kind or "", ()), *_ANY))
    return [one for one in offered if _bare(one) not in asked][:MOST]


def _bare(text: str) -> str:
    return " ".join(text.lower().strip(" ?.!").split())
