"""The words that go to the model, in training and in use alike, so that the two can never drift apart.

A conversation is a list of messages in the form of Hugging Face chat templates. Pictures come first in the first
user message, then numbered evidence, then the question. `PROMPT_VERSION` is kept in a model's contract: a model
trained with other words is refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from assistant.conversation import ALL_SECTIONS, SECTIONS, Turn, three_sections
from assistant.evidence import Evidence

PROMPT_VERSION = "1"

Message = dict[str, Any]
CountTokens = Callable[[str], int]

REPORT_REQUEST = "Write a report."
DESCRIPTION_REQUESTS = (
    "Describe this image.",
    "What does this image show?",
    "What does the image show?",
    "What do you see?",
    "What do you see in this image?",
    "Describe what you see.",
    "What is shown here?",
    "Summarize this image.",
    "Can you describe this picture?",
    "What can you tell me about this image?",
    "Explain this image.",
    "Give a short description.",
)
"""Wordings that models are taught; the first is the plainest."""
_ORDER = "The first image is the prior, the last is the current one."
COMPARE_REQUEST = f"{REPORT_REQUEST} {_ORDER}"
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+")


def first_sentence(text: str) -> str:
    """Return the first sentence of a passage, without line breaks."""
    flat = " ".join(text.split())
    return _SENTENCE_END.split(flat, maxsplit=1)[0]


def evidence_lines(evidence: Sequence[Evidence], *, budget: int, count_tokens: CountTokens) -> list[str]:
    """Number the evidence from 1 and shorten it so that it fits.

    Each piece keeps its title. A piece is given in full if all fit, else by its first sentence, else by its title.

    Args:
        evidence: best first.
        budget: most tokens that all lines may take together.
        count_tokens: how the model at hand counts them.
    Returns:
        One line a piece, "[1] Title: text". The last pieces are left out when even titles do not fit.
    """
    forms: tuple[Callable[[Evidence], str], ...] = (
        lambda item: f"{item.title}: {' '.join(item.text.split())}",
        lambda item: f"{item.title}: {first_sentence(item.text)}",
        lambda item: item.title,
    )
    for form in forms:
        lines = [f"[{number}] {form(item)}" for number, item in enumerate(evidence, start=1)]
        if sum(count_tokens(line) for line in lines) <= budget:
            return lines
    kept: list[str] = []
    for line in lines:
        if sum(count_tokens(one) for one in [*kept, line]) > budget:
            break
        kept.append(line)
    return kept


def header_line(*, modality: str | None = None, anatomy: str | None = None, view: str | None = None) -> str | None:
    """Return what a DICOM header tells of the picture as one line, or None if it tells nothing."""
    told = [part for part in (modality, anatomy, view) if part]
    return f"Header: {', '.join(told)}." if told else None


def question_text(
    question: str, *, options: Sequence[str] = (), evidence: Sequence[str] = (), header: str | None = None
) -> str:
    """Return the text part of a question: header line, evidence lines, the question, its options.

    Options that the question already names are not repeated.
    """
    parts = [header] if header else []
    if evidence:
        parts.append("Evidence:\n" + "\n".join(evidence))
    text = " ".join(question.split())
    if options and not all(option.lower() in text.lower() for option in options):
        text = f"{text} Options: {', '.join(options)}."
    parts.append(text)
    return "\n".join(parts)


def report_text(
    *,
    indication: str | None = None,
    has_prior: bool = False,
    evidence: Sequence[str] = (),
    header: str | None = None,
    wording: str | None = None,
) -> str:
    """Return the text part of a request for a report.

    Args:
        indication: why the study was made.
        has_prior: a prior stands before the current images.
        evidence: numbered lines.
        header: line on what the file's header tells.
        wording: asked in place of `REPORT_REQUEST`, which is what models are trained on.
    Returns:
        The text.
    """
    parts = [header] if header else []
    if evidence:
        parts.append("Evidence:\n" + "\n".join(evidence))
    if indication:
        parts.append(f"Indication: {' '.join(indication.split())}")
    asked = " ".join((wording or REPORT_REQUEST).split())
    parts.append(f"{asked} {_ORDER}" if has_prior else asked)
    return "\n".join(parts)


def user_message(text: str, images: int = 0) -> Message:
    """Return a user message with `images` picture slots before its text."""
    content: list[dict[str, str]] = [{"type": "image"} for _ in range(images)]
    return {"role": "user", "content": [*content, {"type": "text", "text": text}]}


def assistant_message(text: str) -> Message:
    """Return an assistant message."""
    return {"role": "assistant", "content": [{"type": "text", "text": text}]}


def conversation(
    text: str, *, images: int = 0, history: Sequence[Turn] = (), system: str | None = None
) -> list[Message]:
    """Return the whole conversation, ending with the user's `text`.

    Args:
        text: made by `question_text` or `report_text`.
        images: how many pictures; their slots stand in the first user message.
        history: earlier turns, oldest first.
        system: a system prompt, for models whose contract asks for one.
    Returns:
        Messages for a chat template.
    """
    messages: list[Message] = []
    if system:
        messages.append({"role": "system", "content": [{"type": "text", "text": system}]})
    waiting = images
    for turn in history:
        if turn.role == "user":
            messages.append(user_message(turn.text, waiting))
            waiting = 0
        else:
            messages.append(assistant_message(turn.text))
    messages.append(user_message(text, waiting))
    return messages


def render_report(sections: dict[str, str]) -> str:
    """Return a report as the model writes it: one line a section, "Technique: …", the comparison after the findings."""
    return "\n".join(f"{name.capitalize()}: {text}" for name, text in three_sections(sections).items() if text)


def parse_report(text: str) -> dict[str, str]:
    """Return the sections of a report that a model wrote; text before any heading counts as findings."""
    sections = dict.fromkeys(SECTIONS, "")
    heading = re.compile(rf"^\s*\**({'|'.join(ALL_SECTIONS)})\**\s*:\s*", re.IGNORECASE)
    current = "findings"
    for line in text.splitlines():
        match = heading.match(line)
        if match:
            current, line = match.group(1).lower(), line[match.end() :]
        sections[current] = f"{sections.get(current, '')} {line}".strip()
    return sections
