"""What a model knows, for its guard: a sample of its training pictures, and how unlike them a picture may be."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from assistant.engine.features import PictureEncoder
from assistant.errors import DataError
from assistant.known import Kinds, KnownPictures, Sight, pooled, save_known_pictures

if TYPE_CHECKING:
    from assistant.engine.features import PictureFeatures
    from assistant.imaging.picture import Picture
    from assistant.model.loaded import LoadedModel
    from data_recipes.schema import Example

Shown = tuple[Path, str, str]
"""Path, modality, source."""


@dataclass(frozen=True, eq=False)
class Guard:
    """What goes into `guard.safetensors`."""

    vectors: np.ndarray
    """(N, E) unit vectors of the sample that votes."""
    modalities: tuple[str, ...]
    """(N,) its kinds."""
    kinds: Kinds
    """For the distance."""


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


def fit_guard(
    model: LoadedModel, dev: Sequence[Path], known: Sequence[Path], unlike: Sequence[Path], *,
    voters: int, fitted: int, most_rejected: float, seed: int = 0,
) -> tuple[Guard, float, dict[str, Any]]:  # fmt: skip
    """Choose the guard's sample, fit its kinds, and set the distance from which a picture is unlike anything known.

    Args:
        model: whose features to use.
        dev: data files whose pictures should pass.
        known: data files of training pictures.
        unlike: data files of pictures from elsewhere, reported on only.
        voters: size of the sample that votes.
        fitted: size of the sample that the kinds are fitted to; the voters are its first.
        most_rejected: the largest share of the development pictures that may be rejected.
        seed: of the sample.

    Returns:
        The guard, the greatest distance, and a report.

    Raises:
        DataError: the known or the development data have no picture of a named modality.
    """
    from training.evaluate import picture_loader, read_data

    load = picture_loader(keep=1)
    pictures = {name: single_pictures(read_data(files)) for name, files in (("known", known), ("dev", dev))}
    for name, found in pictures.items():
        if not found:
            raise DataError(f"The {name} data hold no picture with a modality. Give files whose examples name it.")
    sample = balanced_sample(pictures["known"], fitted, seed)
    features = list(picture_features(model, sample, load))
    named = [modality for _, modality, _ in sample]
    guard = Guard(
        np.stack([one.joint for one in features[:voters]]),
        tuple(named[:voters]),
        fit_kinds(np.stack([pooled(one) for one in features]), named),
    )
    # As the file will hold it, so that the threshold fits what the assistant reads.
    with tempfile.TemporaryDirectory() as folder:
        save_known_pictures(Path(folder), guard.vectors, guard.modalities, guard.kinds)
        seen = cast(KnownPictures, KnownPictures.open(Path(folder)))
    sights = [seen.look(one) for one in picture_features(model, pictures["dev"], load)]
    threshold = greatest_distance(sights, most_rejected)
    report = {
        "known": len(guard.modalities),
        "fitted": len(sample),
        "modalities": {name: guard.modalities.count(name) for name in seen.names},
        "ood_distance": threshold,
        "dev": rejection_report(sights, pictures["dev"], threshold, seen.names),
    }
    if unlike:
        others = single_pictures(read_data(unlike))
        looks = [seen.look(one) for one in picture_features(model, others, load)]
        report["unlike"] = rejection_report(looks, others, threshold, seen.names)
    return guard, threshold, report


def picture_features(
    model: LoadedModel, pictures: Sequence[Shown], load: Callable[[Path], Picture]
) -> Iterator[PictureFeatures]:
    """Give each picture's features, holding one batch of pictures at a time."""
    encoder = PictureEncoder(model, max_items=1, batch_size=32)
    for start in range(0, len(pictures), 32):
        yield from encoder.encode([load(path) for path, _, _ in pictures[start : start + 32]])


def fit_kinds(features: np.ndarray, kinds: Sequence[str], rank: int = 32) -> Kinds:
    """Fit a Gaussian to the pictures of each kind: its largest principal components, and one variance for the rest.

    That is the maximum-likelihood probabilistic PCA (Tipping and Bishop 1999), with a rank of at most a quarter of the
    pictures, since a few pictures say nothing reliable of many directions. Then each is widened or narrowed until nine
    in ten of its own pictures lie within a distance of 1: kinds of many looks and of few are held to the same share.

    Args:
        features: (N, D) float, pooled.
        kinds: (N,) names.
        rank: most components a kind.

    Returns:
        The kinds in the order of their names.
    """
    centre, scale = features.mean(axis=0), features.std(axis=0) + 1e-6
    scaled = (features - centre) / scale
    names, size = sorted(set(kinds)), features.shape[1]
    parts = [scaled[np.array([kind == name for kind in kinds])] for name in names]
    mean = np.stack([part.mean(axis=0) for part in parts])
    # A kind of one or two pictures would have no width at all; it gets a share of the others' mean width.
    usual = float(np.mean(np.concatenate([(part - one) ** 2 for part, one in zip(parts, mean, strict=True)])))
    least = max(0.1 * usual, 1e-6)
    most = max(1, min(rank, size - 1))
    axes, variance = np.zeros((len(names), most, size)), np.ones((len(names), most))
    rest = np.zeros(len(names))
    for place, (part, one) in enumerate(zip(parts, mean, strict=True)):
        kept = min(most, len(part) // 4)
        _, singular, directions = np.linalg.svd(part - one, full_matrices=False)
        along = singular**2 / len(part)
        rest[place] = max(float(along[kept:].sum()) / (size - kept), least)
        axes[place, :kept] = directions[:kept]
        variance[place, :kept] = np.maximum(along[:kept], rest[place])
    for place, part in enumerate(parts):
        one = slice(place, place + 1)
        kind = Kinds(np.zeros(size), np.ones(size), mean[one], axes[one], variance[one], rest[one])
        edge = max(float(np.quantile(kind.distance(part), 0.9)) ** 2, 1e-3)
        variance[one] *= edge
        rest[one] *= edge
    found = (centre, scale, mean, axes, variance, rest)
    return Kinds(*(one.astype(np.float32) for one in found))


def greatest_distance(sights: Sequence[Sight], most_rejected: float) -> float:
    """Return the distance above which a picture is unlike anything known.

    Args:
        sights: of development pictures, which should pass.
        most_rejected: the largest share of them that may fail.

    Returns:
        The threshold, rounded up to 3 decimals, so that other hardware does not reject a picture on the edge.
    """
    ordered = sorted((sight.distance for sight in sights), reverse=True)
    place = min(int(most_rejected * len(ordered)), len(ordered) - 1)
    return float(np.ceil((ordered[place] + 1e-3) * 1e3) / 1e3)


def rejection_report(
    sights: Sequence[Sight], pictures: Sequence[Shown], threshold: float, names: Sequence[str]
) -> dict[str, Any]:
    """Tell how the guard takes some pictures.

    Args:
        sights: of the pictures.
        pictures: with their true modality.
        threshold: the greatest distance.
        names: the modalities that the guard knows.

    Returns:
        How many there are, the share rejected, the share whose modality it names right, and for each modality
        {"pictures", "rejected", "known"}.
    """
    rejected = [sight.distance > threshold for sight in sights]
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
