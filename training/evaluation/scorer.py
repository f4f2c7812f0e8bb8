"""What a scorer is: a score is a function of sums, so that every one has the same intervals.

A scorer takes some of the answers, gives a row of K numbers for each, and says how sums of such rows make the score:
a mean is (points, 1), a micro-averaged F1 (2 x shared, said + wanted), BLEU its n-gram counts. The bootstrap draws
patients and adds up their rows, whatever the score.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from training.uncertainty import Estimate, bootstrap_sums


@dataclass(frozen=True)
class Pair:
    """An answer beside the true one."""

    prediction: str
    truth: str
    answer_type: str
    """closed, open, choice or report; see `data_recipes.schema`."""
    task: str = "vqa"
    choices: tuple[str, ...] = ()
    """The answers to choose from, of a choice question."""
    has_prior: bool = False
    """A prior image was given, so that a report may speak of change."""
    written: str = ""
    """A report as the model wrote it, before sentences were taken out; empty if it is the prediction."""


Parts = Callable[[Sequence[Pair]], "np.ndarray"]
Value = Callable[["np.ndarray"], "np.ndarray"]


def ratio(sums: np.ndarray) -> np.ndarray:
    """Return the first sum over the second, (R, 2) to (R,); nan where the second is 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(sums[:, 1] > 0, sums[:, 0] / sums[:, 1], np.nan))


@dataclass(frozen=True)
class Scorer:
    """One way to score answers."""

    name: str
    """As in `metrics.json`; of a peer's rule its name, a dot, and the rule's."""
    rule: str
    """What counts, in a sentence."""
    source: str
    """Paper, library or code that the rule was taken from."""
    takes: Callable[[Pair], bool]
    """Tells which answers it scores."""
    parts: Parts
    """N answers to (N, K) numbers; nan for an answer that is not counted at all."""
    value: Value = ratio
    """(R, K) sums to (R,) scores; nan where a score is not defined."""

    def score(self, pairs: Sequence[Pair], groups: Sequence[Hashable], *, seed: int = 0) -> Estimate | None:
        """Score answers, with an interval.

        Args:
            pairs: any answers; those that it does not take are passed over.
            groups: for each answer whose it stands or falls with: a patient or a picture.
            seed: of the resampling.

        Returns:
            The estimate with its `n`; None if there is nothing to score.
        """
        kept = [place for place, pair in enumerate(pairs) if self.takes(pair)]
        if not kept:
            return None
        parts = np.asarray(self.parts([pairs[place] for place in kept]), dtype=float)
        counted = ~np.isnan(parts).any(axis=1)
        if not counted.any():
            return None
        whose = [groups[place] for place, counts in zip(kept, counted, strict=True) if counts]
        found = bootstrap_sums(parts[counted], self.value, whose, seed=seed)
        return None if np.isnan(found.value) else found


def mean_of(score: Callable[[Pair], float | None]) -> Parts:
    """Return the parts of a mean of `score`; an answer whose score is None is not counted at all."""

    def parts(pairs: Sequence[Pair]) -> np.ndarray:
        found = [score(pair) for pair in pairs]
        return np.array([(np.nan, np.nan) if one is None else (float(one), 1.0) for one in found])

    return parts


def is_closed(pair: Pair) -> bool:
    """Tell whether it answers a closed question."""
    return pair.answer_type == "closed"


def is_choice(pair: Pair) -> bool:
    """Tell whether it answers a question that offers answers to choose from."""
    return pair.answer_type == "choice"


def is_open(pair: Pair) -> bool:
    """Tell whether it answers an open question; a caption is none."""
    return pair.answer_type == "open" and pair.task != "caption"


def is_question(pair: Pair) -> bool:
    """Tell whether it answers a question of any kind, not a request for a report or a caption."""
    return pair.answer_type != "report" and pair.task != "caption"


def is_report(pair: Pair) -> bool:
    """Tell whether it is a report."""
    return pair.answer_type == "report"


def is_text(pair: Pair) -> bool:
    """Tell whether it is a report or a caption: text that is compared as a whole."""
    return pair.answer_type == "report" or pair.task == "caption"


def score_all(scorers: Iterable[Scorer], pairs: Sequence[Pair], groups: Sequence[Hashable]) -> dict[str, Estimate]:
    """Return what each scorer gives, by name; scorers with nothing to score are left out."""
    found = {scorer.name: scorer.score(pairs, groups) for scorer in scorers}
    return {name: estimate for name, estimate in found.items() if estimate is not None}
