"""Example files as the ablation reads them: a question, its pictures, the truth, the documents that hold it; scoring.

An answer to a short truth is right if it names it; to a closed question, if the first option that it names is the true
one; to a truth of more than `SHORT` words (a passage), if nearly all its words stand there and they are not too few.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from assistant.errors import RetrievalError
from assistant.evidence import Evidence
from assistant.review import without_citations
from assistant.words import content_words, tokens

SHORT = 8
_LEAST_WORDS = 6
_LEAST_HELD = 0.75
_COPIED = 8
_QUOTED = re.compile(r'"([^"]+)"')
_YES_NO = ("yes", "no")


@dataclass(frozen=True)
class Asked:
    """One question of an example file."""

    id: str
    text: str
    truth: str
    images: tuple[Path, ...]
    options: tuple[str, ...]
    documents: tuple[str, ...]
    """Ids of the evidence that holds the answer; none where no evidence is needed, or it is not known."""
    needs: str
    """"card" for a question that only evidence answers, else "image"."""
    group: str
    """What stands or falls together in an interval."""

    def right(self, answer: str) -> bool:
        """Tell whether an answer is right."""
        said = without_citations(answer)
        if self.options or self.truth.lower().strip(" .") in _YES_NO:
            options = self.options or ("Yes", "No")
            return _first(said, options) == _first(self.truth, options) is not None
        wanted = tokens(self.truth)
        if len(wanted) <= SHORT:
            return _holds(tokens(said), wanted)
        # An answer that quotes is judged by what it quotes.
        quoted = " ".join(_QUOTED.findall(said)) or said
        words = content_words(quoted)
        held = set(tokens(self.truth))
        return len(words) >= _LEAST_WORDS and sum(word in held for word in words) >= _LEAST_HELD * len(words)


def read_asked(path: Path) -> list[Asked]:
    """Read an example file: JSON lines with id, images, messages, choices?, truth?.

    Args:
        path: of the file; images are relative to its folder.
    Returns:
        The last question of each example; reports and captions are left out.
    Raises:
        RetrievalError: a line is no example; or none is a question.
    """
    if not path.is_file():
        raise RetrievalError(f"There is no example file {path}. Make one: python -m data_recipes.build --list")
    found: list[Asked] = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
            if record.get("task", "vqa") in ("report", "caption"):
                continue
            truth = record.get("truth") or {}
            documents = truth.get("documents", ()) if truth.get("needs") != "image" else ()
            images = tuple(path.parent / name for name in record["images"])
            found.append(
                Asked(
                    str(record["id"]),
                    str(record["messages"][-2]["content"]),
                    str(record["messages"][-1]["content"]),
                    images,
                    tuple(record.get("choices") or ()),
                    tuple(documents),
                    str(truth.get("needs") or ("card" if documents or not images else "image")),
                    str(record.get("patient") or (images[0] if images else record["id"])),
                )
            )
        except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
            raise RetrievalError(f"{path}:{number}: {line[:40]!r} is no example ({error!r}).") from error
    if not found:
        raise RetrievalError(f"{path} holds no question; reports and captions are not asked here.")
    return found


def is_copied(answer: str, evidence: Sequence[Evidence]) -> bool:
    """Tell whether an answer holds eight words in a row of its evidence."""
    said = tokens(without_citations(answer))
    runs = {tuple(said[place : place + _COPIED]) for place in range(len(said) - _COPIED + 1)}
    for item in evidence:
        held = tokens(item.text)
        if any(tuple(held[place : place + _COPIED]) in runs for place in range(len(held) - _COPIED + 1)):
            return True
    return False


def follows(asked: Asked, answer: str) -> bool:
    """Tell whether an answer has the form that was asked for, right or wrong.

    One of the options for a closed question; for a short truth a short answer of one line; else a sentence.
    """
    said = without_citations(answer).strip()
    if asked.options or asked.truth.lower().strip(" .") in _YES_NO:
        return _first(said, asked.options or ("Yes", "No")) is not None and len(said.split()) <= 2 * SHORT
    if len(tokens(asked.truth)) <= SHORT:
        return bool(said) and "\n" not in said and len(said.split()) <= 2 * SHORT
    return len(said.split()) >= _LEAST_WORDS


def _first(text: str, options: Sequence[str]) -> str | None:
    """Return the option named first, of two at one place the longer one."""
    said = tokens(text)
    places: list[tuple[int, int, str]] = []
    for option in options:
        wanted = tokens(option)
        for place in range(len(said) - len(wanted) + 1):
            if wanted and said[place : place + len(wanted)] == wanted:
                places.append((place, -len(wanted), option.lower()))
                break
    return min(places)[2] if places else None


def _holds(said: Sequence[str], wanted: Sequence[str]) -> bool:
    return any(list(said[place : place + len(wanted)]) == list(wanted) for place in range(len(said) - len(wanted) + 1))
