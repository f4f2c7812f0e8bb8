"""What is asked and what comes back: `Turn`, `Question`, `Answer`, `ReportRequest`, `Report`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from assistant.critical import CriticalFinding
from assistant.evidence import Evidence
from assistant.grounding import Ground
from assistant.imaging.picture import Picture
from assistant.report_template import AUTO, TemplateNote
from assistant.sampling import USUAL, Sampling
from assistant.slice_note import SliceNote

NOT_FOR_CLINICAL_USE = (
    "Draft by a research model, not for clinical use. A qualified professional must check it against the image."
)

SECTIONS: tuple[str, ...] = ("technique", "findings", "impression")
ALL_SECTIONS: tuple[str, ...] = ("technique", "comparison", "findings", "impression")
"""With the one that a report has only where a prior was given."""


def three_sections(sections: Mapping[str, str]) -> dict[str, str]:
    """Return a report's sections as three boxes show them: the comparison stands at the end of the findings."""
    findings = " ".join(part for part in (sections.get("findings"), sections.get("comparison")) if part)
    return {name: findings if name == "findings" else sections.get(name, "") for name in SECTIONS}


@dataclass(frozen=True)
class Turn:
    """One earlier message of a conversation."""

    role: Literal["user", "assistant"]
    text: str


@dataclass(frozen=True)
class Question:
    """One question, with the pictures it is about and what was said before."""

    text: str
    pictures: tuple[Picture, ...] = ()
    history: tuple[Turn, ...] = ()
    options: tuple[str, ...] = ()
    """For a multiple-choice question: the answers to choose from."""
    sampling: Sampling = USUAL
    """How the answer is written, where it differs from the settings."""
    evidence: bool = True
    """Whether the index is searched, where there is one."""


@dataclass(frozen=True)
class Usage:
    """What an answer or a report took."""

    prompt_tokens: int = 0
    """0 where the model was not asked: an abstention, or a quotation."""
    completion_tokens: int = 0
    finished: bool = True
    """False if the text was cut at the token limit."""


@dataclass(frozen=True)
class Answer:
    """What the assistant says, how sure it is, and on what grounds."""

    text: str
    confidence: float
    """Calibrated probability in [0, 1] that the answer is right."""
    abstained: bool
    evidence: tuple[Evidence, ...]
    cautions: tuple[str, ...]
    model_name: str
    model_fingerprint: str
    seconds: float
    grounds: tuple[Ground, ...] = ()
    """Each sentence with the evidence that bears it; what has none is unsupported."""
    usage: Usage = Usage()
    slices: tuple[SliceNote, ...] = ()
    """Of a volume: which slices the model read, the one that stands out most first."""

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form that `ask --json` prints."""
        return {
            "answer": self.text,
            "confidence": round(self.confidence, 4),
            "abstained": self.abstained,
            "evidence": [item.to_dict() for item in self.evidence],
            "grounds": [one.to_dict() for one in self.grounds],
            **({"slices": [one.to_dict() for one in self.slices]} if self.slices else {}),
            "cautions": list(self.cautions),
            "model": {"name": self.model_name, "fingerprint": self.model_fingerprint},
            "seconds": round(self.seconds, 3),
        }


@dataclass(frozen=True)
class ReportRequest:
    """One study to report on."""

    pictures: tuple[Picture, ...]
    priors: tuple[Picture, ...] = ()
    indication: str | None = None
    history: str | None = None
    """What is known of the patient; see `PromptMaker.for_report` for what of it the model reads."""
    earlier: str | None = None
    """What signed reports from before the study said, in a line; read by models that read an indication."""
    template: str = AUTO
    """Name of a report template, or `auto`."""
    sampling: Sampling = USUAL
    """How the report is written, where it differs from the settings."""


@dataclass(frozen=True)
class Report:
    """A drafted report."""

    sections: dict[str, str]
    """Keys are `SECTIONS`, in that order; `comparison` too where a prior was given."""
    confidence: float
    abstained: bool
    evidence: tuple[Evidence, ...]
    cautions: tuple[str, ...]
    model_name: str
    model_fingerprint: str
    seconds: float
    details: dict[str, Any] = field(default_factory=dict)
    grounds: tuple[Ground, ...] = ()
    """Each sentence of findings and impression with the evidence that bears it."""
    cases: tuple[Evidence, ...] = ()
    """The cases and figures of the index whose pictures are nearest."""
    usage: Usage = Usage()
    slices: tuple[SliceNote, ...] = ()
    """Of a volume: which slices the model read, the one that stands out most first."""
    template: TemplateNote | None = None
    """What it was written by."""
    critical: tuple[CriticalFinding, ...] = ()
    """What in it must not wait."""
    doubts: tuple[str, ...] = ()
    """Those cautions for which a person should look at it before others."""
    heat: dict[str, Any] | None = None
    """What in the current picture it rests on, if that was asked for: `nats` of each part, `whole`, and `slice`, the
    number of a volume's slice."""

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form that a worklist writes, less the study's own fields."""
        return {
            **({"template": asdict(self.template)} if self.template else {}),
            "critical": [one.to_dict() for one in self.critical],
            "sections": dict(self.sections),
            "confidence": round(self.confidence, 4),
            "abstained": self.abstained,
            "evidence": [item.to_dict() for item in self.evidence],
            "grounds": [one.to_dict() for one in self.grounds],
            "cases": [one.to_dict() for one in self.cases],
            **({"slices": [one.to_dict() for one in self.slices]} if self.slices else {}),
            **({"heat": self.heat} if self.heat else {}),
            "cautions": list(self.cautions),
            "doubts": list(self.doubts),
            "model": {"name": self.model_name, "fingerprint": self.model_fingerprint},
            "seconds": round(self.seconds, 3),
        }
