"""`Case`: one question or study on its way through the assistant; each step fills in its part."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from assistant.conversation import Question, ReportRequest, Usage
from assistant.evidence import Evidence
from assistant.guard import Stop
from assistant.imaging.picture import Picture
from assistant.known import Sight
from assistant.report_template import Asked, Check, ReportTemplate
from assistant.slice_note import SliceNote

if TYPE_CHECKING:
    from assistant.engine.features import PictureFeatures
    from assistant.engine.generate import Generated
    from assistant.engine.prompt import Prompt


@dataclass
class Case:
    """What is asked, what was found out so far, and why it stopped, if it did."""

    pictures: tuple[Picture, ...]
    """In the order of the prompt: for a report, priors first."""
    question: Question | None = None
    request: ReportRequest | None = None
    features: list[PictureFeatures] = field(default_factory=list)
    slices: tuple[SliceNote, ...] = ()
    """Of the volumes in `pictures`: which slices the model reads, the one that stands out most first."""
    sights: list[Sight] = field(default_factory=list)
    modality: str | None = None
    """Of all the pictures, from their headers or their looks; None if it is not clear or they differ."""
    options: tuple[str, ...] = ()
    """Answers to choose from; none for an open question or a report."""
    evidence: tuple[Evidence, ...] = ()
    cases: tuple[Evidence, ...] = ()
    """What a report shows beside it: cases whose pictures are near."""
    knowledge: bool = False
    """The model is asked for the finding alone, and what is asked of it is quoted from evidence."""
    prompt: Prompt | None = None
    generated: Generated | None = None
    scores: list[float] = field(default_factory=list)
    """Log-probability of each form of each option, in the order of `forms`."""
    forms: list[tuple[str, str]] = field(default_factory=list)
    """(option, one way to write it)."""
    template: ReportTemplate | None = None
    """What the report is written by; None for a question."""
    chosen_by: str = ""
    """Who chose the template: "name", "header" or "look"."""
    parts: list[Case] = field(default_factory=list)
    """The questions of a template that asks them one by one."""
    checks: list[Case] = field(default_factory=list)
    """The questions that its template asks beside the report."""
    altered: list[Case] = field(default_factory=list)
    """The same question about the altered pictures; see `assistant.augment`."""
    earlier: Case | None = None
    """The same report about the priors alone, where the images are read one by one; `pictures` are then the others."""
    asked: Asked | Check | None = None
    """Of a part or a check: the template's question that it puts."""
    cautions: list[str] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)
    """Those cautions for which a person should look at the report first."""
    seconds: float = 0.0
    """Time spent on it, for the reader."""
    stop: Stop | None = None
    """Why to abstain; no step after the first stop adds to a case."""

    @property
    def slices_to_choose(self) -> bool:
        """Whether any picture is a slice of a volume."""
        return any(picture.section is not None for picture in self.pictures)

    @property
    def current(self) -> Picture | None:
        """The picture that the case is about: the last one."""
        return self.pictures[-1] if self.pictures else None

    @property
    def usage(self) -> Usage:
        """Tokens that the model read and wrote for this case."""
        if self.prompt is None or self.generated is None:
            return Usage()
        return Usage(len(self.prompt.ids), len(self.generated.log_probs), self.generated.finished)

    @property
    def asides(self) -> list[Case]:
        """What is asked for this case besides its own prompt."""
        return [*self.parts, *self.checks, *self.altered, *([self.earlier] if self.earlier is not None else [])]

    def warn(self, *cautions: str | None) -> None:
        """Add what the reader should know; what is said already, or is None, is left out."""
        self.cautions.extend(caution for caution in dict.fromkeys(cautions) if caution and caution not in self.cautions)

    def doubt(self, *cautions: str | None) -> None:
        """Add cautions that bring the report into the review queue."""
        self.warn(*cautions)
        self.doubts.extend(one for one in dict.fromkeys(cautions) if one and one not in self.doubts)

    def option_scores(self) -> list[float]:
        """Return the log-probability of each option, its ways to write it taken together."""
        import math

        totals: dict[str, float] = dict.fromkeys(self.options, -math.inf)
        for (option, _), score in zip(self.forms, self.scores, strict=True):
            high, low = max(totals[option], score), min(totals[option], score)
            totals[option] = high if math.isinf(low) else high + math.log1p(math.exp(low - high))
        return [totals[option] for option in self.options]
