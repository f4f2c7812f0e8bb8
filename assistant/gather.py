"""Slices of one DICOM series become one study; localizers, dose sheets and structured reports are left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from assistant.imaging.several import LEAST_SLICES, SLICED
from assistant.studies import Study

if TYPE_CHECKING:
    from assistant.imaging.series import SliceHead
    from assistant.imaging.visit import Visit

_NEVER = ("a localizer", "a dose sheet", "a structured report")


@dataclass(frozen=True)
class Gathered:
    """What is left to report on, and what is not."""

    studies: tuple[Study, ...]
    """In the order of their first file."""
    left_out: Counter[str]
    """How many files were left out, by what they are: "a localizer", …"""
    visits: dict[Path, Visit] = field(default_factory=dict, repr=False)
    """Of each file whose header was read."""


def series_among(studies: Sequence[Study]) -> int:
    """Return how many studies are volumes of several files."""
    return sum(study.volume and len(study.images) > 1 for study in studies)


def gather_series(studies: Sequence[Study], *, read_head: Callable[[Path], SliceHead | None] | None = None) -> Gathered:
    """Join the slices of each cross-sectional series, and leave out what was found but is nothing to report on.

    Args:
        studies: from `collect_studies`. Those of a list stay as they are; a localizer, dose sheet or structured
            report that was named itself stays too.
        read_head: reads the head of one file; `series.slice_head` if None.
    Returns:
        The studies, each series as one, its files sorted by path.
    """
    from assistant.imaging.nifti import is_nifti
    from assistant.imaging.series import slice_head

    read = read_head or slice_head
    heads: list[SliceHead | None] = [
        read(study.images[0]) if study.is_single and not is_nifti(study.images[0]) else None for study in studies
    ]
    members: dict[str, list[int]] = {}
    for place, head in enumerate(heads):
        if head and head.series and not head.left_out and head.modality in SLICED:
            members.setdefault(head.series, []).append(place)
    joined: dict[int, list[int]] = {}
    for places in members.values():
        found = [head for place in places if (head := heads[place]) is not None]
        where = {round(head.place, 1) for head in found if head.orientation and head.position}
        if len(where) >= LEAST_SLICES:
            joined[places[0]] = places
    later = {place for first, places in joined.items() for place in places if place != first}
    left_out: Counter[str] = Counter()
    kept: list[Study] = []
    for place, (study, head) in enumerate(zip(studies, heads, strict=True)):
        if head and study.found and head.left_out in _NEVER:
            left_out[head.left_out] += 1
        elif place in joined:
            files = sorted(studies[one].images[0] for one in joined[place])
            kept.append(replace(study, images=tuple(files), volume=True))
        elif place not in later:
            kept.append(study)
    visits = {study.images[0]: head.visit for study, head in zip(studies, heads, strict=True) if head is not None}
    return Gathered(tuple(kept), left_out, visits)
