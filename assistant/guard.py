"""Before the model is asked: is the picture of a kind it knows, and is the question one for this assistant?

Each check is a small function that returns `Stop` (abstain, with the reason and what would help), a caution in words,
or None. What the model knows is a sample of its training pictures' embeddings, in its folder's `guard.safetensors`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from assistant.errors import ConfigError, ModelError
from assistant.imaging.picture import Picture
from assistant.vocabulary import MODALITIES, canonical_modality

GUARD_NAME = "guard.safetensors"

_NEAREST = 5
_VOTERS = 10
# A vote's weight falls to a third for each 0.05 of cosine that a voter is further away than the nearest.
_VOTE_TEMPERATURE = 0.05
_SURE = 0.9
_LONGEST_QUESTION = 4000

# Seen through one kind of eye: a wrong name among these is a slip, not another world.
_ALIKE: tuple[frozenset[str], ...] = (
    frozenset({"X-ray", "CT", "MRI", "Mammography", "Nuclear medicine", "Ultrasound"}),
    frozenset({"Histopathology", "Blood-smear microscopy"}),
    frozenset({"Fundus photography", "OCT"}),
)


@dataclass(frozen=True)
class Stop:
    """A reason to abstain."""

    reason: str
    """What is wrong, for the reader."""
    help: str
    """What would help instead."""

    @property
    def text(self) -> str:
        """Both, as the text of an answer."""
        return f"{self.reason} {self.help}".strip()


@dataclass(frozen=True)
class Sight:
    """What the guard makes of one picture."""

    familiarity: float
    """Mean cosine to the nearest known pictures, -1 to 1."""
    modality: str | None
    """The kind of image that its nearest known pictures vote for."""
    probability: float
    """Share of the vote."""


class KnownPictures:
    """A sample of the pictures a model was trained on, as unit vectors of its joint space.

    Args:
        reference: (N, E) float, unit length.
        modality: (N,) int, a place in `names` for each.
        names: of modalities.
    """

    def __init__(self, reference: np.ndarray, modality: np.ndarray, names: Sequence[str]) -> None:
        self._reference = reference.astype(np.float32)
        self._modality = modality.astype(np.int64)
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

        try:
            with safe_open(path, framework="pt") as file:
                reference = file.get_tensor("reference").float().numpy()
                modality = file.get_tensor("modality").numpy()
                names = json.loads((file.metadata() or {}).get("modalities", "[]"))
        except (SafetensorError, ValueError) as error:
            raise ModelError(f"{path} cannot be read ({error}). Restore it, or delete it to go without.") from error
        if reference.ndim != 2 or modality.shape != reference.shape[:1] or not len(modality):
            raise ModelError(
                f"{path} has reference {reference.shape} for modality {modality.shape}; it takes (N, E) and (N,). "
                "Restore it, or delete it to go without."
            )
        if not isinstance(names, list) or not 0 <= int(modality.min()) <= int(modality.max()) < len(names):
            raise ModelError(f"{path} names {len(names)} modalities, fewer than it uses. Restore it, or delete it.")
        return cls(reference, modality, [str(name) for name in names])

    def look(self, joint: np.ndarray) -> Sight:
        """Compare one picture with the known ones.

        Args:
            joint: (E,) unit length.

        Returns:
            How familiar it is, and which kind its nearest known pictures vote for.
        """
        cosine = self._reference @ joint.astype(np.float32)
        order = np.argsort(-cosine)[:_VOTERS]
        weight = np.exp((cosine[order] - cosine[order[0]]) / _VOTE_TEMPERATURE)
        votes = np.bincount(self._modality[order], weights=weight, minlength=len(self.names))
        winner = int(votes.argmax())
        familiarity = float(cosine[order[:_NEAREST]].mean())
        return Sight(familiarity, self.names[winner], float(votes[winner] / votes.sum()))


def save_known_pictures(folder: Path, reference: np.ndarray, modality: Sequence[str]) -> Path:
    """Write a model folder's `guard.safetensors`.

    Args:
        folder: the model folder.
        reference: (N, E) unit vectors of training pictures, in the model's joint space.
        modality: (N,) each picture's kind.

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
    path = folder / GUARD_NAME
    save_file({"reference": vectors, "modality": places}, path, metadata={"modalities": json.dumps(names)})
    return path


def check_text(text: str) -> None:
    """Refuse a question that cannot be meant.

    Args:
        text: the question.

    Raises:
        ConfigError: it is empty or far too long.
    """
    if not text.strip():
        raise ConfigError("The question is empty. Ask one, such as: What kind of image is this?")
    if len(text) > _LONGEST_QUESTION:
        raise ConfigError(f"The question has {len(text)} characters; at most {_LONGEST_QUESTION} are read. Shorten it.")


def check_familiar(
    sights: Sequence[Sight], names: Sequence[str], calibration: Mapping[str, float], presets: Sequence[str]
) -> Stop | None:
    """Stop if a picture is unlike all that the model has seen.

    Args:
        sights: of each picture.
        names: modalities that the model knows.
        calibration: a contract's; `ood_threshold` is the least familiarity. Without it nothing is stopped.
        presets: larger models to suggest.

    Returns:
        The stop, or None if all are familiar.
    """
    least = calibration.get("ood_threshold")
    if least is None or all(sight.familiarity >= least for sight in sights):
        return None
    worst = min(sight.familiarity for sight in sights)
    which = "This image is" if len(sights) == 1 else "At least one of the images is"
    return Stop(
        f"{which} unlike anything this model has seen (likeness {worst:.2f}, needed {least:.2f}).",
        f"It knows: {', '.join(names)}. {larger_model(presets)}",
    )


def larger_model(presets: Sequence[str]) -> str:
    """Return the advice to load a larger model, by name where presets are known."""
    if not presets:
        return "For other images load a larger model with --model."
    return f"For other images load a larger model with --model, made from a preset: {', '.join(presets)}."


def modality_of(pictures: Sequence[Picture], sights: Sequence[Sight]) -> str | None:
    """Return the kind of all the pictures: the header's word first, then a clear vote; None if they differ."""
    kinds: set[str | None] = set()
    for place, picture in enumerate(pictures):
        sight = sights[place] if place < len(sights) else None
        voted = sight.modality if sight and sight.probability >= _SURE else None
        kinds.add(picture.modality or canonical_modality(voted) or voted)
    return kinds.pop() if len(kinds) == 1 else None


def check_header(picture: Picture, sight: Sight) -> str | None:
    """Return a caution if a picture's header names one modality and its looks another."""
    seen = canonical_modality(sight.modality) or sight.modality
    if not picture.modality or not seen or sight.probability < _SURE or seen == picture.modality:
        return None
    return f"The file's header says {picture.modality}, but the image looks like {seen}. The header was believed."


def check_premise(text: str, modality: str | None) -> Stop | str | None:
    """Compare the modality that a question takes for granted with the picture's.

    Args:
        text: the question.
        modality: the picture's, from `modality_of`.

    Returns:
        Stop if they are worlds apart (a skin photograph asked about as a CT), a caution if they are neighbours.
    """
    named = premised_modalities(text)
    if modality is None or len(named) != 1 or modality in named:
        return None
    (claimed,) = named
    said = f"The question speaks of {claimed}, but the image looks like {modality}."
    if modality not in MODALITIES or any({claimed, modality} <= group for group in _ALIKE):
        return said
    return Stop(said, f"Ask about it as {modality}, or send the image that was meant.")


_NAMES = {
    r"ct|computed tomography|cat scan": "CT",
    r"mri?|magnetic resonance(?: imag\w+)?": "MRI",
    r"x-?\s?rays?|radiographs?|cxr": "X-ray",
    r"ultrasounds?|sonograms?|ultrasonograph\w*": "Ultrasound",
    r"mammograms?": "Mammography",
    r"fundus|retinal photograph\w*": "Fundus photography",
    r"dermoscop\w*|dermatoscop\w*": "Dermoscopy",
    r"blood smears?|blood films?": "Blood-smear microscopy",
    r"histolog\w*|histopatholog\w*|biops(?:y|ies)": "Histopathology",
    r"endoscop\w*|colonoscop\w*": "Endoscopy",
    r"oct": "OCT",
}
_PREMISES = tuple(
    (re.compile(rf"\b(?:this|the|these|my)\s+(?:[\w-]+\s+){{0,2}}?(?:{pattern})\b", re.IGNORECASE), name)
    for pattern, name in _NAMES.items()
)
_ASKS_KIND = re.compile(
    r"\b(?:is|was|are) (?:this|it|these|the (?:image|scan|picture|study))(?: (?:image|scan|picture|study))?"
    r" (?:an? |taken |from |by )|\b(?:what|which) (?:kind|type|sort|modality|imaging)",
    re.IGNORECASE,
)


def premised_modalities(text: str) -> set[str]:
    """Return the modalities a question takes for granted ("in this chest CT"), none where it asks for the modality."""
    if _ASKS_KIND.search(text):
        return set()
    return {name for pattern, name in _PREMISES if pattern.search(text)}


_COMPARES = re.compile(
    r"\b(?:compar\w+ (?:to|with) (?:the |a |any )?(?:prior|previous|last|earlier|old)|"
    r"(?:since|from) (?:the |my )?(?:prior|previous|last|earlier)|interval change|changed since|"
    r"(?:prior|previous|earlier) (?:image|study|scan|exam\w*|x-ray|ct|mri|film|radiograph)|"
    r"(?:has|have) (?:it|this|the [\w ]{1,30}) (?:changed|grown|shrunk|improved|worsened|progressed|resolved))\b",
    re.IGNORECASE,
)


def check_prior(text: str, pictures: int) -> str | None:
    """Return a caution if a question asks about change while only one picture is there to see."""
    if pictures != 1 or not _COMPARES.search(text):
        return None
    return "The question is about change, but no prior image was given, so nothing here can tell of change."
