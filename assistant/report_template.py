"""`ReportTemplate`: what a report on one kind of image is asked, how its sections are headed, what in it is critical.

A template is one YAML file. It never adds a statement of its own to a report: what a report says comes from the model.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from assistant.errors import ConfigError
from assistant.imaging.terms import BODY_PARTS, VIEWS
from assistant.strict import attempt
from assistant.vocabulary import MODALITIES
from assistant.words import content_words

HEADINGS: dict[str, str] = {
    "technique": "Technique",
    "comparison": "Comparison",
    "findings": "Findings",
    "impression": "Impression",
}
"""Sections that a template may head anew, in their order in a report."""
ANATOMIES: tuple[str, ...] = tuple(sorted({*BODY_PARTS.values(), "blood", "peripheral blood", "tissue"}))
VIEW_NAMES: tuple[str, ...] = tuple(sorted({*VIEWS.values(), "axial", "coronal", "sagittal"}))
ASKED_SECTIONS: tuple[str, ...] = ("findings", "impression")
AUTO = "auto"
GENERIC = "generic"
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
_LONGEST_WORDING = 500
_YES_NO = re.compile(r"\s*(?:is|are|was|were|do|does|did|has|have|can)\b[^?]*\?\s*$", re.IGNORECASE)


@dataclass(frozen=True)
class Critical:
    """A finding that must not wait; `critical:` in a template."""

    finding: str
    """What it is called where it is marked."""
    words: tuple[str, ...] = ()
    """Other phrases that mean it. All words of a phrase must stand in one sentence that does not deny them."""

    @property
    def phrases(self) -> tuple[str, ...]:
        """The phrases to look for, its name first."""
        return (self.finding, *self.words)


@dataclass(frozen=True)
class Asked:
    """A question whose answer becomes a sentence of the report; `questions:` in a template."""

    ask: str
    """Put to the model about the study's images."""
    answers: dict[str, str] = field(default_factory=dict)
    """Answer to its sentence. The model chooses among the answers; without any, what it writes is the sentence."""
    section: str = "findings"
    """Where the sentence goes: `findings` or `impression`."""


@dataclass(frozen=True)
class Check:
    """A question put beside the report, whose answer must agree with it; `checks:` in a template."""

    finding: str
    """What it asks for."""
    ask: str
    """A question that Yes or No answers."""
    words: tuple[str, ...] = ()
    """Other phrases by which a report may name the finding, or a kind of it."""

    @property
    def phrases(self) -> tuple[str, ...]:
        """The phrases to look for, its name first."""
        return (self.finding, *self.words)


@dataclass(frozen=True)
class ReportTemplate:
    """One kind of report."""

    name: str
    """What `--template` calls it: small letters, digits and hyphens."""
    title: str
    """For the head of the report."""
    modality: str | None = None
    """The kind of image it is for, a name of `assistant.vocabulary.MODALITIES`; null for any."""
    anatomy: tuple[str, ...] = ()
    """The regions it is for, as headers are read; empty for any."""
    views: tuple[str, ...] = ()
    """The views or planes it is for; empty for any."""
    sections: dict[str, str] = field(default_factory=lambda: dict(HEADINGS))
    """Section to its heading. A section that is left out keeps its own."""
    prompt: str | None = None
    """Asked in place of the request for a report; null keeps the words that models were trained on."""
    questions: tuple[Asked, ...] = ()
    """Asked one by one in place of a report, for models that were trained on questions alone."""
    checks: tuple[Check, ...] = ()
    """Asked beside the report. A report that says another thing is less sure, and goes to the review queue."""
    critical: tuple[Critical, ...] = ()
    """Findings that are marked, and go to the head of the review queue."""
    normal: tuple[str, ...] = ()
    """Statements that call the whole examination normal. Beside a finding they contradict the report."""

    def __post_init__(self) -> None:
        faults = list(value_faults(asdict(self)))
        if faults:
            raise ConfigError(" ".join(faults))

    @property
    def headings(self) -> dict[str, str]:
        """Every section with its heading, in order."""
        return {name: self.sections.get(name, usual) for name, usual in HEADINGS.items()}


@dataclass(frozen=True)
class TemplateNote:
    """What a report keeps of its template."""

    name: str
    title: str
    headings: dict[str, str]
    """Section to heading."""
    chosen_by: str
    """Who chose it: "name", "header" or "look"."""

    @classmethod
    def of(cls, template: ReportTemplate, chosen_by: str) -> TemplateNote:
        """Return the note on a template.

        Args:
            template: of the report.
            chosen_by: "name", "header" or "look".
        Returns:
            The note.
        """
        return cls(template.name, template.title, template.headings, chosen_by)


def template_of(values: Mapping[str, Any], *, where: str) -> ReportTemplate:
    """Make a template from what a YAML file holds.

    Args:
        values: keys are the fields of `ReportTemplate`.
        where: what is being read, for the message.
    Returns:
        The template.
    Raises:
        ConfigError: lists every mistake, each with what is allowed.
    """
    made, structural = attempt(ReportTemplate, values)
    # What `__post_init__` said comes again from `value_faults`, one line each.
    faults = [fault for fault in structural if not fault.startswith("value: ")] + list(value_faults(values))
    if made is None or faults:
        listed = "\n".join(f"  - {fault}" for fault in dict.fromkeys(faults))
        raise ConfigError(f"{where} has {len(dict.fromkeys(faults))} mistake(s):\n{listed}")
    return made


def value_faults(values: Mapping[str, Any]) -> Iterator[str]:
    """Say what is wrong with the values of a template; what has a wrong type is passed over.

    Args:
        values: keys are the fields of `ReportTemplate`.
    Yields:
        One fault each, with what is allowed.
    """
    name = values.get("name")
    if isinstance(name, str) and (not _NAME.fullmatch(name) or name == AUTO):
        yield f"name: {name!r}; use up to 64 small letters, digits and hyphens, but not {AUTO!r}."
    for key in ("title", "prompt"):
        text = values.get(key)
        if isinstance(text, str) and not (text.strip() and len(text) <= _LONGEST_WORDING):
            yield f"{key}: has {len(text.strip())} characters; use 1 to {_LONGEST_WORDING}."
    modality = values.get("modality")
    if isinstance(modality, str) and modality not in MODALITIES:
        yield f"modality: {modality!r} is none of {', '.join(MODALITIES)}."
    yield from _unknown("anatomy", values.get("anatomy"), ANATOMIES)
    yield from _unknown("views", values.get("views"), VIEW_NAMES)
    yield from _unknown("sections", values.get("sections"), tuple(HEADINGS))
    if values.get("prompt") and values.get("questions"):
        yield "prompt and questions: both are given; a report is asked in one way. Delete one of them."
    for place, item in _mappings(values.get("questions")):
        yield from _question_faults(f"questions[{place}]", item)
    for place, item in _mappings(values.get("checks")):
        yield from _check_faults(f"checks[{place}]", item)
    for place, item in _mappings(values.get("critical")):
        yield from _phrase_faults(f"critical[{place}]", [item.get("finding"), *_texts(item.get("words"))])
    yield from _phrase_faults("normal", _texts(values.get("normal")))


def _unknown(key: str, given: Any, allowed: Sequence[str]) -> Iterator[str]:
    names = given if isinstance(given, (list, tuple, dict)) else ()
    wrong = [repr(one) for one in names if isinstance(one, str) and one not in allowed]
    if wrong:
        between = "; " if any("," in one for one in allowed) else ", "
        yield f"{key}: {', '.join(wrong)}; use {between.join(allowed)}."


def _mappings(items: Any) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for place, item in enumerate(items if isinstance(items, (list, tuple)) else ()):
        if isinstance(item, Mapping):
            yield place, item


def _texts(items: Any) -> list[Any]:
    return list(items) if isinstance(items, (list, tuple)) else []


def _question_faults(where: str, item: Mapping[str, Any]) -> Iterator[str]:
    asked, section, answers = item.get("ask"), item.get("section"), item.get("answers")
    if isinstance(asked, str) and not (asked.strip() and len(asked) <= _LONGEST_WORDING):
        yield f"{where}.ask: has {len(asked.strip())} characters; use 1 to {_LONGEST_WORDING}."
    if isinstance(section, str) and section not in ASKED_SECTIONS:
        yield f"{where}.section: {section!r}; use {' or '.join(ASKED_SECTIONS)}."
    if isinstance(answers, Mapping) and len(answers) == 1:
        yield f"{where}.answers: one answer is no choice; give two or more, or none."
    # YAML 1.1 reads a bare Yes or No as true or false.
    if isinstance(answers, Mapping) and any(isinstance(one, bool) for one in answers):
        yield f'{where}.answers: true or false is an answer; put "Yes" and "No" in quotes.'


def _check_faults(where: str, item: Mapping[str, Any]) -> Iterator[str]:
    asked = item.get("ask")
    if isinstance(asked, str) and not _YES_NO.match(asked):
        yield f"{where}.ask: {asked!r} is not answered by Yes or No; write it as: Is there …?"
    yield from _phrase_faults(where, [item.get("finding"), *_texts(item.get("words"))])


def _phrase_faults(where: str, phrases: Sequence[Any]) -> Iterator[str]:
    for phrase in phrases:
        if isinstance(phrase, str) and not content_words(phrase):
            yield f"{where}: {phrase!r} holds no word that could be looked for."
