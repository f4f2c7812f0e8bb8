"""What a report says is there, is not there, or may be there, and on which side: read out by rules, no model.

After the idea of NegEx (Chapman et al., J Biomed Inform 2001) and of CheXpert's labeller (Irvin et al., AAAI 2019):
names of findings are looked up, and cues within the same clause say whether they are denied or doubted. A cue reaches
to the end of its clause, over commas and "or", but not over "but", nor over an "and" that begins a new statement.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from assistant.finding_names import named_findings
from assistant.words import sentences

Status = Literal["present", "uncertain", "absent"]
Side = Literal["left", "right", "bilateral"]

_CLAUSE = re.compile(
    r";|,? \b(?:but|however|although|though|except(?: for)?|apart from|yet|whereas|while|otherwise)\b|"
    r",? \band (?=(?:there (?:is|are)|(?:a|an|the|no|without|mild|moderate|large|small|new) |"
    r"(?:left|right|bilateral)[- ]|(?:\w+ ){0,2}(?:is|are) ))|(?<!\d)\.(?!\d)"
)
_SEEMING = re.compile(
    r"\b(?:no|without|not) (?:significant |appreciable |interval |definite )?(?:change|increase|decrease|doubt)\b|"
    r"\bno longer\b|\bnot only\b|\bunchanged\b"
)
_DOUBT_NEGATION = re.compile(
    r"\b(?:cannot (?:be )?(?:entirely |completely )?(?:exclude\w*|rule\w* out)|"
    r"(?:is|are) not (?:entirely |completely )?(?:excluded|ruled out)|(?:difficult|hard) to (?:exclude|rule out))\b"
)
_NOT_BEFORE = re.compile(
    r"\b(?:no|not|without|never|neither|nor|denies|negative for|free of|clear of|absence of|absent|"
    r"(?:rules?|ruled) out|excludes?|resolution of|resolved)\b"
)
_NOT_AFTER = re.compile(
    r"\b(?:(?:is|are|was|were|has been|have been) (?:now )?(?:absent|excluded|ruled out|resolved|negative|"
    r"not (?:seen|present|visible|visuali[sz]ed|identified|found|detected|demonstrated|evident|observed|noted|shown))|"
    r"(?:has|have) (?:resolved|cleared))\b|: (?:absent|none|negative|no)\b"
)
_DOUBT = re.compile(
    r"\b(?:possibl[ey]|probabl[ey]|likely|may|might|could|suspect\w*|suspicio\w+|questionabl[ey]|question of|"
    r"suggest\w*|concern\w* for|equivocal|perhaps|presum\w+|versus|vs|"
    r"(?:can|could|to) (?:represent|reflect)|differential|cannot exclude|evaluate for|rule out)\b"
)
_ORDER = re.compile(r"\b(?:to rule out|rule out|evaluate for)\b")
_SIDES = re.compile(r"\b(?:left|right|bilateral(?:ly)?|both (?:lungs?|sides?|bases?|hemithoraces))\b(?!-)")


@dataclass(frozen=True)
class Stated:
    """One finding as a report states it."""

    name: str
    """A key of `finding_names.SYNONYMS`."""
    side: Side | None
    """None where the clause does not tell."""
    status: Status


def read_findings(text: str) -> list[Stated]:
    """Read the findings out of a report.

    Args:
        text: a report or a part of it.

    Returns:
        Each name and side once, in the order of the text: as present if one sentence says so, else as uncertain, else
        as absent. A statement without a side gives way to one of the same status that names a side.
    """
    found: dict[tuple[str, Side | None], Status] = {}
    ranks: dict[Status, int] = {"absent": 0, "uncertain": 1, "present": 2}
    for sentence in sentences(re.sub(r"(?m)^\s*(?:technique|findings|impression|indication)\s*:", " ", text.lower())):
        for stated in _sentence_findings(sentence):
            key = stated.name, stated.side
            if key not in found or ranks[stated.status] > ranks[found[key]]:
                found[key] = stated.status
    kept = [Stated(name, side, status) for (name, side), status in found.items()]
    return [one for one in kept if not any(_tells_more(other, one) for other in kept)]


def _tells_more(other: Stated, one: Stated) -> bool:
    return one.side is None and other.side is not None and (other.name, other.status) == (one.name, one.status)


def _sentence_findings(sentence: str) -> Iterable[Stated]:
    start = 0
    for cut in [*_CLAUSE.finditer(sentence), None]:
        yield from _clause_findings(sentence[start : cut.start()] if cut else sentence[start:])
        start = cut.end() if cut else start


def _clause_findings(clause: str) -> Iterable[Stated]:
    clause = _SEEMING.sub(lambda match: " " * len(match.group()), clause)
    doubted = bool(_DOUBT_NEGATION.search(clause))
    clause = _DOUBT_NEGATION.sub(lambda match: " " * len(match.group()), clause)
    hits = named_findings(clause)
    for number, (start, end, name) in enumerate(hits):
        before, after = clause[:start], clause[end:]
        next_hit = hits[number + 1][0] if number + 1 < len(hits) else len(clause)
        status: Status = "present"
        if doubted or _doubted(before, clause[end:next_hit]):
            status = "uncertain"
        elif _NOT_BEFORE.search(before) or _NOT_AFTER.search(after):
            status = "absent"
        yield Stated(name, _side(clause, start, end, hits), status)


def _doubted(before: str, after: str) -> bool:
    """Whether a cue of doubt stands before a finding, or between it and the next one."""
    if _ORDER.search(before):
        return True
    # "No suspicious nodule": what is denied is not doubted.
    doubt = [match.start() for match in _DOUBT.finditer(before)]
    denied = [match.start() for match in _NOT_BEFORE.finditer(before)]
    if doubt and not (denied and denied[0] < doubt[0]):
        return True
    return not denied and bool(_DOUBT.search(after))


def _side(clause: str, start: int, end: int, hits: list[tuple[int, int, str]]) -> Side | None:
    """Return the side of the finding at start:end: the nearest word that no other finding stands between."""
    sides = [(match.start(), match.end(), match.group()) for match in _SIDES.finditer(clause)]
    inside = [word for at, _, word in sides if start <= at < end]
    if inside:
        return _as_side(inside)
    earliest = max((other[1] for other in hits if other[1] <= start), default=0)
    latest = min((other[0] for other in hits if other[0] >= end), default=len(clause))
    before = [word for at, _, word in sides if earliest <= at < start]
    after = [word for at, _, word in sides if end <= at < latest]
    # "Left effusion and right nodule": a side in front of the next finding belongs to that one.
    if before:
        return _as_side(before)
    if after and not _fronts_next(clause, end, latest, hits):
        return _as_side(after)
    shared = [word for _, _, word in sides]
    return _as_side(shared) if len(set(shared)) == 1 and not (after or before) else None


def _fronts_next(clause: str, end: int, latest: int, hits: list[tuple[int, int, str]]) -> bool:
    """Whether the side after a finding stands in front of the next finding, behind an "and" or a comma."""
    between = clause[end:latest]
    return latest < len(clause) and bool(re.match(r"\s*(?:,|and\b|or\b)", between)) and bool(hits)


def _as_side(words: list[str]) -> Side | None:
    named = {"bilateral" if word.startswith(("bilateral", "both")) else word for word in words}
    if named >= {"left", "right"} or "bilateral" in named:
        return "bilateral"
    return "left" if named == {"left"} else "right" if named == {"right"} else None


def positive(text: str) -> set[tuple[str, str | None]]:
    """Return the findings that a report says are there or may be there, as (name, side).

    "bilateral" becomes one of each side, so that naming one side of two is half right.
    """
    found: set[tuple[str, str | None]] = set()
    for one in read_findings(text):
        if one.status != "absent":
            found |= {(one.name, side) for side in (("left", "right") if one.side == "bilateral" else (one.side,))}
    return found
