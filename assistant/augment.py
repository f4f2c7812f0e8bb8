"""Test-time augmentation: a question with answers to choose from is put about the picture as altered, too.

What a small model makes of a picture hangs on how it happens to lie. Mirrored, or without its margin, it is the same
finding; the mean over the views is surer than any of them. Which alterations help is a property of the model, measured
and written into its contract (`test_time_augmentation`). A question on sides is never put about a mirrored picture.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from assistant.asking import PromptMaker, own_prompt
from assistant.case import Case
from assistant.config import GenerationConfig
from assistant.engine.features import PictureFeatures
from assistant.errors import ConfigError
from assistant.fitting import CHECK_TOKENS
from assistant.imaging.picture import Picture

CAPABILITY = "test_time_augmentation"
"""Of the contract: names of `ALTERATIONS`, separated by blanks."""
MARGIN = 0.04
"""Cut off at each edge by "zoom", as a share of the side."""
_SIDES = re.compile(
    r"\b(?:left|right|sides?|sided|l|r|lateral\w*|unilateral\w*|bilateral\w*|contralateral\w*|hemi\w+|midline|"
    r"(?:dextr|levo|laevo|sinistr|situs)\w*|clockwise|mirror\w*)\b",
    re.IGNORECASE,
)


def flip(pixels: np.ndarray) -> np.ndarray:
    """Return (H, W, 3) pixels mirrored from left to right."""
    return np.ascontiguousarray(pixels[:, ::-1])


def zoom(pixels: np.ndarray) -> np.ndarray:
    """Return (H, W, 3) pixels without `MARGIN` at each edge; at least one pixel is left."""
    high, wide = (int(side * MARGIN) for side in pixels.shape[:2])
    return np.ascontiguousarray(pixels[high : pixels.shape[0] - high, wide : pixels.shape[1] - wide])


ALTERATIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {"flip": flip, "zoom": zoom}
"""By the names that a contract may list, separated by blanks."""


def alterations_of(capabilities: Mapping[str, str], settings: GenerationConfig) -> tuple[str, ...]:
    """Return over which alterations a model's answers are weighed.

    Args:
        capabilities: of its contract.
        settings: may ask for none.
    Returns:
        The names.
    Raises:
        ConfigError: a name is not known.
    """
    wanted = capabilities.get(CAPABILITY, "") if settings.augment else ""
    names = tuple(dict.fromkeys(wanted.split()))
    if unknown := [name for name in names if name not in ALTERATIONS]:
        raise ConfigError(
            f"The model's contract asks for test_time_augmentation {', '.join(unknown)}; this version knows "
            f"{', '.join(ALTERATIONS)}. Take a newer version, or take the name out of contract.json."
        )
    return names


def names_sides(text: str, options: Sequence[str] = ()) -> bool:
    """Tell whether the answer to a question may hang on which side is left."""
    return any(_SIDES.search(one) for one in (text, *options))


class Augmenter:
    """Puts questions about altered pictures beside those that have answers to choose from.

    Args:
        encode: features of pictures, in order.
        prompts: of the model.
        names: of the alterations; none adds nothing.
    """

    def __init__(
        self,
        encode: Callable[[Sequence[Picture]], list[PictureFeatures]],
        prompts: PromptMaker,
        names: Sequence[str],
    ) -> None:
        self._encode, self._prompts, self._names = encode, prompts, names

    def add(self, cases: Sequence[Case]) -> None:
        """Give the cases that have options and a prompt their altered ones, ready to be weighed.

        Args:
            cases: of questions; those without pictures or options stay as they are.
        """
        for case in cases:
            question = case.question
            if question is None or not case.options or not case.pictures or case.prompt is None:
                continue
            sided = names_sides(question.text, case.options)
            case.altered = [_altered(case, name) for name in self._names if not (sided and name == "flip")]
        made = [one for case in cases for one in case.altered if one.prompt is None]
        features = iter(self._encode([picture for one in made for picture in one.pictures]) if made else ())
        for one in made:
            one.features = [next(features) for _ in one.pictures]
            if one.question is not None:
                brief = replace(one.question.sampling, max_new_tokens=CHECK_TOKENS, stop=())
                one.prompt = own_prompt(self._prompts.for_question(one, one.question), one, brief)


def _altered(case: Case, name: str) -> Case:
    pictures = tuple(replace(one, pixels=ALTERATIONS[name](one.pixels)) for one in case.pictures)
    question = replace(case.question, pictures=pictures) if case.question is not None else None
    made = Case(pictures, question=question, modality=case.modality, evidence=case.evidence)
    made.options, made.forms = case.options, case.forms
    return made
