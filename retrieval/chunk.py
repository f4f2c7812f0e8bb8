"""Long documents → chunks that fit a token budget: first by heading, then by sentence."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from assistant.words import sentences

_HEADING = re.compile(r"^#{1,6}\s+(.*?)\s*#*\s*$")
_BULLET = re.compile(r"^\s*(?:[-*+•]|\d+[.)])\s+")
_MARKS = (
    (re.compile(r"!\[[^\]]*\]\([^)]*\)"), ""),
    (re.compile(r"\[([^\]]+)\]\([^)]*\)"), r"\1"),
    (re.compile(r"(\*\*|__)(?=\S)(.+?)(?<=\S)\1"), r"\2"),
    (re.compile(r"(?<!\w)([*_])(?=\S)(.+?)(?<=\S)\1(?!\w)"), r"\2"),
    (re.compile(r"`([^`]+)`"), r"\1"),
)


@dataclass(frozen=True)
class Section:
    """One heading's text; `heading` is None for what stands before the first heading."""

    heading: str | None
    text: str


def markdown_sections(markdown: str) -> list[Section]:
    """Split Markdown at its headings and turn each part into plain sentences.

    A bullet becomes a sentence of its own; emphasis, links, pictures and code marks are taken off.
    """
    sections: list[Section] = []
    heading: str | None = None
    lines: list[str] = []
    for line in [*markdown.splitlines(), "# end"]:
        match = _HEADING.match(line)
        if not match:
            lines.append(line)
            continue
        text = _plain("\n".join(lines))
        if text:
            sections.append(Section(heading, text))
        heading, lines = _strip_marks(match.group(1)), []
    return sections


def split_text(text: str, budget: int, count_tokens: Callable[[str], int]) -> list[str]:
    """Pack whole sentences into pieces of at most `budget` tokens; a longer sentence is cut between words.

    Each sentence is counted once and the counts are added up: a tokenizer never makes fewer pieces of the parts than of
    the whole, so the sum is an upper bound, and a long text takes time in proportion to its length.
    """
    counted = [
        (part, count_tokens(part)) for whole in sentences(text) for part in _fitting(whole, budget, count_tokens)
    ]
    return _pack(counted, budget, count_tokens(" a") - count_tokens("a"))


def _pack(counted: list[tuple[str, int]], budget: int, gap: int) -> list[str]:
    """Join neighbours while their counts, with `gap` for each space between, stay within the budget."""
    pieces: list[list[str]] = []
    filled = 0
    for part, count in counted:
        if not pieces or filled + gap + count > budget:
            pieces.append([])
            filled = -gap
        pieces[-1].append(part)
        filled += gap + count
    return [" ".join(parts) for parts in pieces]


def chunk_sections(
    sections: list[Section], budget: int, count_tokens: Callable[[str], int]
) -> list[tuple[str | None, str]]:
    """Turn sections into (heading, text) chunks.

    The lead (before the first heading) joins the first section when both fit together, and then carries no heading:
    it is the document's summary.
    """
    if len(sections) > 1 and sections[0].heading is None:
        joined = f"{sections[0].text} {sections[1].text}"
        if count_tokens(joined) <= budget:
            sections = [Section(None, joined), *sections[2:]]
    return [(part.heading, piece) for part in sections for piece in split_text(part.text, budget, count_tokens)]


def _fitting(sentence: str, budget: int, count_tokens: Callable[[str], int]) -> list[str]:
    if count_tokens(sentence) <= budget:
        return [sentence]
    counted = [(word, count_tokens(word)) for word in sentence.split()]
    return _pack(counted, budget, count_tokens(" a") - count_tokens("a"))


def _plain(markdown: str) -> str:
    paragraphs: list[str] = []
    open_paragraph = False
    for line in markdown.splitlines():
        stripped = _strip_marks(_BULLET.sub("", line)).strip()
        if not stripped:
            open_paragraph = False
        elif open_paragraph and not _BULLET.match(line):
            paragraphs[-1] += " " + stripped
        else:
            paragraphs.append(stripped)
            open_paragraph = True
    return " ".join(part if part[-1] in ".!?:;" else part + "." for part in paragraphs)


def _strip_marks(text: str) -> str:
    for pattern, replacement in _MARKS:
        text = pattern.sub(replacement, text)
    return text
