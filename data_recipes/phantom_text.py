"""What is said about phantoms: questions with answers and captions. Reports stand in `phantom_reports`.

All chance comes from a `random.Random` that the caller passes.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from data_recipes.phantom_findings import KINDS, Finding, Kind
from data_recipes.phantom_reports import location, phantom_report, plural, report_findings

if TYPE_CHECKING:
    from data_recipes.phantom import Phantom

__all__ = ["change_question", "phantom_caption", "phantom_questions", "phantom_report", "report_findings"]

Asked = tuple[str, str, str, "tuple[str, ...] | None"]
"""Question, answer, answer_type (closed, open or choice), choices."""

_YES_NO = ("Yes", "No")
_MODALITY = (
    "What imaging modality is shown?",
    "What kind of image is this?",
    "Which imaging technique was used?",
    "How was this image taken?",
)
_REGION = (
    "Which body region is shown?",
    "What part of the body is this?",
    "Which organ or region does the image show?",
)
_ANY = (
    "Is there any abnormality?",
    "Is any abnormal finding visible?",
    "Is this image abnormal?",
    "Does the image show a finding?",
)
_WHAT = (
    "What abnormality is seen?",
    "What does the image show?",
    "What is the main finding?",
    "Name the abnormal findings.",
)
_PRESENT = (
    "Is there {a} {name}?",
    "Is {a} {name} visible?",
    "Does the image show {a} {name}?",
    "Can you see {a} {name} here?",
)
_SIDE = (
    "On which side {is_are} the {things}?",
    "{Is_are} the {things} on the left or on the right?",
    "Which side {does_do} the {things} lie on?",
)
_ZONE = (
    "In which zone {is_are} the {things}?",
    "{Is_are} the {things} {zones}?",
    "Which zone {does_do} the {things} lie in: {zones}?",
)
_WHERE = (
    "Where {is_are} the {things}?",
    "Where {does_do} the {things} lie?",
    "Give the location of the {things}.",
)
_SIZE = (
    "How large is {each} {name} in mm?",
    "What is the size of {each} {name}?",
    "How many millimetres does {each} {name} measure?",
)
_SIZE_CHOICE = (
    "How large is {each} {name}: {sizes}?",
    "What is the size of {each} {name}: {sizes}?",
)
_COUNT = ("How many {names} are there?", "How many {names} can be counted?", "Count the {names}.")
_PHANTOM = (
    "Is this a phantom (drawn) image?",
    "Is this image drawn rather than taken from a patient?",
    "Is this a drawn phantom?",
)
_CHANGE = (
    "The first image is the prior. What has changed?",
    "Compared with the earlier first image, what is the change?",
    "How has the finding changed since the prior, the first image?",
)


def phantom_questions(phantom: Phantom, rng: random.Random) -> list[Asked]:
    """Return questions about one phantom, each with the true answer.

    Over many phantoms "is there X" is answered yes and no about equally often, for each X alike.

    Args:
        phantom: what is asked about.
        rng: source of chance for wording and choice.
    Returns:
        (question, answer, answer_type, choices) each; choices are None where the answer is free.
    """
    kind = KINDS[phantom.kind]
    asked: list[Asked] = [
        (rng.choice(_MODALITY), kind.modality, "open", None),
        (rng.choice(_REGION), kind.anatomy.capitalize(), "open", None),
        (rng.choice(_ANY), _YES_NO[not phantom.findings], "closed", _YES_NO),
        (rng.choice(_WHAT), _what(phantom.findings), "open", None),
        *_presence(kind, phantom.findings, rng),
    ]
    for finding in phantom.findings:
        asked.extend(_about(kind, finding, rng))
    if rng.random() < 0.15:
        asked.append((rng.choice(_PHANTOM), "Yes", "closed", _YES_NO))
    return asked


def phantom_caption(phantom: Phantom) -> str:
    """Return one sentence on what the phantom shows, for contrastive training."""
    kind = KINDS[phantom.kind]
    subject = f"Phantom {kind.anatomy} {kind.modality}"
    if not phantom.findings:
        return f"{subject} without abnormality."
    return f"{subject} with {' and '.join(_described(kind, finding) for finding in phantom.findings)}."


def change_question(present: Phantom, rng: random.Random) -> Asked:
    """Return the question on what has changed since the prior.

    Args:
        present: the second phantom that `with_prior` returned.
        rng: source of chance.
    Returns:
        Question, answer, answer_type, choices.
    Raises:
        ValueError: the phantom has no prior.
    """
    note = present.truth.get("change")
    if note is None:
        raise ValueError("the phantom's truth has no change; take the second phantom of with_prior.")
    question = rng.choice(_CHANGE)
    if note["finding"] is None:
        return question, "No change", "open", None
    name, change = note["finding"], note["change"]
    words = {
        "larger": f"The {name} is larger",
        "smaller": f"The {name} is smaller",
        "new": f"The {name} is new",
        "resolved": f"The {name} has resolved",
        "unchanged": f"The {name} is unchanged",
    }
    return question, words[change], "open", None


def _what(findings: tuple[Finding, ...]) -> str:
    if not findings:
        return "No abnormality"
    return " and ".join(finding.name for finding in sorted(findings, key=lambda found: found.name)).capitalize()


def _article(name: str) -> str:
    return "an" if name[0] in "aeiou" else "a"


def _presence(kind: Kind, findings: tuple[Finding, ...], rng: random.Random) -> list[Asked]:
    """Ask for each finding shown and, so often that yes and no balance, for one that is not."""
    shown = [finding.name for finding in findings]
    absent = [name for name in kind.sizes if name not in shown]
    names = [(name, "Yes") for name in shown]
    # Draws: 0.45 + 2 * 0.13 = 0.71 yes a phantom; 0.42 + 0.58 * 0.5 = 0.71 no.
    if absent and (not shown or rng.random() < 0.5):
        names.append((rng.choice(absent), "No"))
    return [
        (rng.choice(_PRESENT).format(a=_article(name), name=name), answer, "closed", _YES_NO) for name, answer in names
    ]


def _about(kind: Kind, finding: Finding, rng: random.Random) -> list[Asked]:
    """Ask side, zone, place, size and number of one finding."""
    if finding.side is None or finding.zone is None or finding.size_mm is None:
        return []
    several = finding.count > 1
    sizes = tuple(f"{size} mm" for size in kind.sizes[finding.name])
    words = {
        "name": finding.name,
        "names": plural(finding.name),
        "things": plural(finding.name) if several else finding.name,
        "each": "each" if several else "the",
        "is_are": "are" if several else "is",
        "Is_are": "Are" if several else "Is",
        "does_do": "do" if several else "does",
        "zones": f"{kind.zones[0]}, {kind.zones[1]} or {kind.zones[2]}",
        "sizes": f"{', '.join(sizes[:-1])} or {sizes[-1]}",
    }
    place = location(kind.name, finding.side, finding.zone).capitalize()
    zones = tuple(zone.capitalize() for zone in kind.zones)
    size = f"{finding.size_mm} mm"
    asked: list[Asked] = [
        (rng.choice(_SIDE).format(**words), finding.side.capitalize(), "closed", ("Left", "Right")),
        (rng.choice(_WHERE).format(**words), place, "open", None),
    ]
    if finding.name not in kind.fixed_zones:
        asked.append((rng.choice(_ZONE).format(**words), finding.zone.capitalize(), "choice", zones))
    if rng.random() < 0.5:
        asked.append((rng.choice(_SIZE).format(**words), size, "open", None))
    else:
        asked.append((rng.choice(_SIZE_CHOICE).format(**words), size, "choice", sizes))
    if finding.name in kind.countable:
        asked.append((rng.choice(_COUNT).format(**words), str(finding.count), "open", None))
    return asked


def _described(kind: Kind, finding: Finding) -> str:
    if finding.side is None or finding.zone is None:
        return f"{_article(finding.name)} {finding.name}"
    place = location(kind.name, finding.side, finding.zone)
    if finding.count > 1:
        return f"{finding.count} {plural(finding.name)} of {finding.size_mm} mm in the {place}"
    return f"{_article(finding.name)} {finding.name} of {finding.size_mm} mm in the {place}"
