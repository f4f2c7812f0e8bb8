"""What has changed since an earlier image, worked out from what a model reads on each image by itself.

A model that is shown both images at once may write of change whatever they show: on phantoms the starter called 37 of
42 findings that had grown or shrunk "unchanged", while it read most of them rightly on each image alone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from assistant.case import Case
from assistant.findings import read_findings
from assistant.words import sentences

WRITTEN = "written"
"""Value of a contract's `comparison` for a model that was shown to tell change itself; others read each image alone."""
HOW = "The comparison was worked out from what the model read on each image by itself; it never saw them together."
NOT_READ = "The earlier image could not be read with enough certainty, so nothing was compared."
NOTHING = "No finding was read on either image."
_RATIO = 1.2
"""A size that differs by less than a fifth is called about the same; a fifth is what RECIST 1.1 asks of growth."""
_LENGTH = re.compile(r"(\d+(?:\.\d+)?)(?:\s*(?:x|×)\s*(\d+(?:\.\d+)?))*\s*(mm|cm)\b")
_NUMBER = re.compile(r"\d+(?:\.\d+)?")


@dataclass(frozen=True)
class Read:
    """One finding as it was read on one image."""

    name: str
    """As `finding_names` has it."""
    side: str | None
    """None where the text does not tell."""
    size_mm: float | None = None
    """The largest length in the sentences that name it alone; None without any."""

    @property
    def words(self) -> str:
        """The finding with its side."""
        return f"{self.name} ({self.side})" if self.side else self.name


def split_priors(case: Case) -> Case:
    """Return a case about the priors alone, and leave the case itself only the current pictures.

    Args:
        case: of a report with priors, whose slices are chosen.
    Returns:
        A case to be written like any other; what it says is for `compared` alone.
    """
    assert case.request is not None
    count = len(case.pictures) - _current(case)
    earlier = Case(
        case.pictures[:count],
        request=replace(case.request, pictures=case.pictures[:count], priors=()),
        features=case.features[:count],
        template=case.template,
    )
    case.pictures, case.features = case.pictures[count:], case.features[count:]
    case.sights = case.sights[count:]
    return earlier


def _current(case: Case) -> int:
    """Return how many of a case's pictures are not priors: as many as the request's own that are still there."""
    assert case.request is not None
    own = {id(picture) for picture in case.request.pictures}
    return sum(id(picture) in own for picture in case.pictures)


def compared(now: str, before: str) -> str:
    """Return the comparison of two reports.

    Args:
        now: findings of the current images.
        before: findings of the earlier ones.
    Returns:
        One sentence for each finding that either names.
    """
    current, earlier = read(now), read(before)
    told = []
    left = list(earlier)
    for one in current:
        other = next((prior for prior in left if _same(one, prior)), None)
        if other is not None:
            left.remove(other)
        told.append(_sentence(one, other))
    told += [f"{_capital(one.words)} has resolved{_size(one, ', ', ' on the earlier image')}." for one in left]
    return " ".join(told) or NOTHING


def read(text: str) -> list[Read]:
    """Read the findings that a text states, with side and size.

    Args:
        text: of one section.
    Returns:
        Each name and side once, in the order of the text; what is denied is left out.
    """
    stated = [one for one in read_findings(text) if one.status != "absent"]
    sizes: dict[str, list[float]] = {}
    for sentence in sentences(text):
        names = {one.name for one in read_findings(sentence) if one.status != "absent"}
        if len(names) == 1:
            sizes.setdefault(names.pop(), []).extend(lengths_mm(sentence))
    sides: dict[str, int] = {}
    for one in stated:
        sides[one.name] = sides.get(one.name, 0) + 1
    found = []
    for one in stated:
        # A size belongs to a finding only where it cannot be the other side's.
        known = sizes.get(one.name, []) if sides[one.name] == 1 else _of_side(text, one.name, one.side)
        found.append(Read(one.name, one.side, max(known, default=None)))
    return found


def lengths_mm(sentence: str) -> list[float]:
    """Return the lengths in a sentence, in mm; of "3 x 2 cm" both."""
    found = []
    for match in _LENGTH.finditer(sentence.lower()):
        scale = 10.0 if match.group(3) == "cm" else 1.0
        found += [scale * float(number) for number in _NUMBER.findall(match.group())]
    return found


def _of_side(text: str, name: str, side: str | None) -> list[float]:
    """Return the lengths in the sentences that name a finding on one side and nothing else."""
    found: list[float] = []
    for sentence in sentences(text):
        stated = [(one.name, one.side) for one in read_findings(sentence) if one.status != "absent"]
        if stated == [(name, side)]:
            found += lengths_mm(sentence)
    return found


def _same(one: Read, other: Read) -> bool:
    return one.name == other.name and (one.side == other.side or None in (one.side, other.side))


def _sentence(now: Read, before: Read | None) -> str:
    """Say what has become of a finding that is there now."""
    name = _capital(now.words)
    if before is None:
        return f"{name} is new{_size(now, ': ', '')}; it was not read on the earlier image."
    if now.size_mm is None or before.size_mm is None:
        return f"{name} was there before; whether its size has changed cannot be told."
    sizes = f"{now.size_mm:g} mm, {before.size_mm:g} mm on the earlier image"
    if now.size_mm >= _RATIO * before.size_mm:
        return f"{name} is larger: {sizes}."
    if before.size_mm >= _RATIO * now.size_mm:
        return f"{name} is smaller: {sizes}."
    return f"{name} is unchanged in size: {sizes}."


def _size(one: Read, start: str, end: str) -> str:
    return f"{start}{one.size_mm:g} mm{end}" if one.size_mm is not None else ""


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def reads_apart(case: Case, capabilities: Mapping[str, str]) -> bool:
    """Tell whether the images of a report are to be read one by one.

    Args:
        case: of a report, with its template.
        capabilities: of the model's contract.
    Returns:
        True where there is a prior, unless the model was shown to tell change itself, or is asked question by question.
    """
    priors = case.request.priors if case.request else ()
    questions = case.template.questions if case.template else ()
    return bool(priors) and not questions and capabilities.get("comparison") != WRITTEN
