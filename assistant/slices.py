"""Which slices of a volume go to the model: spread evenly, the most unusual ones, or those nearest to the question.

How unusual a slice is comes from the tower's patch features: each patch is compared with the same patch of the slices
1, 2 and 4 away on both sides. Anatomy changes slowly from slice to slice, and a lesion does not. How relevant a slice
is comes from the space that pictures and text share.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from assistant.config import SLICE_CHOICES
from assistant.errors import ConfigError
from assistant.imaging.picture import Section

if TYPE_CHECKING:
    from assistant.case import Case
    from assistant.engine.features import PictureFeatures

_REACHES = (1, 2, 4)
_TOP_PATCHES = 3
_APART = 2
"""Chosen slices lie at least this many places apart, or one lesion would take all the room."""

Embed = Callable[[list[str]], np.ndarray]


@dataclass(frozen=True)
class SliceNote:
    """A slice that the model read, and why that one."""

    section: Section
    """Where it lies."""
    why: str
    """"unusual", "relevant" or "uniform"."""
    score: float
    """How far it stands out from the other slices, in standard deviations; 0 for an even spread."""

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form that answers and reports carry."""
        return {**self.section.to_dict(), "chosen": self.why, "score": round(self.score, 2)}


def choose_slices(case: Case, count: int, choice: str, embed: Embed) -> None:
    """Leave a case only the slices that the model is to read, in their order in the volume.

    Args:
        case: with pictures and features; pictures that are no slices stay.
        count: most slices of one volume.
        choice: one of `SLICE_CHOICES`.
        embed: turns texts into unit vectors (N, E) of the pictures' space.
    Raises:
        ConfigError: choice is none of `SLICE_CHOICES`.
    """
    if choice not in SLICE_CHOICES:
        raise ConfigError(f"slice_choice is {choice!r}; use one of {', '.join(SLICE_CHOICES)}.")
    asked = case.question.text if case.question else (case.request.indication if case.request else None)
    priors = len(case.request.priors) if case.request else 0
    kept: list[int] = []
    notes: list[SliceNote] = []
    for places in _volumes(case, range(priors, len(case.pictures))):
        chosen, why, scores = _chosen([case.features[one] for one in places], count, choice, asked, embed)
        sections = [case.pictures[places[one]].section for one in chosen]
        pairs = zip(chosen, sections, strict=True)
        found = [SliceNote(section, why, float(scores[one])) for one, section in pairs if section]
        notes += found
        kept += [places[one] for one in chosen]
        if found:
            read = ", ".join(note.section.text for note in found)
            case.warn(f"Of {len(places)} slices the model read {len(found)}: {read}. The others may show more.")
    before = _nearest(case, priors, notes)
    case.slices = tuple(sorted(notes, key=lambda note: -note.score))
    if len(before) + len(kept) < len(case.pictures):
        rest = [*before, *kept]
        case.pictures = tuple(case.pictures[one] for one in rest)
        case.features = [case.features[one] for one in rest]


def _volumes(case: Case, places: Sequence[int]) -> list[list[int]]:
    """Group pictures: the slices of a volume together, every other picture alone."""
    groups: dict[object, list[int]] = {}
    for place in places:
        section = case.pictures[place].section
        groups.setdefault((section.series, section.count) if section else place, []).append(place)
    return list(groups.values())


def _nearest(case: Case, priors: int, notes: Sequence[SliceNote]) -> list[int]:
    """Return the places of the priors to keep: of a prior volume the slices nearest to those that are read."""
    kept: list[int] = []
    for places in _volumes(case, range(priors)):
        sections = [(one, section) for one in places if (section := case.pictures[one].section)]
        wanted = [note.section.position_mm for note in notes]
        if not sections or not wanted:
            kept += places
            continue
        near = {min(sections, key=lambda pair: abs(pair[1].position_mm - mm))[0] for mm in wanted}
        kept += sorted(near)
    return kept


def _chosen(
    features: Sequence[PictureFeatures], count: int, choice: str, asked: str | None, embed: Embed
) -> tuple[list[int], str, np.ndarray]:
    """Return the places of the chosen slices in ascending order, why, and every slice's score."""
    total = len(features)
    if total == 1:
        return [0], "uniform", np.zeros(1)
    unusual, relevant = np.zeros(total), np.zeros(total)
    if choice in ("auto", "unusual"):
        unusual = standing_out(np.stack([one.patches.float().cpu().numpy() for one in features]))
    if choice in ("auto", "relevant") and asked:
        joint = np.stack([one.joint for one in features])
        relevant = _standard(joint @ embed([asked])[0])
    scores = np.maximum(unusual, 0) + 0.5 * relevant if choice == "auto" else unusual + relevant
    if not scores.any():
        return uniform(total, count), "uniform", scores
    why = "relevant" if choice == "relevant" else "unusual"
    return sorted(best_apart(scores, count)), why, scores


def uniform(total: int, count: int) -> list[int]:
    """Return `count` places spread evenly over `total`, one alone in the middle."""
    count = min(count, total)
    return sorted({int((place + 0.5) * total / count) for place in range(count)})


def best_apart(scores: np.ndarray, count: int) -> list[int]:
    """Return the places of the highest scores, best first, none next to another.

    Args:
        scores: (S,).
        count: how many at most.
    Returns:
        `count` places, or fewer where no more lie far enough apart.
    """
    chosen: list[int] = []
    for place in np.argsort(-scores, kind="stable"):
        if len(chosen) == count:
            break
        if all(abs(int(place) - one) >= _APART for one in chosen):
            chosen.append(int(place))
    return chosen


def standing_out(patches: np.ndarray) -> np.ndarray:
    """Measure how far each slice stands out from its neighbours.

    Args:
        patches: (S, P, D), features of the same patches of S slices in order.
    Returns:
        (S,), in robust standard deviations of the volume's own slices; zeros for fewer than 4 slices.
    """
    total = len(patches)
    if total < 4:
        return np.zeros(total)
    best = np.full(total, -np.inf)
    for reach in _REACHES:
        if reach * 3 > total:
            break
        change = np.empty(total)
        for place in range(total):
            # At an end both come from the one side that there is.
            before = place - reach if place >= reach else place + 2 * reach
            after = place + reach if place + reach < total else place - 2 * reach
            around = [np.linalg.norm(patches[place] - patches[one], axis=1) for one in (before, after)]
            # What differs from both is the slice's own; what differs from one is anatomy on its way.
            apart = np.sort(np.min(around, axis=0))
            change[place] = apart[-_TOP_PATCHES:].mean()
        best = np.maximum(best, _standard(change))
    return best


def _standard(values: np.ndarray) -> np.ndarray:
    """Return values in robust standard deviations from their median."""
    middle = np.median(values)
    spread = 1.4826 * float(np.median(np.abs(values - middle)))
    return np.asarray((values - middle) / (spread if spread > 1e-9 else max(float(values.std()), 1e-9)))
