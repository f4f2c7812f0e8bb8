"""`Domain`: what kind of image a search took a picture for, and whether the file's header agrees."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np

SURE = 0.9
"""Probability from which a header that says another thing is worth a word."""
POSSIBLE = 0.05
"""A picture is compared with documents of a modality that it may be of with at least this probability."""


@dataclass(frozen=True)
class Domain:
    """A picture's modality and region, as told from its embedding."""

    modality: str
    probability: float
    anatomy: str
    anatomy_probability: float
    probabilities: dict[str, float] = field(default_factory=dict)
    """Modality → probability; they sum to 1."""
    regions: dict[str, dict[str, float]] = field(default_factory=dict)
    """Modality → region → probability, given that modality; they sum to 1 for each modality."""

    def region_of(self, modality: str | None) -> str | None:
        """Return the region of a picture of `modality`; None if it is unsure, or knows but one region of it.

        Args:
            modality: of the picture; its own guess if None.
        Returns:
            The name of the region, as the router was fitted with it.
        """
        known = self.regions.get(modality or self.modality, {})
        region = max(known, key=lambda name: known[name], default=None)
        return region if region is not None and len(known) > 1 and known[region] >= SURE else None

    def possible(self) -> frozenset[str]:
        """Return the modalities that the picture may be of."""
        return frozenset(name for name, share in self.probabilities.items() if share >= POSSIBLE)

    def contradicts(self, named: str) -> bool:
        """Tell whether it is clearly another modality than `named`, which is one that it can tell."""
        return self.modality != named and named in self.probabilities and self.probability >= SURE


@runtime_checkable
class Routes(Protocol):
    """A retriever that can tell a picture's domain."""

    def route(self, image_embedding: np.ndarray) -> Domain | None:
        """Return the domain of a picture from its (E,) embedding; None without a fitted router."""
        ...


def conflict(named: str | None, domain: Domain | None) -> str | None:
    """Return a caution if a file's header names one modality and the router is sure of another.

    Args:
        named: the header's modality.
        domain: what the router saw.
    Returns:
        The caution, or None.
    """
    if named is None or domain is None or not domain.contradicts(named):
        return None
    return (
        f"The file's header says {named}, but the search took the image for {domain.modality} "
        f"({domain.probability:.0%}). The header was believed."
    )
