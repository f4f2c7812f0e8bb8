"""Pieces of the page as HTML. Everything that comes from outside is escaped here, and nothing is fetched."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from html import escape

from assistant.conversation import NOT_FOR_CLINICAL_USE
from assistant.evidence import Evidence
from assistant.exports.wording import confidence_words, support_words
from assistant.grounding import Ground
from assistant.slice_note import SliceNote
from assistant.ui.service import AssistantService

_SHORT = 170
"""Characters of a passage that its card shows before it is unfolded."""


def notice_html() -> str:
    """Return the line that stays in view however far the page is scrolled."""
    rest = NOT_FOR_CLINICAL_USE.replace(", not for clinical use", "")
    return f"<div class='ma-notice' role='note'><strong>Not for clinical use.</strong> {escape(rest)}</div>"


def header_html(service: AssistantService, status: str | None = None) -> str:
    """Return the title, with which model answers, or that it is still loading, or why it cannot.

    Args:
        service: of the page.
        status: of `status_line`; the first model's own if None.
    Returns:
        The page's header.
    """
    told = status_html(service) if status is None else status
    return f"<header class='ma-header'><h1>Medical image assistant</h1>{told}</header>"


def status_html(service: AssistantService) -> str:
    """Return the model's state as one line."""
    if service.state == "loading":
        return status_line("loading", "Loading the model … You can add images and type already.")
    if service.state == "failed":
        return status_line("failed", service.failure or "The model could not be loaded.")
    opened = service.get()
    evidence = "with evidence" if opened.index_fingerprint else "without evidence"
    return status_line("ready", f"{opened.model_name} ({opened.model_fingerprint[:8]}), {evidence}")


def status_line(state: str, text: str) -> str:
    """Return a line with a dot before it.

    Args:
        state: "loading", "ready" or "failed".
        text: is escaped here.
    Returns:
        The line, told to those who listen too.
    """
    return f"<div class='ma-status ma-{state}' role='status'><span class='ma-dot'></span>{escape(text)}</div>"


def error_html(message: str) -> str:
    """Return a message about what went wrong, for a panel."""
    return f"<div class='ma-error' role='alert'>{escape(message)}</div>"


def grounds_html(
    confidence: float | None,
    abstained: bool,
    evidence: Sequence[Evidence],
    cautions: Sequence[str],
    grounds: Sequence[Ground] = (),
    cases: str = "",
    slices: Sequence[SliceNote] = (),
) -> str:
    """Return what an answer stands on: how sure, what to beware of, which evidence.

    Args:
        confidence: in [0, 1]; None before the first answer.
        abstained: whether the assistant declined to answer.
        evidence: in the order of its numbers.
        cautions: plain sentences.
        grounds: each sentence with the evidence that bears it.
        cases: HTML of `cases_html`, for a report.
        slices: of a volume, those that the model read.
    Returns:
        A framed panel.
    """
    if confidence is None:
        return panel_html("<p class='ma-empty'>How sure an answer is, and what it stands on, appears here.</p>")
    parts = (_slices_html(slices), _cautions_html(cautions), _support_html(grounds), _evidence_html(evidence), cases)
    return panel_html(confidence_html(confidence, abstained) + "".join(parts))


def panel_html(inner: str) -> str:
    """Return a framed panel.

    Args:
        inner: HTML that is safe already.
    Returns:
        The same in its frame.
    """
    return f"<div class='ma-panel'>{inner}</div>"


def confidence_html(confidence: float, abstained: bool) -> str:
    """Return confidence in words, as a number and as a bar."""
    percent = round(100 * max(0.0, min(1.0, confidence)))
    words = confidence_words(confidence)
    level = "high" if confidence >= 0.7 else "middle" if confidence >= 0.5 else "low"
    note = "<p class='ma-abstained'>Not sure enough to answer.</p>" if abstained else ""
    return (
        f"<section class='ma-confidence ma-{level}'><h2>Confidence</h2>{note}"
        f"<div class='ma-words'><span>{words.capitalize()}</span><span>{percent} %</span></div>"
        f"<div class='ma-bar' role='meter' aria-label='Confidence' aria-valuemin='0' aria-valuemax='100' "
        f"aria-valuenow='{percent}'><span style='width:{percent}%'></span></div></section>"
    )


def _cautions_html(cautions: Sequence[str]) -> str:
    """Return the cautions as a list, less the notice that the page shows all the time."""
    told = [one for one in cautions if one != NOT_FOR_CLINICAL_USE]
    urgent = "".join(f"<p class='ma-critical' role='alert'>{escape(one)}</p>" for one in told if _is_urgent(one))
    items = "".join(f"<li>{escape(one)}</li>" for one in told if not _is_urgent(one))
    listed = f"<ul>{items}</ul>" if items else ""
    return f"<section class='ma-cautions'><h2>Cautions</h2>{urgent}{listed}</section>" if told else ""


def _is_urgent(caution: str) -> bool:
    """Tell whether somebody has to look at once: such a caution must not stand among the others."""
    return caution.startswith("Critical finding:")


def _slices_html(slices: Sequence[SliceNote]) -> str:
    """Return which slices were read, and why those."""
    items = "".join(f"<li>{escape(slice_words(one))}</li>" for one in slices)
    return f"<section class='ma-slices'><h2>Slices read</h2><ol>{items}</ol></section>" if items else ""


def slice_words(note: SliceNote) -> str:
    """Say of a slice where it lies and why it was read."""
    why = {"unusual": "stands out", "relevant": "nearest to the question", "uniform": "evenly spread"}
    where = note.section.text
    return f"{where[:1].upper()}{where[1:]} ({why.get(note.why, note.why)})"


def _support_html(grounds: Sequence[Ground]) -> str:
    """Return each sentence with the numbers of what supports it."""
    if not grounds:
        return ""
    rows = "".join(
        f"<li class='{'ma-borne' if one.supported else 'ma-unborne'}'>{escape(one.sentence)} "
        f"<span class='ma-source'>{escape(support_words(one.to_dict()))}</span></li>"
        for one in grounds
    )
    return f"<section class='ma-support'><h2>Sentence by sentence</h2><ul>{rows}</ul></section>"


def cases_html(cases: Sequence[Evidence], pictures: Mapping[str, bytes]) -> str:
    """Return the nearest cases of the index, side by side.

    Args:
        cases: nearest first.
        pictures: `Evidence.image` → JPEG, for those that have one.
    Returns:
        A section; nothing where there are no cases.
    """
    if not cases:
        return ""
    cards = []
    for item in cases:
        jpeg = pictures.get(item.image or "")
        shown = f"<img alt='' src='data:image/jpeg;base64,{b64encode(jpeg).decode()}'>" if jpeg else ""
        text = " ".join(item.text.split())
        short = text if len(text) <= _SHORT else text[:_SHORT].rsplit(" ", 1)[0] + " …"
        cards.append(
            f"<figure class='ma-case'>{shown}<figcaption><strong>{escape(item.title)}</strong> {escape(short)} "
            f"<span class='ma-source'>{escape(item.source)} · {escape(item.licence)}</span></figcaption></figure>"
        )
    return f"<section class='ma-cases'><h2>Nearest cases</h2><div>{''.join(cards)}</div></section>"


def _evidence_html(evidence: Sequence[Evidence]) -> str:
    if not evidence:
        return "<section><h2>Evidence</h2><p class='ma-empty'>Nothing in the index was near enough.</p></section>"
    cards = "".join(_card(number, item) for number, item in enumerate(evidence, start=1))
    return f"<section class='ma-evidence'><h2>Evidence</h2><ol>{cards}</ol></section>"


def _card(number: int, item: Evidence) -> str:
    """Return one numbered piece of evidence; a long text unfolds."""
    text = " ".join(item.text.split())
    body = f"<p>{escape(text)}</p>"
    if len(text) > _SHORT:
        short = text[:_SHORT].rsplit(" ", 1)[0]
        body = f"<details><summary>{escape(short)} …</summary><p>{escape(text)}</p></details>"
    references = "".join(f"<li>{escape(one)}</li>" for one in item.references)
    listed = (
        f"<details class='ma-references'><summary>References ({len(item.references)})</summary>"
        f"<ul>{references}</ul></details>"
        if references
        else ""
    )
    return (
        f"<li class='ma-card'><div class='ma-card-head'><span class='ma-number'>{number}</span>"
        f"<strong>{escape(item.title)}</strong></div>{body}"
        f"<p class='ma-source'>{escape(item.source)} · {escape(item.licence)} · score {item.score:.2f}</p>{listed}</li>"
    )
