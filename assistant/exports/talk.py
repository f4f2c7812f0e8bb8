"""A conversation as Markdown and as JSON: what was asked and answered, on what evidence, and nothing of any file.

Of the pictures only their number and kind are written: no file name, no header, no key of study or patient. What a
person typed is written as she typed it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from assistant.conversation import NOT_FOR_CLINICAL_USE, Answer, Question
from assistant.exports.wording import confidence_phrase, support_words

Exchanges = Sequence[tuple[Question, Answer]]


def talk_record(exchanges: Exchanges) -> dict[str, Any]:
    """Return a conversation as plain JSON types.

    Args:
        exchanges: questions with their answers, oldest first.
    Returns:
        `{"notice", "exchanges"}`.
    """
    rows = []
    for question, answer in exchanges:
        images = [{"modality": picture.modality, "frame": picture.frame} for picture in question.pictures]
        rows.append({"question": question.text, "images": images, **answer.to_dict()})
    return {"notice": NOT_FOR_CLINICAL_USE, "exchanges": rows}


def talk_json(exchanges: Exchanges) -> str:
    """Return `talk_record` as text; empty without exchanges."""
    return json.dumps(talk_record(exchanges), ensure_ascii=False, indent=2) + "\n" if exchanges else ""


def talk_markdown(exchanges: Exchanges) -> str:
    """Return a conversation as a Markdown page.

    Args:
        exchanges: questions with their answers, oldest first.
    Returns:
        Markdown that ends with a line break; empty without exchanges.
    """
    if not exchanges:
        return ""
    lines = ["# Conversation about images", "", f"> {NOT_FOR_CLINICAL_USE}", ""]
    several = len({answer.model_fingerprint for _, answer in exchanges}) > 1
    for number, (question, answer) in enumerate(exchanges, start=1):
        lines += [f"## {number}. {' '.join(question.text.split())}", ""]
        if question.pictures:
            kinds = ", ".join(picture.modality or "kind not told" for picture in question.pictures)
            lines += [f"Images: {len(question.pictures)} ({kinds})", ""]
        lines += [answer.text.strip(), "", f"Confidence: {confidence_phrase(answer.confidence, answer.abstained)}", ""]
        if several:
            lines += [_model(answer), ""]
        lines += _listed("Cautions", [one for one in answer.cautions if one != NOT_FOR_CLINICAL_USE])
        lines += _listed(
            "Sentence by sentence", [f"{one.sentence} *({support_words(one.to_dict())})*" for one in answer.grounds]
        )
        lines += _evidence(answer)
    last = "Several models answered; each answer names its own." if several else _model(exchanges[-1][1])
    return "\n".join([*lines, "---", last, ""])


def _model(answer: Answer) -> str:
    return f"Model {answer.model_name}, fingerprint `{answer.model_fingerprint}`."


def _listed(title: str, items: Sequence[str]) -> list[str]:
    return [f"### {title}", "", *(f"- {one}" for one in items), ""] if items else []


def _evidence(answer: Answer) -> list[str]:
    if not answer.evidence:
        return []
    lines = ["### Evidence", ""]
    for number, item in enumerate(answer.evidence, start=1):
        text = " ".join(item.text.split())
        lines += [f"{number}. **{item.title}.** {text}  ", f"   Source: {item.source} ({item.licence})"]
        lines += [f"   - {reference}" for reference in item.references]
    return [*lines, ""]
