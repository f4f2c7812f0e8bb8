"""Which altered pictures a model should look at beside each picture: every choice is tried on held-out questions."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import combinations
from typing import TYPE_CHECKING

from assistant.errors import ConfigError

if TYPE_CHECKING:
    from assistant.model.loaded import LoadedModel
    from training.evaluation.summary import Prediction

logger = logging.getLogger(__name__)

NAMES = ("flip", "zoom")
"""All of `assistant.augment.ALTERATIONS`, whose import takes a second."""
CHOICES = ("auto", "none", *NAMES)
"""What `--views` takes; `auto` and `none` stand alone."""


def with_views(model: LoadedModel, names: Sequence[str]) -> LoadedModel:
    """Return the model under a contract that asks for these alterations; none takes the capability away."""
    from assistant.augment import CAPABILITY

    kept = {name: value for name, value in model.contract.capabilities.items() if name != CAPABILITY}
    wanted = {CAPABILITY: " ".join(names)} if names else {}
    return replace(model, contract=model.contract.replace(capabilities={**kept, **wanted}))


def choose_views(
    model: LoadedModel, asked: Sequence[str], predict: Callable[[LoadedModel], list[Prediction]]
) -> tuple[LoadedModel, list[Prediction], dict[str, float]]:
    """Give a model the views that were asked for, or those with which most answers are right.

    Args:
        model: uncalibrated.
        asked: of `CHOICES`.
        predict: answers the held-out questions with a model.
    Returns:
        The model, its answers, and for each choice that was tried the share of right answers among those questions
        that have some to choose from. Of equal ones the choice with fewer views is taken.
    Raises:
        ConfigError: `auto` or `none` with something else, or no such question for `auto` to choose by.
    """
    if len(asked) > 1 and not set(asked).isdisjoint(("auto", "none")):
        raise ConfigError(f"--views {' '.join(asked)}: auto and none stand alone.")
    tried = [part for size in range(len(NAMES) + 1) for part in combinations(NAMES, size)]
    if asked[0] != "auto":
        tried = [() if asked[0] == "none" else tuple(name for name in NAMES if name in asked)]
    best, shares = None, {}
    for part in tried:
        made = with_views(model, part)
        rows = predict(made)
        right = [bool(row.right) for row in rows if row.reply.kind == "closed" and row.right is not None]
        if not right and len(tried) > 1:
            raise ConfigError("--views auto: no question of the data has answers to choose from. Name the views.")
        share = shares[" ".join(part) or "none"] = round(sum(right) / max(1, len(right)), 4)
        logger.info("views %s: %.1f %% of %d right", " ".join(part) or "none", 100 * share, len(right))
        if best is None or share > best[0]:
            best = (share, made, rows)
    assert best is not None
    return best[1], best[2], shares
