"""Phantoms: pictures drawn by rule, whose findings, sides, zones, sizes and counts are known exactly.

`make_phantom(seed, index)` always gives the same picture; different seeds give different ones. Sides are the
patient's own, as radiologists read: her right is on the left of the picture, in every kind.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data_recipes.phantom_chest import draw_chest
from data_recipes.phantom_draw import Array, Grid, develop, make_grid
from data_recipes.phantom_findings import KINDS, SITES, Finding, draw_findings
from data_recipes.phantom_head import draw_brain_mr, draw_head_ct
from data_recipes.phantom_ultrasound import draw_abdomen

_Draw = Callable[[Grid, np.random.Generator, np.random.Generator, tuple[Finding, ...]], tuple[Array, NDArray[np.uint8]]]
_DRAW: dict[str, _Draw] = {
    "chest_xray": draw_chest,
    "head_ct": draw_head_ct,
    "brain_mr": draw_brain_mr,
    "abdomen_us": draw_abdomen,
}

CHANGES: tuple[str, ...] = ("larger", "smaller", "new", "resolved", "unchanged")
"""What can have become of a finding since the prior."""


@dataclass(frozen=True, eq=False)
class Phantom:
    """One drawn picture and the truth about it."""

    pixels: NDArray[np.uint8]
    """(H, W, 3), the three channels alike."""
    mask: NDArray[np.uint8]
    """(H, W), class of each pixel: a place in `MASK_CLASSES`."""
    truth: dict[str, Any]
    """phantom (True), kind, modality, region, view, site, field_mm, findings; change where there is a prior."""
    modality: str
    """A name of `assistant.vocabulary.MODALITIES`."""
    anatomy: str
    """chest, head, brain or abdomen."""
    site: str
    """One of `SITES`: decides contrast, gamma, blur and noise."""
    kind: str
    """Key in `KINDS`."""
    seed: int
    """Together with `index` the whole source of chance."""
    index: int
    """Number of the phantom under its seed."""
    findings: tuple[Finding, ...] = field(default=())
    """What it shows, 0 to 2."""


def make_phantom(seed: int, index: int, size: int = 128, kind: str | None = None, site: str | None = None) -> Phantom:
    """Draw one phantom.

    Args:
        seed: 0 or more; keep training, development and test apart by it.
        index: 0 or more; number of the phantom under its seed.
        size: side in pixels, 64 or more. The same phantom keeps its truth at any size.
        kind: key in `KINDS`; None draws it by lot.
        site: one of `SITES`; None draws it by lot.
    Returns:
        The picture, its mask and its truth.
    Raises:
        ValueError: an argument has a value that is not allowed.
    """
    if size < 64:
        raise ValueError(f"size is {size}; a phantom takes 64 pixels or more.")
    lot = np.random.default_rng([seed, index])
    drawn_kind = list(KINDS)[int(lot.integers(len(KINDS)))]
    drawn_site = SITES[int(lot.integers(len(SITES)))]
    kind, site = kind or drawn_kind, site or drawn_site
    if kind not in KINDS or site not in SITES:
        raise ValueError(f"kind {kind!r}, site {site!r}; use one of {', '.join(KINDS)} and of {', '.join(SITES)}.")
    return _render(seed, index, size, kind, site, draw_findings(KINDS[kind], lot))


def with_prior(phantom: Phantom, rng: random.Random, change: str | None = None) -> tuple[Phantom, Phantom]:
    """Return an earlier picture of the same body, and the phantom with the change in its truth.

    Args:
        phantom: the present picture.
        rng: source of chance.
        change: one of `CHANGES`; None draws one that fits. "resolved" fits where the phantom shows nothing, "new"
            and "unchanged" where it shows something, "larger" and "smaller" where its first finding has such a size.
    Returns:
        prior and present; the present's truth has `change`: {"finding", "change"}, finding None for nothing in both.
    Raises:
        ValueError: the change does not fit this phantom.
    """
    possible = _possible_changes(phantom)
    chosen = change or rng.choice(list(possible))
    if chosen not in possible:
        raise ValueError(f"change is {chosen!r}; this phantom allows {', '.join(possible)}.")
    before = possible[chosen]
    if chosen == "resolved":
        lot = np.random.default_rng([phantom.seed, phantom.index, 7])
        before = draw_findings(KINDS[phantom.kind], lot, count=1)
    subject = (phantom.findings or before or (None,))[0]
    size = phantom.pixels.shape[0]
    prior = _render(phantom.seed, phantom.index, size, phantom.kind, phantom.site, before, visit=1)
    note = {"finding": subject.name if subject else None, "change": chosen}
    return prior, replace(phantom, truth={**phantom.truth, "change": note})


def with_findings(phantom: Phantom, findings: tuple[Finding, ...]) -> Phantom:
    """Draw the same body, with the same texture, noise and site, and other findings.

    Args:
        phantom: whose body it is.
        findings: what the new picture shows.
    Returns:
        The picture, its mask and its truth.
    """
    size = phantom.pixels.shape[0]
    return _render(phantom.seed, phantom.index, size, phantom.kind, phantom.site, findings)


def _possible_changes(phantom: Phantom) -> dict[str, tuple[Finding, ...]]:
    """Return each change that fits, with the findings of the prior (for "resolved" still to be drawn)."""
    possible = {"unchanged": phantom.findings}
    if not phantom.findings:
        return possible | {"resolved": ()}
    first, rest = phantom.findings[0], phantom.findings[1:]
    possible["new"] = rest
    sizes = KINDS[phantom.kind].sizes[first.name]
    if first.size_mm is not None:
        smaller = [size for size in sizes if size < first.size_mm]
        larger = [size for size in sizes if size > first.size_mm]
        if smaller:
            possible["larger"] = (first.resized(smaller[-1]), *rest)
        if larger and first.count == 1:
            possible["smaller"] = (first.resized(larger[0]), *rest)
    return possible


def _render(
    seed: int, index: int, size: int, kind: str, site: str, findings: tuple[Finding, ...], visit: int = 0
) -> Phantom:
    """Draw a body with findings; another `visit` keeps the body and changes texture and noise."""
    about = KINDS[kind]
    body = np.random.default_rng([seed, index, 1])
    paint = np.random.default_rng([seed, index, 2, visit])
    image, mask = _DRAW[kind](make_grid(size, about.field_mm), body, paint, findings)
    truth: dict[str, Any] = {
        "phantom": True,
        "kind": kind,
        "modality": about.modality,
        "region": about.anatomy,
        "view": about.view,
        "site": site,
        "field_mm": about.field_mm,
        "findings": [finding.to_dict() for finding in findings],
    }
    return Phantom(
        pixels=develop(image, site, paint),
        mask=mask,
        truth=truth,
        modality=about.modality,
        anatomy=about.anatomy,
        site=site,
        kind=kind,
        seed=seed,
        index=index,
        findings=findings,
    )
