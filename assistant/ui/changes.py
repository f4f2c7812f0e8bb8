"""What a person changed in a draft, word by word: marked by element, sign and line, never by colour alone."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from difflib import SequenceMatcher
from html import escape

from assistant.conversation import SECTIONS

_PIECES = re.compile(r"\w+(?:[.,'’-]\w+)*|[^\w\s]|\s+")
NO_DRAFT = "<p class='ma-empty'>What you change in the draft appears here.</p>"
UNCHANGED = "<p class='ma-empty' role='status'>As drafted: nothing was changed.</p>"

Piece = tuple[str, str]
"""What became of some text, "same", "out" or "in", and the text."""


def word_changes(before: str, after: str) -> list[Piece]:
    """Return how one text becomes another, in whole words.

    Args:
        before: the draft.
        after: as a person left it.
    Returns:
        Pieces in order; those that are "same" or "out" join to the draft, "same" and "in" to the other, but for blanks.
    """
    old, new = (_PIECES.findall(" ".join(text.split())) for text in (before, after))
    return list(_joined(old, new))


def _joined(old: list[str], new: list[str]) -> Iterator[Piece]:
    """Join changes with nothing but a blank between them: a reader sees one change."""
    out, put = "", ""
    for kind, i, j, k, m in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        same = "".join(old[i:j])
        if kind == "equal" and (same.strip() or not (out or put)):
            yield from ((name, text) for name, text in (("out", out), ("in", put)) if text)
            out, put = "", ""
            yield "same", same
            continue
        out, put = out + same, put + "".join(new[k:m])
    yield from ((name, text) for name, text in (("out", out), ("in", put)) if text)


def changed_sections(draft: Mapping[str, str], edited: Mapping[str, str]) -> list[str]:
    """Return the names of the sections that differ in more than blanks."""
    return [name for name in SECTIONS if draft.get(name, "").split() != edited.get(name, "").split()]


def changes_html(draft: Mapping[str, str] | None, edited: Mapping[str, str]) -> str:
    """Return the changes for the page.

    Args:
        draft: the sections as they were drafted; None before there is a draft.
        edited: as they stand.
    Returns:
        HTML: `del` and `ins`, which are struck out and underlined, begin with a minus or a plus, and are told to those
        who listen.
    """
    if draft is None:
        return NO_DRAFT
    changed = changed_sections(draft, edited)
    if not changed:
        return UNCHANGED
    parts = []
    for name in changed:
        pieces = word_changes(draft.get(name, ""), edited.get(name, ""))
        counts = [sum(len(text.split()) for kind, text in pieces if kind == one) for one in ("out", "in")]
        body = "".join(_marked(kind, text) for kind, text in pieces)
        parts.append(
            f"<section><h2>{name.capitalize()}</h2><p class='ma-empty'>{counts[0]} word(s) out, {counts[1]} in</p>"
            f"<p class='ma-changes'>{body}</p></section>"
        )
    return f"<div class='ma-panel' role='group' aria-label='Changes to the draft'>{''.join(parts)}</div>"


def _marked(kind: str, text: str) -> str:
    if kind == "same" or not text.strip():
        return escape(text)
    word, sign, tag = ("removed", "−", "del") if kind == "out" else ("added", "+", "ins")
    return (
        f"<{tag}><span class='ma-spoken'>{word}: </span><span aria-hidden='true'>{sign}</span>{escape(text.strip())}"
        f"<span class='ma-spoken'> end of {word}. </span></{tag}> "
    )
