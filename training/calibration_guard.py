"""What a model knows, for its guard: a sample of its training pictures, and how unlike them a picture may be."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from assistant.engine.features import PictureEncoder
from assistant.guard import KnownPictures, Sight

if TYPE_CHECKING:
    from assistant.imaging.picture import Picture
    from assistant.model.loaded import LoadedModel
    from data_recipes.schema import Example

Shown = tuple[Path, str, str]
"""Path, modality, source."""


def single_pictures(examples: Sequence[tuple[Path, Example]]) -> list[Shown]:
    """Return the pictures of known modality, each once, in the order of the examples."""
    found: dict[Path, Shown] = {}
    for root, example in examples:
        if example.modality:
            for path in example.image_paths(root):
                found[path] = (path, example.modality, example.source)
    return list(found.values())


def balanced_sample(pictures: Sequence[Shown], most: int, seed: int = 0) -> list[Shown]:
    """Draw pictures so that each modality of each source is there, small ones whole, large ones alike.

    Args:
        pictures: to draw from.
        most: how many.
        seed: of the draw.

    Returns:
        At most `most` pictures.
    """
    rng = random.Random(seed)
    parts: dict[tuple[str, str], list[Shown]] = {}
    for picture in pictures:
        parts.setdefault(picture[1:], []).append(picture)
    for part in parts.values():
        rng.shuffle(part)
    chosen: list[Shown] = []
    left = list(parts.values())
    place = 0
    while left and len(chosen) < most:
        chosen += [part[place] for part in left][: most - len(chosen)]
        place += 1
        left = [part for part in left if len(part) > place]
    return chosen


def joint_vectors(model: LoadedModel, pictures: Sequence[Shown], load: Callable[[Path], Picture]) -> np.ndarray:
    """Return the pictures' embeddings, (N, E) float32 of unit length."""
    encoder = PictureEncoder(model, max_items=1, batch_size=32)
    found = []
    for start in range(0, len(pictures), 32):
        batch = [load(path) for path, _, _ in pictures[start : start + 32]]
        found += [one.joint for one in encoder.encode(batch)]
    return np.stack(found) if found else np.zeros((0, model.contract.embedding_dim), np.float32)


def look_at(known: KnownPictures, joint: np.ndarray) -> list[Sight]:
    """Return what the guard makes of (N, E) embeddings."""
    return [known.look(vector) for vector in joint]


def least_familiarity(sights: Sequence[Sight], most_rejected: float) -> float:
    """Return the familiarity under which a picture is unlike anything known.

    Args:
        sights: of development pictures, which should pass.
        most_rejected: the largest share of them that may fail.

    Returns:
        The threshold, rounded down to 4 decimals, so that other hardware does not reject a picture on the edge.
    """
    ordered = sorted(sight.familiarity for sight in sights)
    place = min(int(most_rejected * len(ordered)), len(ordered) - 1)
    return float(np.floor((ordered[place] - 1e-4) * 1e4) / 1e4)


def rejection_report(
    sights: Sequence[Sight], pictures: Sequence[Shown], threshold: float, names: Sequence[str]
) -> dict[str, Any]:
    """Tell how the guard takes some pictures.

    Args:
        sights: of the pictures.
        pictures: with their true modality.
        threshold: the least familiarity.
        names: the modalities that the guard knows.

    Returns:
        How many there are, the share rejected, the share whose modality it names right, and for each modality
        {"pictures", "rejected", "known"}.
    """
    rejected = [sight.familiarity < threshold for sight in sights]
    by_modality: dict[str, dict[str, Any]] = {}
    for (_, modality, _), away in zip(pictures, rejected, strict=True):
        one = by_modality.setdefault(modality, {"pictures": 0, "rejected": 0, "known": modality in names})
        one["pictures"] += 1
        one["rejected"] += away
    named = [sight.modality == shown[1] for sight, shown in zip(sights, pictures, strict=True) if shown[1] in names]
    return {
        "pictures": len(pictures),
        "rejected": round(sum(rejected) / len(rejected), 4) if rejected else None,
        "modality_named_right": round(sum(named) / len(named), 4) if named else None,
        "by_modality": by_modality,
    }
