"""Takes a true report and makes one thing in it wrong, for preference pairs whose fault is known.

A report is its sections' text; what it states is known from the truth's findings. Each function returns the spoilt
sections, or None where the fault cannot be made. All else stays word for word, so that length and style tell nothing.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from data_recipes.phantom_findings import KINDS
from data_recipes.phantom_reports import location, plural

Sections = dict[str, str]
Truth = Mapping[str, Any]

_UNIT = re.compile(r"\s*((?:\d+\. )?[^.]+\.)")
_NUMBER = re.compile(r"^\d+(?=\. )")
_SWAP = {"left": "right", "right": "left", "Left": "Right", "Right": "Left"}
_DENIAL = re.compile(r"(?:\d+\. )?(?:There is )?[Nn]o ")
_PRIOR = (
    "Compared with the prior examination, the findings are unchanged.",
    "No change since the previous study.",
    "The findings have improved since the prior examination.",
    "Again seen is the known finding of the earlier examination.",
    "Stable in comparison with the prior.",
)


def mention_prior(sections: Sections, truth: Truth, rng: random.Random) -> Sections | None:
    """Add a sentence that compares with a prior examination."""
    del truth
    return {**sections, "findings": f"{sections['findings']} {rng.choice(_PRIOR)}"}


def swap_side(sections: Sections, truth: Truth, rng: random.Random) -> Sections | None:
    """Put one finding on the other side, wherever the report names it."""
    finding = _pick(truth, rng, "side")
    if finding is None:
        return None

    def swapped(unit: str) -> str:
        return re.sub(r"\b(?:left|right)\b", lambda found: _SWAP[found[0]], unit, flags=re.IGNORECASE)

    return _where_named(sections, finding["name"], swapped)


def change_size(sections: Sections, truth: Truth, rng: random.Random) -> Sections | None:
    """Give one finding another of the sizes that it could have had."""
    finding = _pick(truth, rng, "size_mm")
    if finding is None:
        return None
    size = finding["size_mm"]
    others = [one for one in KINDS[truth["kind"]].sizes[finding["name"]] if one != size]
    other = rng.choice(others)
    return _where_named(sections, finding["name"], lambda unit: re.sub(rf"\b{size}(?= mm)", str(other), unit))


def change_place(sections: Sections, truth: Truth, rng: random.Random) -> Sections | None:
    """Put one finding into another zone, on the same side."""
    finding = _pick(truth, rng, "zone")
    kind = KINDS.get(str(truth.get("kind")))
    if finding is None or kind is None or finding["name"] in kind.fixed_zones:
        return None
    zone = finding["zone"]
    other = rng.choice([one for one in kind.zones if one != zone])

    def moved(unit: str) -> str:
        return re.sub(rf"\b{zone}\b", lambda found: _like(found[0], other), unit, flags=re.IGNORECASE)

    return _where_named(sections, finding["name"], moved)


def rename_finding(sections: Sections, truth: Truth, rng: random.Random) -> Sections | None:
    """Call one finding by the name of another that the picture could have shown; all else, and the length, stays."""
    finding = _pick(truth, rng, "size_mm")
    kind = KINDS.get(str(truth.get("kind")))
    if finding is None or kind is None:
        return None
    name = finding["name"]
    shown = {one["name"] for one in truth["findings"]}
    others = [one for one, sizes in kind.sizes.items() if one not in shown and sizes]
    # A report that denies the other finding would contradict itself and so give the fault away.
    others = [one for one in others if not _names(" ".join(sections.values()), one)]
    if not others:
        return None
    other = rng.choice(others)

    def renamed(unit: str) -> str:
        for word, new in ((plural(name), plural(other)), (name, other)):
            unit = re.sub(
                rf"\b(a |an )?{re.escape(word)}\b",
                lambda found, new=new: _like(found[0], (f"{_article(new)} " if found[1] else "") + new),  # type: ignore[misc]
                unit,
                flags=re.IGNORECASE,
            )
        return unit

    return _where_named(sections, name, renamed)


def omit_finding(sections: Sections, truth: Truth, rng: random.Random) -> Sections | None:
    """Leave one finding out of findings and impression."""
    finding = _pick(truth, rng, "name")
    if finding is None:
        return None
    kept = {
        part: _renumbered([unit for unit in _units(sections[part]) if not _names(unit, finding["name"])])
        for part in ("findings", "impression")
    }
    if len(truth["findings"]) == 1:
        kept["findings"] = (
            kept["findings"].replace("No other abnormality", "No abnormality") or "No abnormality is seen."
        )
        kept["impression"] = kept["impression"] or "No abnormality."
    return {**sections, **kept}


def invent_finding(sections: Sections, truth: Truth, rng: random.Random) -> Sections | None:
    """Add a finding that is not there, to findings and impression."""
    kind = KINDS.get(str(truth.get("kind")))
    if kind is None:
        return None
    shown = {one["name"] for one in truth["findings"]}
    names = [name for name, sizes in kind.sizes.items() if name not in shown and sizes]
    if not names:
        return None
    name = rng.choice(names)
    zone = kind.fixed_zones.get(name) or rng.choice(kind.zones)
    place = location(kind.name, rng.choice(("left", "right")), zone)
    findings = [unit for unit in _units(sections["findings"]) if not re.match(r"(?:There is )?[Nn]o ", unit)]
    impression = [unit for unit in _units(sections["impression"]) if shown]
    told = f"There is a {rng.choice(kind.sizes[name])} mm {name} in the {place}."
    return {
        **sections,
        "findings": " ".join([*findings, told]),
        "impression": " ".join([*impression, f"{name.capitalize()} in the {place}."]),
    }


FAULTS: dict[str, Callable[[Sections, Truth, random.Random], Sections | None]] = {
    "mentions a prior": mention_prior,
    "wrong side": swap_side,
    "wrong size": change_size,
    "omitted finding": omit_finding,
    "made-up finding": invent_finding,
}
"""Reason to what makes it."""

MATCHED_FAULTS: dict[str, Callable[[Sections, Truth, random.Random], Sections | None]] = {
    "wrong place": change_place,
    "wrong finding": rename_finding,
}
"""Further faults that leave the length as it is; made where pairs are matched in length."""


def match_length(sections: Sections, words: int, truth: Truth) -> Sections:
    """Bring a spoilt report near the length of the true one, without a further fault.

    Sentences that say what is not there are taken out while it is too long; such sentences on findings that are truly
    absent, and that the report does not name yet, are put in while it is too short.

    Args:
        sections: of the spoilt report.
        words: how many the true report has.
        truth: of the picture.
    Returns:
        The sections; as near in length as these sentences allow.
    """
    units = _units(sections["findings"])
    told = dict(sections)

    def excess() -> int:
        return sum(len(text.split()) for text in told.values()) - words

    for unit in [one for one in units if _DENIAL.match(one)]:
        if excess() >= len(unit.split()) / 2 > 0 and len(units) > 1:
            units.remove(unit)
            told["findings"] = " ".join(units)
    kind = KINDS.get(str(truth.get("kind")))
    shown = {one["name"] for one in truth.get("findings") or ()}
    whole = " ".join(sections.values())
    absent = [name for name in (kind.sizes if kind else ()) if name not in shown and not _names(whole, name)]
    for name in absent:
        short = -excess()
        forms = (f"No {name} is seen.", f"There is no sign of {_article(name)} {name} in this picture.")
        best = min(forms, key=lambda form: abs(short - len(form.split())))
        if short >= len(best.split()) / 2:
            units.append(best)
            told["findings"] = " ".join(units)
    return told


def _article(name: str) -> str:
    return "an" if name[0] in "aeiou" else "a"


def _like(old: str, new: str) -> str:
    """Return `new` with a capital where `old` has one."""
    return new[:1].upper() + new[1:] if old[:1].isupper() else new


def _pick(truth: Truth, rng: random.Random, needed: str) -> dict[str, Any] | None:
    listed = truth.get("findings")
    if not isinstance(listed, list):
        return None
    found = [one for one in listed if one.get(needed)]
    return dict(rng.choice(found)) if found else None


def _units(text: str) -> list[str]:
    """Part a section at its full stops; the number of a list stays with what it counts."""
    return [str(unit) for unit in _UNIT.findall(text)]


def _names(unit: str, name: str) -> bool:
    words = {name, plural(name)} | ({"heart is enlarged"} if name == "enlarged heart" else set())
    return any(re.search(rf"\b{re.escape(word)}\b", unit, re.IGNORECASE) for word in words)


def _where_named(sections: Sections, name: str, change: Callable[[str], str]) -> Sections:
    changed = {
        part: " ".join(change(unit) if _names(unit, name) else unit for unit in _units(sections[part]))
        for part in ("findings", "impression")
    }
    return {**sections, **changed}


def _renumbered(units: Sequence[str]) -> str:
    place, kept = 0, []
    for unit in units:
        if _NUMBER.match(unit):
            place += 1
            unit = _NUMBER.sub(str(place), unit)
        kept.append(unit)
    return " ".join(kept)
