"""The tab that drafts a report: images in, sections that appear as they are written, then yours to edit and accept."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import gradio as gr

from assistant.conversation import SECTIONS, Report, ReportRequest, three_sections
from assistant.errors import AssistantError, ImageError
from assistant.evidence import pictures_of
from assistant.exports.held import HeldSource
from assistant.exports.source import Source
from assistant.imaging.picture import Picture
from assistant.prompts import parse_report
from assistant.report_template import AUTO
from assistant.shelf import MAIN
from assistant.slice_note import SliceNote, pictures_read
from assistant.template_files import Templates
from assistant.ui.models_panel import Choice
from assistant.ui.panels import cases_html, error_html, grounds_html, panel_html
from assistant.ui.report_finish import Draft
from assistant.ui.report_finish_panel import build_finish
from assistant.ui.report_judging import build_report_judging
from assistant.ui.service import AssistantService
from assistant.ui.session import asker, preview_file, read_uploads, user_of
from assistant.ui.viewer_panel import build_viewer
from assistant.ui.volumes import faces

logger = logging.getLogger(__name__)

NOTHING_YET = panel_html("<p class='ma-empty'>Add the images of one study and press Draft report.</p>")
WORKING = "<div class='ma-status ma-loading' role='status'><span class='ma-dot'></span>Drafting …</div>"
WRITING = "<div class='ma-status ma-loading' role='status'><span class='ma-dot'></span>Writing: {section} …</div>"

Shown = tuple[Any, str, str, str, Draft | None, str, Any, Any]


@dataclass(frozen=True)
class Drafting:
    """The functions behind the tab."""

    service: AssistantService

    def draft(
        self,
        files: list[str] | None,
        priors: list[str] | None,
        indication: str | None,
        template: str = AUTO,
        request: gr.Request | None = None,
        model: str = MAIN,
    ) -> Iterator[Shown]:
        """Draft a report about the uploaded images.

        Args:
            files: the study's images.
            priors: earlier images to compare with.
            indication: why the study was made; may be empty.
            template: name of a report template, or `auto`.
            request: says who asks.
            model: key of the one that the visitor has chosen.
        Yields:
            Previews, the three sections as they grow, the draft, the panel and the two emptied upload boxes.
        """
        if not files:
            yield _failed("Add at least one image of the study.")
            return
        try:
            headers = Source(files).headers  # before the files are deleted: some exports must name the study
            pictures, earlier = read_uploads(files), read_uploads(priors or [])
            user = user_of(request)
            # Side by side, as they are read: the earlier image left of the current one.
            sides = [("Earlier", one) for one in faces(earlier)] + [("Current", one) for one in faces(pictures)]
            previews = [(preview_file(one, user), side if earlier else "") for side, one in sides]
            yield (previews, "", "", "", None, WORKING, None, None)
            why = (indication or "").strip() or None
            study = ReportRequest(tuple(pictures), tuple(earlier), why, template=template)
            yield from self._written(study, headers, previews, request, model)
        except ImageError as error:
            yield _failed(str(error))
        except AssistantError as error:
            yield _failed(f"No report: {error}")
        except Exception as error:
            logger.exception("a report failed")
            yield _failed(f"The program failed ({type(error).__name__}); the terminal says where. Try again.")

    def _written(
        self, study: ReportRequest, headers: list[Any], previews: list[Any], request: gr.Request | None, model: str
    ) -> Iterator[Shown]:
        """Yield the sections as they are written, then the reviewed report in their place."""
        text = ""
        for piece in self.service.draft(study, asker(request), model):
            if isinstance(piece, Report):
                opened = self.service.get(model=model)
                near = pictures_of(piece.cases, opened.assistant.retriever)
                source = HeldSource(headers, pictures_read(study.pictures, piece.slices))
                yield _drafted(previews, Draft(uuid4().hex, study, piece, source, opened.index_fingerprint), near)
                return
            text += piece
            sections = three_sections(parse_report(text))
            now = next((name for name in reversed(SECTIONS) if sections[name]), SECTIONS[0])
            technique, findings, impression = (sections[name] for name in SECTIONS)
            yield previews, technique, findings, impression, None, WRITING.format(section=now), None, None


def _drafted(previews: list[Any], draft: Draft, near: Mapping[str, bytes]) -> Shown:
    report = draft.report
    panel = grounds_html(
        report.confidence,
        report.abstained,
        report.evidence,
        report.cautions,
        report.grounds,
        cases_html(report.cases, near),
        report.slices,
    )
    technique, findings, impression = three_sections(report.sections).values()
    return previews, technique, findings, impression, draft, panel, None, None


def _failed(message: str) -> Shown:
    return None, "", "", "", None, error_html(message), None, None


def template_choices(templates: Templates) -> list[tuple[str, str]]:
    """Return the templates for a menu, the automatic choice first: what is shown, and the name."""
    named = sorted((one.title, one.name) for one in templates)
    return [("Chosen by header and look of the image", AUTO), *named]


def seen_in(draft: Draft | None) -> tuple[Sequence[Picture], Sequence[SliceNote]]:
    """Return the pictures of a draft, and the slices that it rests on."""
    return (draft.request.pictures, draft.report.slices) if draft is not None else ((), ())


def build_report_tab(service: AssistantService, choice: Choice) -> None:
    """Put the tab's controls on the page that is being built, and connect them.

    Args:
        service: drafts.
        choice: the model that the visitor has chosen.
    """
    tab = Drafting(service)
    draft = gr.State(None, time_to_live=3600)
    with gr.Row(equal_height=False):
        with gr.Column(scale=4, min_width=300):
            files = gr.File(label="Images of the study", elem_id="study", file_count="multiple", height=140)
            with gr.Accordion("Earlier images and indication (optional)", open=False):
                priors = gr.File(label="Earlier images, to compare", file_count="multiple", height=140)
                indication = gr.Textbox("", label="Indication", placeholder="Why was the study made?", max_length=500)
            choices = template_choices(service.templates)
            template = gr.Dropdown(choices, value=AUTO, label="Template", elem_id="template")
            button = gr.Button("Draft report", variant="primary", elem_id="draft")
            previews = gr.Gallery(
                label="Images as the model sees them",
                columns=2,
                height="auto",  # a lower box cuts a single picture in two
                elem_id="previews",
                object_fit="contain",
                buttons=["fullscreen"],
            )
            viewer = build_viewer(draft, seen_in, "report")
        with gr.Column(scale=6, min_width=320):
            technique = gr.Textbox(label="Technique", lines=2, interactive=True)
            findings = gr.Textbox(label="Findings", lines=6, interactive=True)
            impression = gr.Textbox(label="Impression", lines=3, interactive=True)
            sections = [technique, findings, impression]
            look, looked = build_finish(service, draft, sections)
            panel = gr.HTML(NOTHING_YET, elem_classes="ma-bare", label="What the report stands on")
            build_report_judging(service, draft, sections)
    hidden: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}

    def drafted(
        study: list[str] | None, earlier: list[str] | None, why: str, asked: str, model: str, request: gr.Request
    ) -> Iterator[tuple[Any, ...]]:
        # Told with the draft: a step of its own could come back after what is typed next was looked at.
        for shown in tab.draft(study, earlier, why, asked, request, model):
            _, technique, findings, impression, made, *_ = shown
            yield *shown, *look(made, technique, findings, impression)

    if choice.wanted is not None:
        button.click(**choice.wanted)
    button.click(
        drafted,
        [files, priors, indication, template, choice.model],
        [previews, *sections, draft, panel, files, priors, *looked],
        concurrency_id="model",
        **hidden,
    ).then(*viewer.renew, **hidden)
