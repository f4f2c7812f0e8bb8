"""Scores of answers and of phantoms' reports against the truth. Pure functions of one pair of texts.

BLEU, ROUGE-L and METEOR stand in `training.evaluation.text_scores`, the findings of any report in
`assistant.findings`.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from assistant.review import without_citations
from assistant.vocabulary import canonical_modality

YES_NO = ("yes", "no")

_ARTICLES = frozenset({"a", "an", "the"})
_NUMBERS = dict(
    zero="0", one="1", two="2", three="3", four="4", five="5", six="6", seven="7", eight="8", nine="9", ten="10"
)
_WORD = re.compile(r"\d+(?:\.\d+)?|[^\W\d_]+")


def normalise_answer(text: str) -> str:
    """Return an answer in the form in which answers are compared.

    Small letters, no citations, punctuation or articles, number words as digits, a gap between number and unit.

    Args:
        text: such as "The lesion is 12mm. [1]".

    Returns:
        Words with single gaps, such as "lesion is 12 mm".
    """
    words = _WORD.findall(without_citations(text).lower().replace("'", ""))
    return " ".join(_NUMBERS.get(word, word) for word in words if word not in _ARTICLES)


def answer_tokens(text: str) -> list[str]:
    """Return the words of `normalise_answer`."""
    return normalise_answer(text).split()


def exact_match(prediction: str, truth: str) -> bool:
    """Tell whether two answers are the same once normalised; both empty counts as the same."""
    return normalise_answer(prediction) == normalise_answer(truth)


def same_answer(prediction: str, truth: str) -> bool:
    """Tell whether an open answer is right: the same once normalised, or another name of the same modality."""
    if exact_match(prediction, truth):
        return True
    modality = canonical_modality(truth)
    return modality is not None and canonical_modality(without_citations(prediction).strip(" .")) == modality


def first_option(text: str, options: Sequence[str]) -> str | None:
    """Return the option that a text names first; of two at the same place the longer one; None if it names none."""
    said = f" {normalise_answer(text)} "
    found: list[tuple[int, int, str]] = []
    for option in options:
        wanted = normalise_answer(option)
        place = said.find(f" {wanted} ") if wanted else -1
        if place >= 0:
            found.append((place, -len(wanted), option))
    return min(found)[2] if found else None


def closed_right(prediction: str, truth: str, options: Sequence[str] = ()) -> bool:
    """Tell whether the answer to a closed question is right: the first option that it names is the true one.

    Args:
        prediction: the model's words.
        truth: the true answer.
        options: what there is to choose from; yes and no if none is given and the truth begins with one of them.

    Returns:
        Whether it is right. Where no options are known, or the truth is none of them, whether the texts are the same.
    """
    choices: Sequence[str] = options
    if not choices and answer_tokens(truth)[:1] and answer_tokens(truth)[0] in YES_NO:
        choices = YES_NO
    wanted = first_option(truth, choices)
    if wanted is None:
        return same_answer(prediction, truth)
    return first_option(prediction, choices) == wanted


def closed_accuracy(predictions: Sequence[str], truths: Sequence[str], options: Sequence[Sequence[str]]) -> float:
    """Return the share of closed questions answered right, by `closed_right`; nan for none."""
    right = [closed_right(*row) for row in zip(predictions, truths, options, strict=True)]
    return sum(right) / len(right) if right else math.nan


def open_recall(prediction: str, truth: str) -> float:
    """Return the share of the truth's words that stand in the prediction, as LLaVA-Med scores open questions.

    LLaVA-Med counts a shared word as often as the prediction says it; here it counts at most as often as the truth
    has it, so that saying a word again gains nothing.

    Args:
        prediction: the model's words.
        truth: the true answer.

    Returns:
        0 to 1; for a truth without words 1 if the prediction has none either.
    """
    said, wanted = Counter(answer_tokens(prediction)), Counter(answer_tokens(truth))
    if not wanted:
        return float(not said)
    return sum((said & wanted).values()) / sum(wanted.values())


def token_f1(prediction: str, truth: str) -> float:
    """Return the harmonic mean of the words' precision and recall, as SQuAD counts it."""
    said, wanted = Counter(answer_tokens(prediction)), Counter(answer_tokens(truth))
    if not said or not wanted:
        return float(said == wanted)
    shared = sum((said & wanted).values())
    return 2 * shared / (sum(said.values()) + sum(wanted.values()))


Finding = tuple[str, "str | None", "str | None"]
"""Name, side, zone."""


@dataclass(frozen=True)
class FindingCounts:
    """How the findings of a report compare with the true ones; sums over reports give micro-averages."""

    shared: int
    """Reported and true."""
    extra: int
    """Reported, not true: made up, or on the wrong side."""
    missed: int
    """True, not reported."""

    @property
    def precision(self) -> float:
        """Share of the reported findings that are true; 1 if none is reported."""
        return self.shared / (self.shared + self.extra) if self.shared + self.extra else 1.0

    @property
    def recall(self) -> float:
        """Share of the true findings that are reported; 1 if there is none."""
        return self.shared / (self.shared + self.missed) if self.shared + self.missed else 1.0

    @property
    def f1(self) -> float:
        """Harmonic mean of the two; 1 if there is nothing to report and nothing is."""
        whole = 2 * self.shared + self.extra + self.missed
        return 2 * self.shared / whole if whole else 1.0


def compare_findings(report: str, truth: Collection[Finding], *, places: bool = True) -> FindingCounts:
    """Read the findings out of a report on a phantom and compare them with the true ones.

    Args:
        report: its text; see `data_recipes.phantom.report_findings` for what is read.
        truth: the true findings.
        places: side and zone must agree too; without, names alone count.

    Returns:
        The counts.
    """
    from data_recipes.phantom_text import report_findings

    found: list[Collection[Finding]] = [report_findings(report), truth]
    if not places:
        found = [{(name, None, None) for name, _, _ in one} for one in found]
    said, wanted = (Counter(set(one)) for one in found)
    shared = sum((said & wanted).values())
    return FindingCounts(shared, sum(said.values()) - shared, sum(wanted.values()) - shared)
