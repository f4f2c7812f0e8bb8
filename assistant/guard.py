"""Before the model is asked: is the picture of a kind it knows, and is the question one for this assistant?

Each check is a small function that returns `Stop` (abstain, with the reason and what would help), a caution in words,
or None. What the model knows of pictures stands in `assistant.known`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from assistant.errors import ConfigError
from assistant.imaging.picture import Picture
from assistant.known import Sight
from assistant.vocabulary import MODALITIES, canonical_modality

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
        calibration: a contract's; `ood_distance` is the greatest distance. Without it nothing is stopped.
        presets: larger models to suggest.

    Returns:
        The stop, or None if all are familiar.
    """
    most = calibration.get("ood_distance")
    if most is None or all(sight.distance <= most for sight in sights):
        return None
    worst = max(sight.distance for sight in sights)
    which = "This image is" if len(sights) == 1 else "At least one of the images is"
    return Stop(
        f"{which} unlike anything this model has seen ({worst:.2f} away from the nearest known kind, most of "
        f"which lies within 1; the limit is {most:.2f}).",
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


def are_alike(kinds: set[str]) -> bool:
    """Tell whether one of these kinds of image may be named by a slip for the others."""
    return any(kinds <= group for group in _ALIKE)


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
    if modality not in MODALITIES or are_alike({claimed, modality}):
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
