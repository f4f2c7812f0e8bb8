"""Markdown knowledge cards: a YAML head, one summary sentence, then headed sections."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from retrieval.chunk import chunk_sections, markdown_sections
from retrieval.corpus import CountTokens, Faults, Passage, check_modality

_HEAD = re.compile(r"\A---\r?\n(.*?)\r?\n---\r?\n(.*)\Z", re.DOTALL)
_REQUIRED = ("id", "title", "modality", "licence", "references")
_OPTIONAL = ("anatomy", "finding", "synonyms", "source")
CARD_SOURCE = "medassist knowledge card"


def read_cards(path: Path, faults: Faults, *, budget: int, count_tokens: CountTokens) -> list[Passage]:
    """Read one card, or every `.md` of a folder in order of name, as chunks.

    Args:
        path: a card or a folder. `README.md` is no card.
        faults: what is wrong is added here.
        budget: the longest chunk, as `count_tokens` counts.
        count_tokens: length of a text.
    Returns:
        Chunks with the card's id as parent; the first chunk has the card's own id.
    """
    files = sorted(path.rglob("*.md")) if path.is_dir() else [path]
    passages: list[Passage] = []
    for file in files:
        if file.name != "README.md":
            passages.extend(_read_card(file, faults, budget, count_tokens))
    return passages


def _read_card(file: Path, faults: Faults, budget: int, count_tokens: CountTokens) -> list[Passage]:
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        faults.add(str(file), "file", type(error).__name__, "save it as UTF-8 text that can be read.")
        return []
    match = _HEAD.match(text)
    if not match:
        faults.add(f"{file}:1", "head", text[:20], "begin the card with a YAML head between two lines of ---.")
        return []
    before = len(faults.found)
    head = _read_head(file, match.group(1), faults)
    modality = check_modality(head.get("modality"), _place(file, text, "modality"), faults)
    chunks = chunk_sections(markdown_sections(match.group(2)), budget, count_tokens)
    if not chunks:
        faults.add(str(file), "text", "", "write a summary sentence and the sections below the head.")
    if len(faults.found) > before:
        return []
    return [
        Passage(
            id=head["id"] if number == 0 else f"{head['id']}#{number}",
            kind="passage",
            title=head["title"],
            text=body,
            source=head.get("source", CARD_SOURCE),
            licence=head["licence"],
            modality=modality,
            anatomy=head.get("anatomy"),
            finding=head.get("finding"),
            keywords=tuple(head.get("synonyms") or ()),
            section=section if number else None,
            references=tuple(head["references"]),
            parent=head["id"],
        )
        for number, (section, body) in enumerate(chunks)
    ]


def _read_head(file: Path, source: str, faults: Faults) -> dict[str, Any]:
    import yaml

    try:
        head = yaml.safe_load(source)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 2 if mark else 1
        faults.add(
            f"{file}:{line}", "head", getattr(error, "problem", ""), "write it as YAML; quote text with a colon."
        )
        return {}
    if not isinstance(head, dict):
        faults.add(f"{file}:2", "head", head, "write it as `name: value` lines.")
        return {}
    text = f"---\n{source}"
    for name in _REQUIRED:
        if not head.get(name):
            faults.add(f"{file}:1", name, head.get(name), "every card needs it.")
    for name, value in head.items():
        place = _place(file, text, str(name))
        if name not in (*_REQUIRED, *_OPTIONAL):
            faults.add(place, str(name), value, f"no such field; use {', '.join((*_REQUIRED, *_OPTIONAL))}.")
        elif name in ("synonyms", "references"):
            if value is not None and not (isinstance(value, list) and all(isinstance(one, str) for one in value)):
                faults.add(place, name, value, "write a list of quoted texts.")
        elif value is not None and not isinstance(value, str):
            faults.add(place, name, value, "write it as text, in quotes.")
    if head.get("id") and head["id"] != file.stem:
        faults.add(_place(file, text, "id"), "id", head["id"], f"make it the file's name, {file.stem}.")
    return head


def _place(file: Path, text: str, name: str) -> str:
    for number, line in enumerate(text.splitlines(), start=1):
        if line.startswith(f"{name}:"):
            return f"{file}:{number}"
    return f"{file}:1"
