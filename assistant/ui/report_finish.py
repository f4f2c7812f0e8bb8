"""What the report tab does with a draft: show what was changed, accept it, keep it as feedback, write it out."""

from __future__ import annotations

import datetime
import json
from base64 import b64encode
from dataclasses import dataclass, replace
from typing import Any

import gradio as gr

from assistant.conversation import SECTIONS, Report, ReportRequest, three_sections
from assistant.errors import AssistantError
from assistant.exports.held import HeldSource
from assistant.exports.registry import FORMATS, check_formats, ending, is_installed, render
from assistant.feedback.recent import Subject, subject_of
from assistant.feedback.records import corrected_report
from assistant.ui.changes import changed_sections, changes_html
from assistant.ui.judging import Judging, thanks_html
from assistant.ui.panels import error_html
from assistant.ui.service import AssistantService
from assistant.ui.session import user_of

SOMEBODY = "a person"
"""Who accepts where nobody signs in."""
_KINDS = {
    "md": "text/markdown", "json": "application/json", "csv": "text/csv", "html": "text/html",
    "docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document", "pdf": "application/pdf",
    "sr": "application/dicom", "dicom-pdf": "application/dicom", "fhir": "application/fhir+json", "hl7": "text/plain",
}  # fmt: skip
NO_DRAFT = "There is no draft yet: add the images of a study and press Draft report."


@dataclass(frozen=True)
class Draft:
    """A drafted report while it is edited; in the server's memory only."""

    name: str
    request: ReportRequest
    report: Report
    source: HeldSource
    index: str | None = None
    """Fingerprint of the index that it was drafted with."""
    accepted: dict[str, Any] | None = None
    """Who, when, and whether the draft was edited; None while nobody has accepted it."""
    text: tuple[str, ...] = ()
    """The sections that were accepted."""

    def subject(self) -> Subject:
        """Return what can be judged."""
        return subject_of(self.name, self.request, self.report, self.index)

    def record(self, sections: dict[str, str]) -> dict[str, Any]:
        """Return what an export takes.

        Args:
            sections: as they stand on the page.
        Returns:
            The report's JSON form with these sections, what was changed, and who accepted it.
        """
        record = {**self.report.to_dict(), "key": self.name, "sections": sections}
        changed = changed_sections(three_sections(self.report.sections), sections)
        if changed:
            told = f"Edited by a person after drafting: {', '.join(changed)}."
            record["cautions"] = [*record["cautions"], told]
        if self.accepted and self.text == tuple(sections.values()):
            record["accepted"] = self.accepted
        return record


@dataclass(frozen=True)
class Finishing:
    """The functions behind the controls under a draft."""

    service: AssistantService

    def look(self, draft: Draft | None, *texts: str) -> tuple[str, str]:
        """Show what was changed, and whether what stands there is accepted.

        Args:
            draft: None before there is one.
            *texts: the sections as they stand.
        Returns:
            HTML of the changes, and of the state.
        """
        sections = sections_of(texts)
        changes = changes_html(three_sections(draft.report.sections) if draft else None, sections)
        return changes, state_html(draft, sections)

    def accept(
        self,
        draft: Draft | None,
        keep: bool,
        consent: bool,
        technique: str,
        findings: str,
        impression: str,
        request: gr.Request | None = None,
    ) -> tuple[Draft | None, str, str]:
        """Mark the text as accepted, and keep draft and text as feedback where that was asked for.

        Args:
            draft: None before there is one.
            keep: whether draft and text may be kept.
            consent: whether the pixels may be kept too.
            technique: first section as it stands.
            findings: second section as it stands.
            impression: third section as it stands.
            request: says who is signed in.
        Returns:
            The draft, HTML of the state, and what became of the feedback.
        """
        sections = sections_of((technique, findings, impression))
        if draft is None:
            return None, error_html(NO_DRAFT), ""
        if not (sections["findings"] or sections["impression"]):
            return draft, error_html("An empty report cannot be accepted: write findings or an impression."), ""
        edited = bool(changed_sections(three_sections(draft.report.sections), sections))
        now = f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d %H:%M} UTC"
        who = user_of(request) or SOMEBODY
        after = replace(draft, accepted={"by": who, "at": now, "edited": edited}, text=tuple(sections.values()))
        told = ""
        if keep:
            said = {
                "verdict": "down" if edited else "up",
                "correction": corrected_report(sections) if edited else "",
                "accepted": True,
                "keep_pictures": consent,
            }
            subject = draft.subject()
            _, told = self._judging.keep(subject, said, request)
        return after, state_html(after, sections), told

    @property
    def _judging(self) -> Judging:
        return Judging(self.service)

    def export(self, draft: Draft | None, name: str, technique: str, findings: str, impression: str) -> str:
        """Write the report as it stands, in one format.

        Args:
            draft: None before there is one.
            name: of `FORMATS`.
            technique: first section.
            findings: second section.
            impression: third section.
        Returns:
            JSON for the browser: file name, kind, and content in base64. No file is written here.
        Raises:
            gr.Error: there is no draft, or the format cannot be made from these images.
        """
        if draft is None:
            raise gr.Error(NO_DRAFT, print_exception=False)
        try:
            check_formats([name])
            content = render(name, draft.record(sections_of((technique, findings, impression))), draft.source)
        except AssistantError as error:
            raise gr.Error(str(error), print_exception=False) from error
        file = f"report.{ending(name)}"
        return json.dumps({"name": file, "kind": _KINDS[name], "data": b64encode(content).decode()})


def sections_of(texts: tuple[str, ...]) -> dict[str, str]:
    """Return the sections by name, without blanks at their ends."""
    return {name: (text or "").strip() for name, text in zip(SECTIONS, texts, strict=True)}


def state_html(draft: Draft | None, sections: dict[str, str]) -> str:
    """Say whether what stands on the page is accepted."""
    if draft is None:
        return ""
    if draft.accepted is None:
        return "<p class='ma-empty' role='status'>An unverified draft, and every export says so.</p>"
    if draft.text != tuple(sections.values()):
        return "<p class='ma-empty' role='status'>Changed since it was accepted: a draft again.</p>"
    done = draft.accepted
    return thanks_html(f"Accepted by {done['by']} on {done['at']}. Every export says so, until the text is changed.")


def format_choices() -> list[tuple[str, str]]:
    """Return the formats whose library is installed, as (words, name)."""
    found = []
    for name, one in FORMATS.items():
        if name == "sc" or not is_installed(name):  # that needs the heat that only a run works out, and the files
            continue
        what = one.what[0].upper() + one.what[1:]
        found.append((f"{what} (.{one.ending})", name))
    return found
