"""A drafted report as Markdown, made from the record that the worklist keeps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from assistant.conversation import NOT_FOR_CLINICAL_USE
from assistant.exports.notices import is_accepted, origin_notice, use_notice
from assistant.exports.wording import (
    confidence_phrase,
    critical_names,
    known_before,
    plain_markdown,
    shown_sections,
    support_words,
    title_of,
    told_of_study,
)

_PATHS_SHOWN = 6


def report_markdown(record: Mapping[str, Any]) -> str:
    """Return one study's report as a Markdown page.

    Args:
        record: the JSON form of `Report.to_dict`; `study` and `inputs` are shown when present.
    Returns:
        Markdown that ends with a line break.
    """
    lines = [f"# {plain_markdown(title_of(record))}", "", f"> {use_notice(record)}", ""]
    if named := critical_names(record):
        lines += [f"> **Critical finding: {plain_markdown(named)}.** Have the image read at once.", ""]
    if is_accepted(record):
        lines += [f"- {plain_markdown(origin_notice(record))}"]
    if record.get("study"):
        lines += [f"- Study: `{record['study']}`"]
    if record.get("inputs"):
        lines += [f"- Images: {_named(record['inputs'])}"]
    if record.get("priors"):
        how = ", found by patient and date" if record.get("priors_found") else ""
        lines += [f"- Compared with: {_named(record['priors'])}{how}"]
    lines += [f"- {name}: {plain_markdown(text)}" for name, text in told_of_study(record)]
    lines += [f"- {name}: {plain_markdown(text)}" for name, text in known_before(record)]
    if record.get("confidence") is not None:
        lines += [f"- Confidence: {confidence_phrase(record['confidence'], bool(record.get('abstained')))}"]
    if lines[-1]:
        lines += [""]
    for _, heading, text in shown_sections(record):
        lines += [f"## {plain_markdown(heading)}", "", text, ""]
    lines += _slices(record.get("slices", ()))
    lines += _cautions(record.get("cautions", ()))
    lines += _grounds(record.get("grounds", ()))
    lines += _evidence(record.get("evidence", ()))
    lines += _cases(record.get("cases", ()))
    model = record.get("model")
    if model:
        lines += ["---", f"Model {model['name']}, fingerprint `{model['fingerprint']}`.{_template(record)}", ""]
    return "\n".join(lines)


def _template(record: Mapping[str, Any]) -> str:
    """Return which template was used, and how it was chosen; "" where the record does not tell."""
    used = record.get("template")
    if not used:
        return ""
    how = {"name": "named", "header": "chosen by the header", "look": "chosen by the look of the image"}
    return f" Template `{used['name']}`, {how.get(used['chosen_by'], used['chosen_by'])}."


def _named(paths: Sequence[str]) -> str:
    """Return the paths; of many the first and last."""
    if len(paths) <= _PATHS_SHOWN:
        return ", ".join(f"`{one}`" for one in paths)
    return f"`{paths[0]}` … `{paths[-1]}` ({len(paths)} files)"


def _slices(slices: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the slices of a volume that the model read, nothing for other images."""
    rows = [
        f"- {one['plane'].capitalize()} slice {one['slice']} of {one['of']} at {one['position_mm']:.1f} mm, "
        f"series `{one['series']}` ({one['chosen']}, score {one['score']:.1f})"
        for one in slices
    ]
    return ["## Slices read", "", *rows, ""] if rows else []


def _cautions(cautions: Sequence[str]) -> list[str]:
    """Return the section of cautions, less the one at the head of the page; nothing when there are none."""
    rest = [f"- {caution}" for caution in cautions if caution != NOT_FOR_CLINICAL_USE]
    return ["## Cautions", "", *rest, ""] if rest else []


def _grounds(grounds: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return each sentence with what it stands on, nothing without evidence."""
    rows = [f"- {one['sentence']} *({support_words(one)})*" for one in grounds]
    return ["## Sentence by sentence", "", *rows, ""] if rows else []


def _cases(cases: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the nearest cases with their sources; their pictures stay in the index."""
    rows = [
        f"- **{one['title']}.** {' '.join(str(one['text']).split())} Source: {one['source']} ({one['licence']}); "
        f"picture `{one['image']}` of the index"
        for one in cases
    ]
    return ["## Nearest cases", "", "Cases of the index whose pictures are most alike. Alike is not the same.", "",
            *rows, ""] if rows else []  # fmt: skip


def _evidence(evidence: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the numbered evidence with sources and licences, nothing when there is none."""
    if not evidence:
        return []
    lines = ["## Evidence", ""]
    for number, item in enumerate(evidence, start=1):
        text = " ".join(str(item["text"]).split())
        lines += [f"{number}. **{item['title']}.** {text}  ", f"   Source: {item['source']} ({item['licence']})"]
    return [*lines, ""]
