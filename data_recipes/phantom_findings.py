"""What a phantom can show: four kinds of picture, their findings, sizes and zones, and the lot that draws findings."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

MASK_CLASSES: tuple[str, ...] = (
    "background",
    "nodule",
    "consolidation",
    "pleural effusion",
    "pneumothorax",
    "enlarged heart",
    "hemorrhage",
    "mass",
    "calcification",
    "bright lesion",
    "ring-enhancing lesion",
    "cyst",
    "solid mass",
)
"""Names of the class ids in `Phantom.mask`."""

SITES: tuple[str, ...] = ("A", "B", "C", "D")
SIDES: tuple[str, ...] = ("left", "right")
"""The patient's own side: her right is on the left of the picture."""


@dataclass(frozen=True)
class Kind:
    """One kind of phantom picture."""

    name: str
    """Key in `KINDS`."""
    modality: str
    """A name of `assistant.vocabulary.MODALITIES`."""
    anatomy: str
    """Body region in lower case."""
    view: str
    """Projection or plane."""
    field_mm: float
    """Width and height of the picture in mm."""
    zones: tuple[str, str, str]
    """The three zones, from the top of the picture down."""
    sizes: dict[str, tuple[int, ...]]
    """Finding to its possible sizes in mm; the enlarged heart has none."""
    fixed_zones: dict[str, str]
    """Findings that stand in one zone only."""
    countable: dict[str, int]
    """Findings that come in groups, to the largest size in mm at which they do."""


KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind(
            name="chest_xray",
            modality="X-ray",
            anatomy="chest",
            view="frontal",
            field_mm=340,
            zones=("upper", "middle", "lower"),
            sizes={
                "nodule": (10, 20, 30),
                "consolidation": (30, 50, 70),
                "pleural effusion": (30, 60, 90),
                "pneumothorax": (20, 40),
                "enlarged heart": (),
            },
            fixed_zones={"pleural effusion": "lower", "pneumothorax": "upper"},
            countable={"nodule": 20},
        ),
        Kind(
            name="head_ct",
            modality="CT",
            anatomy="head",
            view="axial",
            field_mm=220,
            zones=("anterior", "middle", "posterior"),
            sizes={"hemorrhage": (20, 30, 40), "mass": (20, 30, 40), "calcification": (5, 10)},
            fixed_zones={},
            countable={"calcification": 10},
        ),
        Kind(
            name="brain_mr",
            modality="MRI",
            anatomy="brain",
            view="axial",
            field_mm=220,
            zones=("anterior", "middle", "posterior"),
            sizes={"bright lesion": (10, 20), "ring-enhancing lesion": (20, 30, 40)},
            fixed_zones={},
            countable={"bright lesion": 10},
        ),
        Kind(
            name="abdomen_us",
            modality="Ultrasound",
            anatomy="abdomen",
            view="transverse",
            field_mm=120,
            zones=("superficial", "middle", "deep"),
            sizes={"cyst": (10, 20, 30), "solid mass": (10, 20, 30)},
            fixed_zones={},
            countable={"cyst": 10},
        ),
    )
}


@dataclass(frozen=True)
class Finding:
    """One abnormality, or a close group of the same."""

    name: str
    """One of `MASK_CLASSES` but the first."""
    side: str | None
    """"left" or "right" of the patient; None for the enlarged heart."""
    zone: str | None
    """One of its kind's zones; None for the enlarged heart."""
    size_mm: int | None
    """Diameter; for an effusion its height, for a pneumothorax its width at the apex."""
    count: int = 1
    """How many of that size lie together."""
    seed: int = 0
    """Decides outline and exact place; no part of the truth."""

    def to_dict(self) -> dict[str, Any]:
        """Return the truth about it."""
        return {
            "name": self.name,
            "side": self.side,
            "zone": self.zone,
            "size_mm": self.size_mm,
            "count": self.count,
        }

    @property
    def class_id(self) -> int:
        """Its number in `MASK_CLASSES`."""
        return MASK_CLASSES.index(self.name)

    def resized(self, size_mm: int) -> Finding:
        """Return the same finding at another size."""
        return replace(self, size_mm=size_mm)


def draw_findings(kind: Kind, rng: np.random.Generator, count: int | None = None) -> tuple[Finding, ...]:
    """Draw 0 to 2 findings by lot; two have different names and different sides, so neither hides the other.

    Args:
        kind: kind of picture.
        rng: source of chance.
        count: how many; None draws it: none 42 %, one 45 %, two 13 %.
    Returns:
        The findings.
    """
    if count is None:
        count = int(np.searchsorted((0.42, 0.87), rng.random(), side="right"))
    names = [str(name) for name in rng.permutation(list(kind.sizes))[:count]]
    first_side = int(rng.integers(2))
    findings = []
    for number, name in enumerate(names):
        seed = int(rng.integers(2**31))
        sizes = kind.sizes[name]
        if not sizes:
            findings.append(Finding(name, None, None, None, seed=seed))
            continue
        size = int(sizes[int(rng.integers(len(sizes)))])
        zone = kind.fixed_zones.get(name) or kind.zones[int(rng.integers(3))]
        group = int(rng.integers(1, 4)) if size <= kind.countable.get(name, 0) else 1
        findings.append(Finding(name, SIDES[(first_side + number) % 2], zone, size, group, seed))
    return tuple(findings)


def places(finding: Finding, rng: np.random.Generator, x: float, y: float, reach: float) -> list[tuple[float, float]]:
    """Place the parts of a finding: one at (x, y), or a group spread around it.

    Args:
        finding: tells how many and how large.
        rng: decides the turn of the group.
        x: centre, mm.
        y: centre, mm.
        reach: largest distance of a part from the centre, mm.
    Returns:
        Centre of each part, x and y in mm.
    """
    if finding.count == 1:
        return [(x, y)]
    radius = min(reach, max((finding.size_mm or 0) * 0.9, 8.0))
    turn = float(rng.uniform(0, 2 * np.pi))
    angles = [turn + 2 * np.pi * part / finding.count for part in range(finding.count)]
    return [(x + radius * float(np.cos(angle)), y + radius * float(np.sin(angle))) for angle in angles]
