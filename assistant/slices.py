"""Which slices of a volume go to the model: spread evenly, the most unusual ones, or those nearest to the question.

How unusual a slice is comes from the tower's patch features and from the greys of a coarse and a fine grid, each held
against the same places of the slices 1, 2 and 3 away on both sides. Anatomy changes steadily from slice to slice, and a
lesion does not. How relevant a slice is comes from the space that pictures and text share.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from assistant.case import Case
from assistant.config import SLICE_CHOICES
from assistant.errors import ConfigError
from assistant.imaging.picture import subjects
from assistant.slice_note import SliceNote

_REACHES = (1, 2, 3)
_GRIDS = (16, 32)
_STANDS_OUT = 5.0
"""Robust standard deviations, three measures together, that a second slice must have to be taken for its own sake."""
_END_WEIGHT = 0.5
"""An end has one side only: what looks like a lesion there is often where the anatomy ends."""
_APART = 2
"""Chosen slices lie at least this many places apart, or one lesion would take all the room."""

Embed = Callable[[list[str]], np.ndarray]


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
    if not case.slices_to_choose:
        return
    asked = case.question.text if case.question else (case.request.indication if case.request else None)
    priors = len(case.request.priors) if case.request else 0
    kept: list[int] = []
    notes: list[SliceNote] = []
    for places in _volumes(case, range(priors, len(case.pictures))):
        chosen, why, scores = _chosen(case, places, count, choice, asked, embed)
        sections = [case.pictures[places[one]].section for one in chosen]
        pairs = zip(chosen, sections, strict=True)
        found = [SliceNote(section, why, float(scores[one])) for one, section in pairs if section]
        notes += found
        kept += [places[one] for one in chosen]
        if found:
            read = ", ".join(note.section.text for note in found)
            total = found[0].section.count  # more than there are places where one slice was asked about alone
            case.warn(f"Of {total} slices the model read {len(found)}: {read}. The others may show more.")
    before = _nearest(case, priors, notes)
    case.slices = tuple(sorted(notes, key=lambda note: -note.score))
    if len(before) + len(kept) < len(case.pictures):
        rest = [*before, *kept]
        case.pictures = tuple(case.pictures[one] for one in rest)
        case.features = [case.features[one] for one in rest]


def _volumes(case: Case, places: range) -> list[list[int]]:
    """Group the pictures in some places that follow each other, see `subjects`."""
    first = places[0] if places else 0
    return [[first + one for one in group] for group in subjects([case.pictures[place] for place in places])]


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
    case: Case, places: Sequence[int], count: int, choice: str, asked: str | None, embed: Embed
) -> tuple[list[int], str, np.ndarray]:
    """Return the places of the chosen slices in ascending order, why, and every slice's score."""
    total = len(places)
    if total == 1:
        return [0], "uniform", np.zeros(1)
    unusual, relevant = np.zeros(total), np.zeros(total)
    if choice in ("auto", "unusual"):
        unusual = standing_out(np.stack([case.features[one].whole.float().cpu().numpy() for one in places]))
        for side in _GRIDS:
            unusual += standing_out(np.stack([grey_grid(case.pictures[one].pixels, side) for one in places]))
    if choice in ("auto", "relevant") and asked:
        joint = np.stack([case.features[one].joint for one in places])
        relevant = _standard(joint @ embed([asked])[0])
    scores = unusual + (np.clip(relevant, -1, 1) if choice == "auto" else relevant)
    if not scores.any():
        return uniform(total, count), "uniform", scores
    why = "relevant" if choice == "relevant" else "unusual"
    standing = best_apart(scores, count)
    standing = [standing[0], *(place for place in standing[1:] if scores[place] > _STANDS_OUT)]
    return sorted(with_neighbours(standing, total, count)), why, scores


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


def with_neighbours(places: list[int], total: int, count: int) -> list[int]:
    """Return `count` places: those given, best first, filled up with the nearest slices around the first.

    Args:
        places: at least one.
        total: slices there are.
        count: how many are wanted.
    Returns:
        As many of them as there are.
    """
    around = sorted(range(total), key=lambda place: (abs(place - places[0]), place))
    return [*places, *(place for place in around if place not in places)][: min(count, total)]


def standing_out(layers: np.ndarray) -> np.ndarray:
    """Measure how far each slice stands out from its neighbours.

    A value counts by how far it lies outside the range of the same value in the two slices beside it: an edge that
    moves steadily from slice to slice lies inside, a lesion does not.

    Args:
        layers: (S, P, D), D values at the same P places of S slices in order.
    Returns:
        (S,), in robust standard deviations of the volume's own slices; zeros for fewer than 5 slices.
    """
    total = len(layers)
    best = np.full(total, -np.inf)
    for reach in _REACHES:
        if total < 5 * reach:
            continue
        change = np.empty(total)
        for place, layer in enumerate(layers):
            inner = layers[place + reach if place < reach else place - reach]
            if reach <= place < total - reach:
                outer = layers[place + reach]
            else:  # at an end the other side is what the two slices within foretell
                outer = 2 * inner - layers[place + 2 * reach if place < reach else place - 2 * reach]
            beyond = np.maximum(layer - np.maximum(inner, outer), 0) + np.maximum(np.minimum(inner, outer) - layer, 0)
            change[place] = np.linalg.norm(beyond, axis=1).max()
        score = _standard(change)
        ends = np.r_[:reach, total - reach : total]
        score[ends] *= _END_WEIGHT
        best = np.maximum(best, score)
    return best if total >= 5 else np.zeros(total)


def grey_grid(pixels: np.ndarray, side: int) -> np.ndarray:
    """Return mean greys of a picture's (side, side) fields, one after another: (side * side, 1) float32."""
    grey = pixels[:, :, 0].astype(np.float32)
    rows = np.linspace(0, grey.shape[0], side, endpoint=False).astype(int)
    columns = np.linspace(0, grey.shape[1], side, endpoint=False).astype(int)
    sums = np.add.reduceat(np.add.reduceat(grey, rows, axis=0), columns, axis=1)
    sizes = np.outer(np.diff([*rows, grey.shape[0]]), np.diff([*columns, grey.shape[1]]))
    return np.asarray((sums / np.maximum(sizes, 1)).reshape(-1, 1), dtype=np.float32)


def _standard(values: np.ndarray) -> np.ndarray:
    """Return values in robust standard deviations from their median."""
    middle = np.median(values)
    spread = 1.4826 * float(np.median(np.abs(values - middle)))
    return np.asarray((values - middle) / (spread if spread > 1e-9 else max(float(values.std()), 1e-9)))
