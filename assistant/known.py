"""What a model knows of pictures, kept in its folder's `guard.safetensors`: which kinds there are, and how far is far.

Two parts. A sample of training pictures in the joint space votes on a picture's kind. How strange a picture is comes
from its patches: for every kind a Gaussian is fitted to the mean patch feature, and the Mahalanobis distance to the
nearest kind is the strangeness (Lee et al. 2018, "A Simple Unified Framework for Detecting Out-of-Distribution
Samples"). The joint space serves badly for that: it was trained to tell the known kinds apart, and what tells an
unknown one from all of them is what that training throws away.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from assistant.errors import ModelError

if TYPE_CHECKING:
    from assistant.engine.features import PictureFeatures

GUARD_NAME = "guard.safetensors"

_VOTERS = 10
# A vote's weight falls to a third for each 0.05 of cosine that a voter is further away than the nearest.
_VOTE_TEMPERATURE = 0.05


@dataclass(frozen=True)
class Sight:
    """What the guard makes of one picture."""

    distance: float
    """Mahalanobis distance to the nearest known kind, in units of what holds nine in ten of the kind's own pictures."""
    modality: str | None
    """The kind of image that its nearest known pictures vote for."""
    probability: float
    """Share of the vote."""


@dataclass(frozen=True, eq=False)
class Kinds:
    """A Gaussian for each of K kinds over D features: R directions of their own variance, the rest alike."""

    centre: np.ndarray
    """(D,) subtracted first."""
    scale: np.ndarray
    """(D,) divided by next."""
    mean: np.ndarray
    """(K, D)."""
    axes: np.ndarray
    """(K, R, D) of unit length; a kind that was fitted with fewer has zeros in the others."""
    variance: np.ndarray
    """(K, R) along the axes."""
    rest: np.ndarray
    """(K,) variance across them. These and those along are scaled so that nine in ten of the kind are within 1."""

    def distance(self, features: np.ndarray) -> np.ndarray:
        """Return how far features are from the nearest kind.

        Args:
            features: (N, D) float.
        Returns:
            (N,) float: root of the squared Mahalanobis distance over D.
        """
        scaled = (features.astype(np.float32) - self.centre) / self.scale
        off = scaled[:, None] - self.mean
        along = np.einsum("nkd,krd->nkr", off, self.axes) ** 2
        across = np.maximum((off**2).sum(-1) - along.sum(-1), 0.0)
        squared = (along / self.variance).sum(-1) + across / self.rest
        return np.asarray(np.sqrt(squared.min(axis=1) / features.shape[1]))

    def misfit(self) -> str | None:
        """Return what is wrong with the shapes or values, or None."""
        shapes = {one.name: getattr(self, one.name).shape for one in fields(self)}
        kinds, rank, size = self.axes.shape if self.axes.ndim == 3 else (-1, -1, -1)
        right = {
            "centre": (size,), "scale": (size,), "mean": (kinds, size), "axes": (kinds, rank, size),
            "variance": (kinds, rank), "rest": (kinds,),
        }  # fmt: skip
        wrong = [f"{name} {shapes[name]}" for name in right if shapes[name] != right[name]]
        if wrong or not kinds:
            return f"parts that do not fit each other: {', '.join(wrong) or 'no kind at all'}"
        if not all(np.isfinite(getattr(self, name)).all() for name in right):
            return "values that are not finite"
        if min(self.scale.min(), self.rest.min(), self.variance.min(initial=1.0)) <= 0:
            return "a scale or variance of 0 or less"
        return None


class KnownPictures:
    """A sample of the pictures a model was trained on, as unit vectors of its joint space, and their kinds.

    Args:
        reference: (N, E) float, unit length.
        modality: (N,) int, a place in `names` for each.
        names: of modalities.
        kinds: for the distance.
    """

    def __init__(self, reference: np.ndarray, modality: np.ndarray, names: Sequence[str], kinds: Kinds) -> None:
        self._reference = reference.astype(np.float32)
        self._modality = modality.astype(np.int64)
        self._kinds = kinds
        self.names = tuple(names)

    @classmethod
    def open(cls, folder: Path | None) -> KnownPictures | None:
        """Read a model folder's `guard.safetensors`.

        Args:
            folder: the model folder; None for a model that has none.

        Returns:
            What the file holds, or None where there is no such file.

        Raises:
            ModelError: the file's parts are missing or do not fit each other.
        """
        path = folder / GUARD_NAME if folder else None
        if path is None or not path.is_file():
            return None
        from safetensors import SafetensorError, safe_open

        mend = "Restore the file, make it anew with python -m training.calibrate --known, or delete it to go without."
        try:
            with safe_open(path, framework="pt") as file:
                reference = file.get_tensor("reference").float().numpy()
                modality = file.get_tensor("modality").numpy()
                kinds = Kinds(
                    **{one.name: file.get_tensor(f"kinds.{one.name}").float().numpy() for one in fields(Kinds)}
                )
                names = json.loads((file.metadata() or {}).get("modalities", "[]"))
        except (SafetensorError, ValueError) as error:
            raise ModelError(f"{path} cannot be read ({error}). {mend}") from error
        if reference.ndim != 2 or modality.shape != reference.shape[:1] or not len(modality):
            raise ModelError(
                f"{path} has reference {reference.shape} for modality {modality.shape}; "
                f"it takes (N, E) and (N,). {mend}"
            )
        if not isinstance(names, list) or not 0 <= int(modality.min()) <= int(modality.max()) < len(names):
            raise ModelError(f"{path} names {len(names)} modalities, fewer than it uses. {mend}")
        if misfit := kinds.misfit():
            raise ModelError(f"{path} has {misfit}. {mend}")
        return cls(reference, modality, [str(name) for name in names], kinds)

    def look(self, features: PictureFeatures) -> Sight:
        """Compare one picture with the known ones.

        Args:
            features: of the picture.

        Returns:
            How strange it is, and which kind its nearest known pictures vote for.
        """
        cosine = self._reference @ features.joint.astype(np.float32)
        order = np.argsort(-cosine)[:_VOTERS]
        weight = np.exp((cosine[order] - cosine[order[0]]) / _VOTE_TEMPERATURE)
        votes = np.bincount(self._modality[order], weights=weight, minlength=len(self.names))
        winner = int(votes.argmax())
        distance = float(self._kinds.distance(pooled(features)[None])[0])
        return Sight(distance, self.names[winner], float(votes[winner] / votes.sum()))


def pooled(features: PictureFeatures) -> np.ndarray:
    """Return what the distance is measured on: the mean patch feature, (D,) float32."""
    return np.asarray(features.whole.float().mean(dim=0).cpu().numpy(), dtype=np.float32)


def save_known_pictures(folder: Path, reference: np.ndarray, modality: Sequence[str], kinds: Kinds) -> Path:
    """Write a model folder's `guard.safetensors`.

    Args:
        folder: the model folder.
        reference: (N, E) unit vectors of training pictures, in the model's joint space.
        modality: (N,) each picture's kind.
        kinds: for the distance; the axes are stored in bfloat16.

    Returns:
        The file's path.

    Raises:
        ValueError: the two differ in length, or are empty.
    """
    import torch
    from safetensors.torch import save_file

    if len(reference) != len(modality) or not len(modality):
        raise ValueError(f"{len(reference)} vectors for {len(modality)} modalities; give one each, at least one.")
    names = sorted(set(modality))
    places = torch.tensor([names.index(name) for name in modality], dtype=torch.int32)
    vectors = torch.from_numpy(np.ascontiguousarray(reference, dtype=np.float32)).to(torch.bfloat16)
    parts = {
        f"kinds.{one.name}": torch.from_numpy(np.ascontiguousarray(getattr(kinds, one.name), dtype=np.float32))
        for one in fields(kinds)
    }
    parts["kinds.axes"] = parts["kinds.axes"].to(torch.bfloat16)
    path = folder / GUARD_NAME
    save_file({"reference": vectors, "modality": places, **parts}, path, metadata={"modalities": json.dumps(names)})
    return path
