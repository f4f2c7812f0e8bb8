"""MedEvalKit's scoring rules, for numbers that can stand beside those of its tables.

The rules of `utils/utils.py` and of the data sets' `cal_metrics` of alibaba-damo-academy/MedEvalKit (commits 2025-06
to 2026-02). Written anew from what that code does. Three things to know: a question is closed if its truth is yes or
no, whatever the data set says; an answer behind "answer is" keeps the space before it and so never matches exactly;
and what is printed as precision, recall and F1 of open questions stands in the wrong order (`calculate_f1` gives F1,
precision, recall). Its judgement by a language model is not offered.
"""

from __future__ import annotations

import difflib
import re
import string
from collections.abc import Sequence

from training.evaluation.scorer import Pair, Scorer, is_choice, is_question, mean_of

SOURCE = "alibaba-damo-academy/MedEvalKit, utils/utils.py"

_MARKS = (
    "**answer**:",
    "**answer**",
    "*answer*:",
    "**answer:**",
    "answer is",
    "answer:",
    "答案:",
    "final answer",
    "final answer is",
)
_LONGEST_CHOICE = 300


def boxed(text: str) -> str:
    r"""Return what stands in the last "\boxed{...}" of a text, braces within it kept; "None" if there is none."""
    start = text.rfind("\\boxed{")
    if start < 0:
        return "None"
    depth = 0
    for place in range(start + len("\\boxed"), len(text)):
        depth += {"{": 1, "}": -1}.get(text[place], 0)
        if depth == 0:
            return text[start + len("\\boxed{") : place].strip()
    return "None"


def tagged(text: str, tag: str = "answer") -> str:
    """Return what stands between the tags, several joined by spaces; the whole text if there is nothing."""
    found = re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
    return " ".join(found).strip() or text


def response_of(text: str) -> str:
    """Return the part of an answer that a data set's `cal_metrics` goes on with: boxed, tagged or all, small letters.

    Args:
        text: the model's words.

    Returns:
        The part, without space around it.
    """
    if boxed(text) != "None":
        text = boxed(text)
    elif "<answer>" in text:
        text = tagged(text)
    return text.lower().strip()


def parse_response(text: str) -> str:
    """Return what stands behind the last mark such as "answer is", tried one mark after the other."""
    text = text.lower()
    if "boxed" in text:
        text = boxed(text)
    elif "<answer>" in text:
        text = tagged(text)
    for mark in _MARKS:
        if mark in text:
            text = text.split(mark)[-1]
    return text


def judgement_right(prediction: str, truth: str, *, hyphens: bool = True) -> bool:
    """Tell whether an answer to a yes-or-no question is right.

    Args:
        prediction: the model's words.
        truth: yes or no.
        hyphens: False takes hyphens for spaces, as later commits of the peer do.

    Returns:
        Whether exactly one of "yes" and "no" stands in the answer, even within a word ("no" in "normal"), and it is
        the truth.
    """
    said, wanted = _plain(parse_response(response_of(prediction)), hyphens), truth.lower().strip()
    return (("yes" in said) != ("no" in said)) and wanted in said


def closed_right(prediction: str, truth: str, *, hyphens: bool = True) -> bool:
    """Tell whether an answer equals the truth, line breaks and full stops aside; see `judgement_right`."""
    wanted = truth.lower().strip()
    return _plain(parse_response(response_of(prediction)), hyphens) == (wanted if hyphens else _plain(wanted, hyphens))


def _plain(text: str, hyphens: bool) -> str:
    text = text.replace("\n", "").replace(".", "")
    return text if hyphens else text.replace("-", " ")


def choice_right(prediction: str, truth: str, choices: Sequence[str]) -> bool:
    """Tell whether an answer to a multiple-choice question is right.

    Args:
        prediction: a letter, an option, or words that hold one.
        truth: a letter or an option.
        choices: the options, in the order of the letters.

    Returns:
        Whether letter or option agree; of other words, whether the option most like them (difflib) is the truth.
    """
    letters = list(string.ascii_lowercase[: len(choices)])
    options = [choice.lower() for choice in choices]
    said = prediction.lower()
    first, last = said.split("\n\n")[0], said.split("\n\n")[-1].split(".")[0]
    said = first if first in letters else last if last in letters else said
    said = parse_response(said).strip().replace("\n", "")
    short = said.split(".")[0].split(":")[-1]
    wanted = truth.strip().lower()
    if short == wanted:
        return True
    if short in letters:
        return options[letters.index(short)] == wanted
    if short in options:
        return wanted in letters and short == options[letters.index(wanted)]
    alike = [difflib.SequenceMatcher(None, option, said).ratio() for option in options]
    nearest = alike.index(max(alike))
    return wanted in (letters[nearest], options[nearest])


def open_exact(prediction: str, truth: str) -> bool:
    """Tell whether an open answer is the truth letter by letter, in small letters."""
    return parse_response(response_of(prediction)) == truth.lower().strip()


def precision_recall_f1(prediction: str, truth: str) -> tuple[float, float, float]:
    """Return precision, recall and F1 of the sets of words, parted at spaces alone; all 0 where nothing is shared."""
    said = set(parse_response(response_of(prediction)).split())
    wanted = set(truth.lower().split())
    shared = len(said & wanted)
    if not shared:
        return 0.0, 0.0, 0.0
    precision, recall = shared / len(said), shared / len(wanted)
    return precision, recall, 2 * precision * recall / (precision + recall)


def bleu(prediction: str, truth: str, n: int) -> float:
    """Return NLTK's BLEU of one sentence with equal weights up to `n`, not smoothed, words parted at single spaces."""
    import warnings

    from nltk.translate.bleu_score import sentence_bleu

    said, wanted = (
        text.lower().replace(".", " .").split(" ") for text in (parse_response(response_of(prediction)), truth.strip())
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # NLTK warns of every answer that shares no n-gram; most are too short.
        return float(sentence_bleu([wanted], said, weights=[1 / n] * n))


def _is_judgement(pair: Pair) -> bool:
    return is_question(pair) and pair.truth.lower().strip() in ("yes", "no")


def _is_open(pair: Pair) -> bool:
    return is_question(pair) and not is_choice(pair) and not _is_judgement(pair)


def _is_other_closed(pair: Pair) -> bool:
    return pair.answer_type == "closed"


MEDEVALKIT: tuple[Scorer, ...] = (
    Scorer(
        "medevalkit.judgement",
        "Of questions whose truth is yes or no: exactly one of the two stands in the answer, and it is the truth.",
        f"{SOURCE}, judge_judgement (VQA-RAD, PathVQA)",
        _is_judgement,
        mean_of(lambda pair: judgement_right(pair.prediction, pair.truth)),
    ),
    Scorer(
        "medevalkit.judgement_2026",
        "The same with hyphens taken for spaces, as later commits have it.",
        f"{SOURCE}, judge_judgement (later commits)",
        _is_judgement,
        mean_of(lambda pair: judgement_right(pair.prediction, pair.truth, hyphens=False)),
    ),
    Scorer(
        "medevalkit.closed",
        "Of closed questions: the answer equals the truth, line breaks and full stops aside.",
        f"{SOURCE}, judge_close_end_vqa (SLAKE)",
        _is_other_closed,
        mean_of(lambda pair: closed_right(pair.prediction, pair.truth)),
    ),
    Scorer(
        "medevalkit.closed_2026",
        "The same with hyphens taken for spaces in both, as later commits have it.",
        f"{SOURCE}, judge_close_end_vqa (later commits)",
        _is_other_closed,
        mean_of(lambda pair: closed_right(pair.prediction, pair.truth, hyphens=False)),
    ),
    Scorer(
        "medevalkit.choice",
        "Letter or option agree; other words count as the option most like them (difflib).",
        f"{SOURCE}, judge_multi_choice",
        is_choice,
        mean_of(lambda pair: choice_right(pair.prediction, pair.truth, pair.choices)),
    ),
    Scorer(
        "medevalkit.exact_match",
        "Of questions whose truth is neither yes nor no: the answer equals it letter by letter.",
        f"{SOURCE}, judge_open_end_vqa (em)",
        _is_open,
        mean_of(lambda pair: open_exact(pair.prediction, pair.truth)),
    ),
    Scorer(
        "medevalkit.f1",
        "What the peer prints as f1 of open questions: by a change of order the recall of sets of words.",
        f"{SOURCE}, judge_open_end_vqa (f1) with calculate_f1",
        _is_open,
        mean_of(lambda pair: precision_recall_f1(pair.prediction, pair.truth)[1]),
    ),
    Scorer(
        "medevalkit.recall",
        "What the peer prints as recall: the precision of sets of words.",
        f"{SOURCE}, judge_open_end_vqa (recall) with calculate_f1",
        _is_open,
        mean_of(lambda pair: precision_recall_f1(pair.prediction, pair.truth)[0]),
    ),
    Scorer(
        "medevalkit.precision",
        "What the peer prints as precision: the F1 of sets of words.",
        f"{SOURCE}, judge_open_end_vqa (precision) with calculate_f1",
        _is_open,
        mean_of(lambda pair: precision_recall_f1(pair.prediction, pair.truth)[2]),
    ),
    Scorer(
        "medevalkit.bleu1",
        "Mean over open answers of NLTK's BLEU-1 of a sentence.",
        f"{SOURCE}, bleu",
        _is_open,
        mean_of(lambda pair: bleu(pair.prediction, pair.truth, 1)),
    ),
    Scorer(
        "medevalkit.bleu4",
        "Mean over open answers of NLTK's BLEU-4 of a sentence, not smoothed: 0 for almost every short answer.",
        f"{SOURCE}, bleu",
        _is_open,
        mean_of(lambda pair: bleu(pair.prediction, pair.truth, 4)),
    ),
)
