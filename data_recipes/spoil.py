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
