"""Reports on phantoms in several styles, and the parser that reads findings back out of a report."""

from __future__ import annotations

import random
import re
from typing import TYPE_CHECKING

from data_recipes.phantom_findings import KINDS, MASK_CLASSES, Finding, Kind

if TYPE_CHECKING:
    from data_recipes.phantom import Phantom

REPORT_STYLES: tuple[str, ...] = ("plain", "terse", "list", "formal")

_NUMBERS = {1: "one", 2: "two", 3: "three"}
_TECHNIQUE: dict[str, tuple[str, str]] = {
    "chest_xray": ("Frontal radiograph of the chest.", "Chest X-ray, frontal view."),
    "head_ct": ("Axial CT slice of the head without contrast.", "CT of the head, axial."),
    "brain_mr": ("Axial MRI slice of the brain with contrast.", "MRI of the brain, axial."),
    "abdomen_us": ("Transverse ultrasound of the abdomen.", "Ultrasound of the abdomen, transverse."),
}
_PLACE = {
    "chest_xray": "{side} {zone} lung zone",
    "head_ct": "{side} {zone} part of the brain",
    "brain_mr": "{side} {zone} part of the brain",
    "abdomen_us": "{side} {zone} part of the field",
}
_SHORT_PLACE = {"chest_xray": "{side} {zone} zone", "head_ct": "{side} {zone} brain", "brain_mr": "{side} {zone} brain"}

_ZONES = sorted({zone for kind in KINDS.values() for zone in kind.zones})
_ALIASES = {"cardiomegaly": "enlarged heart", "heart is enlarged": "enlarged heart", "haemorrhage": "hemorrhage"}
_NAMES = {name: name for name in MASK_CLASSES[1:]} | _ALIASES
_NAME = re.compile(
    r"\b(" + "|".join(re.escape(name) for name in sorted(_NAMES, key=len, reverse=True)) + r")(?:e?s)?\b"
)
_SIDE = re.compile(r"\b(left|right)\b")
_ZONE = re.compile(r"\b(" + "|".join(_ZONES) + r")\b")
_DENIED = re.compile(r"\b(?:not|absent|resolved|excluded)\b")
_NONE = re.compile(r"\b(?:no|without|free of|negative for)\b")


def plural(name: str) -> str:
    """Return the plural of a finding's name."""
    return name + ("es" if name.endswith("s") else "s")


def location(kind: str, side: str, zone: str) -> str:
    """Return where a finding lies, in words: "right upper lung zone"."""
    return _PLACE[kind].format(side=side, zone=zone)


def phantom_report(phantom: Phantom, rng: random.Random, style: str | None = None) -> dict[str, str]:
    """Write the report on one phantom.

    Args:
        phantom: what to report.
        rng: source of chance for wording.
        style: one of `REPORT_STYLES`; None draws one.
    Returns:
        technique, findings and impression; each finding's sentence states side, zone and size.
    Raises:
        ValueError: the style is unknown.
    """
    style = style or rng.choice(REPORT_STYLES)
    if style not in REPORT_STYLES:
        raise ValueError(f"style is {style!r}; use one of {', '.join(REPORT_STYLES)}.")
    kind = KINDS[phantom.kind]
    sentences = [_sentence(kind, finding, style, number, rng) for number, finding in enumerate(phantom.findings, 1)]
    sentences += _negatives(kind, phantom.findings, style, rng)
    return {
        "technique": rng.choice(_TECHNIQUE[kind.name]),
        "findings": " ".join(sentences),
        "impression": _impression(kind, phantom.findings, rng),
    }


def report_findings(text: str) -> set[tuple[str, str | None, str | None]]:
    """Read the findings that a report states as present.

    Args:
        text: a whole report or its findings section. A finding said twice, once with less detail, counts once.
    Returns:
        (name, side, zone) each; side or zone None where the text does not tell.
    """
    found: set[tuple[str, str | None, str | None]] = set()
    for sentence in re.split(r"[.!?\n]+(?:\s|$)", text.lower()):
        for clause in re.split(r"\bbut\b|\bhowever\b", sentence):
            if _DENIED.search(clause):
                continue
            found |= _clause_findings(_NONE.split(clause)[0])
    return {
        item
        for item in found
        if not any(item != other and item[0] == other[0] and _within(item, other) for other in found)
    }


def _within(vague: tuple[str, str | None, str | None], exact: tuple[str, str | None, str | None]) -> bool:
    """Say whether `exact` tells all that `vague` tells."""
    return all(part is None or part == full for part, full in zip(vague[1:], exact[1:], strict=True))


def _clause_findings(clause: str) -> set[tuple[str, str | None, str | None]]:
    """Read the findings of a clause that denies nothing; several are parted at "and" and commas."""
    pieces = [clause]
    if len(_NAME.findall(clause)) > 1:
        pieces = []
        for piece in re.split(r",|;|\band\b", clause):
            if pieces and not _NAME.search(piece):
                pieces[-1] += piece
            else:
                pieces.append(piece)
    found = set()
    for piece in pieces:
        side, zone = _SIDE.search(piece), _ZONE.search(piece)
        for name in _NAME.findall(piece):
            found.add((_NAMES[name], side and side.group(1), zone and zone.group(1)))
    return found


def _sentence(kind: Kind, finding: Finding, style: str, number: int, rng: random.Random) -> str:
    """Return one finding's sentence in a style."""
    name, size, count = finding.name, finding.size_mm, finding.count
    start = f"{number}. " if style == "list" else ""
    if finding.side is None or finding.zone is None:
        words = {"plain": "The heart is enlarged.", "formal": "There is an enlarged heart.", "terse": "Enlarged heart."}
        return start + words.get(style, "Enlarged heart.")
    place = location(kind.name, finding.side, finding.zone)
    several = count > 1
    things = plural(name) if several else name
    if style == "terse":
        amount = f"{count} {things}, {size} mm each" if several else f"{name}, {size} mm"
        return f"{place.capitalize()}: {amount}."
    if style == "list":
        return f"{start}{name.capitalize()}: side {finding.side}, zone {finding.zone}, size {size} mm, number {count}."
    if style == "formal":
        subject = f"{_NUMBERS[count].capitalize()} {things}" if several else f"A {name}"
        seen = rng.choice(("seen", "noted"))
        return f"{subject} measuring {size} mm {'are' if several else 'is'} {seen} in the {place}."
    if several:
        return f"There are {_NUMBERS[count]} {things} of {size} mm in the {place}."
    return f"There is a {size} mm {name} in the {place}."


def _negatives(kind: Kind, findings: tuple[Finding, ...], style: str, rng: random.Random) -> list[str]:
    """Return what is said of that which is not there."""
    shown = {finding.name for finding in findings}
    absent = [name for name in kind.sizes if name not in shown]
    rng.shuffle(absent)
    sentences = []
    if absent and rng.random() < 0.6:
        told = absent[: rng.choice((1, 2))]
        sentences.append(("There is no " if style == "formal" else "No ") + " or ".join(told) + ".")
    if not sentences or rng.random() < 0.5:
        sentences.append("No other abnormality is seen." if findings else "No abnormality is seen.")
    return sentences


def _impression(kind: Kind, findings: tuple[Finding, ...], rng: random.Random) -> str:
    if not findings:
        return rng.choice(("No abnormality.", "Normal examination."))
    parts = []
    for finding in findings:
        if finding.side is None or finding.zone is None:
            parts.append("Enlarged heart.")
            continue
        short = _SHORT_PLACE.get(kind.name, "{side} {zone} field").format(side=finding.side, zone=finding.zone)
        things = plural(finding.name) if finding.count > 1 else finding.name
        parts.append(f"{things.capitalize()} in the {short}.")
    return " ".join(parts)
