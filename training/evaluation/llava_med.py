"""LLaVA-Med's scoring rules, for numbers that can stand beside those of its papers.

The rules of `llava/eval/run_eval.py` and `llava/eval/eval_metrics` of microsoft/LLaVA-Med (commit ad758b6), which
took the normalisation from the VQA challenge (Antol et al., ICCV 2015). Written anew from what that code does; where
it does something other than its names say, both are offered.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

from training.evaluation.scorer import Pair, Scorer, is_closed, is_open, mean_of

SOURCE = "microsoft/LLaVA-Med, llava/eval/run_eval.py"

_PUNCTUATION = ';/[]"{}()=+\\_-><@`,?!'
_DIGIT_COMMA = re.compile(r"\d,\d")
_FULL_STOP = re.compile(r"\.(?!\d)")
_MOST_FULL_STOPS = 32  # The peer passes the number of a flag (re.UNICODE, 32) where the count of replacements stands.
_COUNTED = "zero one two three four five six seven eight nine ten"
_NUMBERS = {"none": "0"} | {word: str(number) for number, word in enumerate(_COUNTED.split(" "))}
_ARTICLES = ("a", "an", "the")
_CONTRACTED = """
    ain't aren't can't could've couldn't couldn't've didn't doesn't don't hadn't hadn't've hasn't haven't he'd he'd've
    how'd how'll how's isn't it'd it'd've it'll ma'am mightn't mightn't've might've mustn't must've needn't not've
    o'clock oughtn't 'ow's'at shan't she'd've should've shouldn't shouldn't've somebody'd've somebody'll somebody's
    someone'd someone'd've someone'll someone's something'd something'd've something'll that's there'd there'd've
    there're there's they'd they'd've they'll they're they've 'twas wasn't we'd've we've weren't what'll what're what's
    what've when's where'd where's where've who'd who'd've who'll who's who've why'll why're why's won't would've
    wouldn't wouldn't've y'all y'all'll y'all'd've you'd you'd've you'll you're you've he's
"""


def _slips() -> Iterator[tuple[str, str]]:
    """Give each way to leave out one apostrophe, with the right form."""
    for word in _CONTRACTED.split():
        for place, sign in enumerate(word):
            if sign == "'":
                yield word[:place] + word[place + 1 :], word
    yield "somebody'd", "somebodyd"


_CONTRACTIONS = dict(_slips())


def normalise(text: str) -> str:
    """Return an answer as LLaVA-Med compares it.

    Punctuation beside a space goes, other punctuation becomes a space; full stops go unless a digit follows; number
    words become digits, "none" too; articles go; contractions get their apostrophe.

    Args:
        text: of any case.

    Returns:
        Words with single gaps.
    """
    parted = text
    between_digits = bool(_DIGIT_COMMA.search(text))
    for sign in _PUNCTUATION:
        beside_space = f"{sign} " in text or f" {sign}" in text
        parted = parted.replace(sign, "" if beside_space or between_digits else " ")
    parted = _FULL_STOP.sub("", parted, count=_MOST_FULL_STOPS)
    words = (_NUMBERS.get(word, word) for word in parted.lower().split())
    return " ".join(_CONTRACTIONS.get(word, word) for word in words if word not in _ARTICLES).replace(",", "")


def _words(text: str) -> Counter[str]:
    # Twice, as the peer does: the evaluation normalises, and each score does so again.
    return Counter(normalise(normalise(text.lower())).split())


def precision_recall_f1(prediction: str, truth: str) -> tuple[float, float, float]:
    """Return precision, recall and F1 of words, a shared word counted as often as the prediction says it.

    Args:
        prediction: the model's words.
        truth: the true answer.

    Returns:
        All 0 where nothing is shared.
    """
    said, wanted = _words(prediction), _words(truth)
    shared = sum(count for word, count in said.items() if word in wanted)
    if not shared:
        return 0.0, 0.0, 0.0
    missed = sum(count for word, count in wanted.items() if word not in said)
    precision, recall = shared / sum(said.values()), shared / (shared + missed)
    return precision, recall, 2 * precision * recall / (precision + recall)


def exact_match(prediction: str, truth: str) -> float:
    """Return the distinct words of the truth that are said, over the number of words said; 0 for no words.

    So the peer computes what it calls exact match; it is nearer to a precision.
    """
    said, wanted = _words(prediction), _words(truth)
    return len(set(said) & set(wanted)) / sum(said.values()) if said else 0.0


def closed_hit(prediction: str, truth: str) -> float | None:
    """Return what the peer writes down for a closed question: 1, 0, or None for nothing at all.

    Args:
        prediction: the model's words.
        truth: the true answer.

    Returns:
        1 if "yes" or "no" stands anywhere in the answer, even within a word, and the truth does too; None if the
        first holds and the second not: the peer drops such an answer from the count; 0 if there is neither.
    """
    said, wanted = normalise(prediction.lower()), normalise(truth.lower())
    if "yes" not in said and "no" not in said:
        return 0.0
    return 1.0 if wanted in said else None


def _every_closed(pair: Pair) -> float:
    return closed_hit(pair.prediction, pair.truth) or 0.0


LLAVA_MED: tuple[Scorer, ...] = (
    Scorer(
        "llava_med.closed",
        "Right if the answer holds yes or no, and holds the truth; every closed question counts.",
        f"{SOURCE}, with wrong answers counted",
        is_closed,
        mean_of(_every_closed),
    ),
    Scorer(
        "llava_med.closed_as_written",
        "As llava_med.closed, but an answer that holds yes or no and not the truth is left out of the count, as in "
        "the peer's code: it flatters.",
        SOURCE,
        is_closed,
        mean_of(lambda pair: closed_hit(pair.prediction, pair.truth)),
    ),
    Scorer(
        "llava_med.open_recall",
        "Shared words over shared and missed ones; a shared word counts as often as the answer says it.",
        f"{SOURCE} (recall), calculate_f1score",
        is_open,
        mean_of(lambda pair: precision_recall_f1(pair.prediction, pair.truth)[1]),
    ),
    Scorer(
        "llava_med.f1",
        "Harmonic mean of that recall and the precision counted likewise.",
        f"{SOURCE} (f1 score), calculate_f1score",
        is_open,
        mean_of(lambda pair: precision_recall_f1(pair.prediction, pair.truth)[2]),
    ),
    Scorer(
        "llava_med.exact_match",
        "Distinct words of the truth that are said, over the number of words said.",
        f"{SOURCE} (exact match score), calculate_exactmatch",
        is_open,
        mean_of(lambda pair: exact_match(pair.prediction, pair.truth)),
    ),
)
