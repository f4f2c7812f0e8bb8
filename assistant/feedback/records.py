"""`Feedback`: one person's word on one answer or report, and the rules for what of it may be kept.

No name of the person, no name of a file, no header and no time of day is part of it. Texts pass through
`Scrubber` first. A picture is there as a hash of its pixels; the pixels themselves only where the person agreed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal

from assistant.conversation import SECTIONS, Answer, Question, Report, ReportRequest
from assistant.deidentify.scrub import Scrubber
from assistant.deidentify.shown import can_clean, shown
from assistant.errors import DataError
from assistant.imaging.picture import Picture
from assistant.prompts import render_report

Kind = Literal["answer", "report"]
Verdict = Literal["up", "down"]
Role = Literal["current", "prior", "region"]

REASONS: dict[str, str] = {
    "made_up": "Names a finding that is not there",
    "missed": "Misses a finding",
    "wrong_place": "Wrong side or place",
    "wrong_size": "Wrong size, number or severity",
    "wrong_subject": "Wrong kind of image or part of the body",
    "evidence": "The evidence does not fit",
    "sureness": "Too sure, or not sure enough",
    "wording": "Right, but badly said",
    "other": "Something else",
}
"""Why an answer is no good: name in the data, words on the page."""
MAX_TEXT = 8000
"""Most characters of a correction, a comment or a section."""
NOTICE = (
    "Kept here: your judgement, the question, the answer, your text, and a hash of the image. Not kept: your "
    "name, the file's name, anything of its header that names somebody. Leave names out of what you type."
)
"""Stands beside every form that takes feedback."""


@dataclass(frozen=True)
class KeptPicture:
    """A picture that feedback is about."""

    content_id: str
    """`Picture.content_id`: depends on the pixels alone."""
    role: Role
    png: bytes | None = None
    """The pixels without any header; None unless the person agreed."""


@dataclass(frozen=True)
class Opinion:
    """What a person says, as it came in."""

    verdict: Verdict
    reason: str | None = None
    """A key of `REASONS`."""
    comment: str = ""
    correction: str = ""
    """What the answer should have been; of a report, as `render_report` writes it."""
    accepted: bool = False
    """Of a report: she stands by it as corrected."""
    keep_pictures: bool = False
    """Whether she agrees that the pixels are kept."""

    def __post_init__(self) -> None:
        faults = []
        if self.verdict not in ("up", "down"):
            faults.append(f"verdict is {self.verdict!r}; use up or down.")
        if self.reason is not None and self.reason not in REASONS:
            faults.append(f"reason is {self.reason[:40]!r}; use one of {', '.join(REASONS)}.")
        for name in ("comment", "correction"):
            if len(getattr(self, name)) > MAX_TEXT:
                faults.append(f"{name} has {len(getattr(self, name))} characters; use at most {MAX_TEXT}.")
        if faults:
            raise DataError(" ".join(faults))


@dataclass(frozen=True)
class Feedback:
    """One person's word on one answer or report, as it is kept."""

    id: str
    """Of the answer; a second word on the same answer takes the place of the first."""
    day: date
    kind: Kind
    verdict: Verdict
    question: str
    """What was asked; of a report its indication, which may be empty."""
    answer: str
    """What the assistant said; of a report its sections, as `render_report` writes them."""
    model: str
    """Fingerprint of the weights."""
    reason: str | None = None
    comment: str = ""
    correction: str = ""
    accepted: bool = False
    options: tuple[str, ...] = ()
    history: tuple[tuple[str, str], ...] = ()
    """Earlier turns: role and text."""
    modality: str | None = None
    anatomy: str | None = None
    confidence: float | None = None
    abstained: bool = False
    index: str | None = None
    """Fingerprint of the index."""
    patient_key: str | None = None
    """`Picture.patient_key`: a salted hash, so that one patient's records stay in one split."""
    study_key: str | None = None
    pictures: tuple[KeptPicture, ...] = ()


def feedback_on_answer(
    name: str, question: Question, answer: Answer, opinion: Opinion, *, day: date, index: str | None = None
) -> Feedback:
    """Join an answer with what a person says of it.

    Args:
        name: id of the answer.
        question: as it was put.
        answer: as it was given.
        opinion: on it.
        day: of the opinion, in UTC.
        index: fingerprint of the index.
    Returns:
        What may be kept.
    """
    scrub = _scrub
    return Feedback(
        id=name,
        day=day,
        kind="answer",
        question=scrub(question.text),
        answer=scrub(answer.text),
        options=question.options,
        history=tuple((turn.role, scrub(turn.text)) for turn in question.history),
        pictures=_kept(question.pictures, "current", opinion),
        model=answer.model_fingerprint,
        confidence=answer.confidence,
        abstained=answer.abstained,
        index=index,
        **_said(opinion),
        **_origin(question.pictures),
    )


def feedback_on_report(
    name: str, request: ReportRequest, report: Report, opinion: Opinion, *, day: date, index: str | None = None
) -> Feedback:
    """Join a drafted report with what a person says of it, or made of it.

    Args:
        name: id of the report.
        request: as it was put.
        report: as it was drafted.
        opinion: on it; its correction holds the edited sections.
        day: of the opinion, in UTC.
        index: fingerprint of the index.
    Returns:
        What may be kept.
    """
    kept = (*_kept(request.priors, "prior", opinion), *_kept(request.pictures, "current", opinion))
    return Feedback(
        id=name,
        day=day,
        kind="report",
        question=_scrub(request.indication or ""),
        answer=_scrub(render_report(report.sections)),
        pictures=kept,
        model=report.model_fingerprint,
        confidence=report.confidence,
        abstained=report.abstained,
        index=index,
        **_said(opinion),
        **_origin(request.pictures),
    )


def corrected_report(sections: Mapping[str, str]) -> str:
    """Return edited sections as a correction holds them.

    Args:
        sections: keys of `SECTIONS`.
    Returns:
        One line a section, its line breaks taken out.
    """
    return render_report({name: " ".join(sections.get(name, "").split()) for name in SECTIONS})


def _scrub(text: str) -> str:
    return Scrubber().scrub(text)[0]


def _said(opinion: Opinion) -> dict[str, Any]:
    return {
        "verdict": opinion.verdict,
        "reason": opinion.reason,
        "comment": _scrub(opinion.comment.strip()),
        "correction": _scrub(opinion.correction.strip()),
        "accepted": opinion.accepted,
    }


def _origin(pictures: Sequence[Picture]) -> dict[str, Any]:
    """Return what the last picture's header told, less all that names somebody."""
    if not pictures:
        return {}
    last = pictures[-1]
    return {
        "modality": last.modality,
        "anatomy": last.anatomy,
        "patient_key": last.patient_key,
        "study_key": last.study_key,
    }


def _kept(pictures: Sequence[Picture], role: Role, opinion: Opinion) -> tuple[KeptPicture, ...]:
    keep = opinion.keep_pictures and can_clean()
    return tuple(KeptPicture(one.content_id, role, _png(shown(one)) if keep else None) for one in pictures)


def _png(picture: Picture) -> bytes:
    import io

    buffer = io.BytesIO()
    picture.to_pil().save(buffer, "PNG")
    return buffer.getvalue()
