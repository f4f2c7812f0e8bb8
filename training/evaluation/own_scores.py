"""Our own scorers, by the names of `metrics.json`: of questions, and of reports."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from assistant.findings import positive
from assistant.review import change_sentences
from training.evaluation.scorer import Pair, Scorer, is_choice, is_closed, is_open, is_report, is_text, mean_of
from training.evaluation.text_scores import bleu_parts, bleu_value, meteor, rouge_l
from training.metrics import answer_tokens, closed_right, exact_match, open_recall, token_f1


def _first_option(pair: Pair) -> float:
    return float(closed_right(pair.prediction, pair.truth, pair.choices))


def _finding_parts(pairs: Sequence[Pair], over: str) -> np.ndarray:
    """Return (shared, said), (shared, wanted) or (2 shared, both) of each report's findings."""
    rows = []
    for pair in pairs:
        said, wanted = positive(pair.prediction), positive(pair.truth)
        shared = len(said & wanted)
        rows.append(
            {
                "said": (shared, len(said)),
                "wanted": (shared, len(wanted)),
                "both": (2 * shared, len(said) + len(wanted)),
            }[over]
        )
    return np.array(rows, dtype=float)


def _priors(pair: Pair) -> float | None:
    return None if pair.has_prior else float(len(change_sentences(pair.written or pair.prediction)))


def _lengths(pairs: Sequence[Pair]) -> np.ndarray:
    return np.array([(len(answer_tokens(one.prediction)), len(answer_tokens(one.truth))) for one in pairs], dtype=float)


QUESTION_SCORES: tuple[Scorer, ...] = (
    Scorer(
        "closed_accuracy",
        "Right if the first option that the answer names is the true one; yes and no where none is given. A truth "
        "that is no option must be given in the same words.",
        "this project, training.metrics.closed_right",
        is_closed,
        mean_of(_first_option),
    ),
    Scorer(
        "choice_accuracy",
        "As closed_accuracy, over the question's own options.",
        "this project, training.metrics.closed_right",
        is_choice,
        mean_of(_first_option),
    ),
    Scorer(
        "open_recall",
        "Share of the truth's words that are said, each counted as often as it stands in the truth.",
        "this project, training.metrics.open_recall; llava_med.open_recall is the rule it was made from",
        is_open,
        mean_of(lambda pair: open_recall(pair.prediction, pair.truth)),
    ),
    Scorer(
        "exact_match",
        "The same words, once case, punctuation, articles, citations and number words are normalised.",
        "this project, training.metrics.exact_match, after SQuAD (Rajpurkar et al., EMNLP 2016)",
        is_open,
        mean_of(lambda pair: float(exact_match(pair.prediction, pair.truth))),
    ),
    Scorer(
        "token_f1",
        "Harmonic mean of the precision and the recall of words, after the same normalisation.",
        "SQuAD (Rajpurkar et al., EMNLP 2016)",
        is_open,
        mean_of(lambda pair: token_f1(pair.prediction, pair.truth)),
    ),
)

REPORT_SCORES: tuple[Scorer, ...] = (
    Scorer(
        "bleu4",
        "BLEU-4 of the whole set: tokeniser 13a, small letters, one reference, not smoothed.",
        "Papineni et al., ACL 2002; sacrebleu (Post, WMT 2018)",
        is_text,
        bleu_parts,
        bleu_value,
    ),
    Scorer(
        "rouge_l",
        "Mean F1 of the longest common subsequence of words, small letters, no stemming.",
        "Lin, ACL workshop 2004; rouge-score",
        is_text,
        mean_of(lambda pair: rouge_l(pair.prediction, pair.truth)),
    ),
    Scorer(
        "meteor",
        "Mean METEOR with its exact and stem (Porter) stages; no synonyms, so at or below the full METEOR.",
        "Banerjee and Lavie, ACL workshop 2005; NLTK",
        is_text,
        mean_of(lambda pair: meteor(pair.prediction, pair.truth)),
    ),
    Scorer(
        "finding_precision",
        "Of the findings (name and side) that reports state as there or possibly there, the share that the true "
        "reports state too; summed over reports.",
        "this project, assistant.findings",
        is_report,
        lambda pairs: _finding_parts(pairs, "said"),
    ),
    Scorer(
        "finding_recall",
        "Of the true reports' findings, the share that is stated; summed over reports.",
        "this project, assistant.findings",
        is_report,
        lambda pairs: _finding_parts(pairs, "wanted"),
    ),
    Scorer(
        "finding_f1",
        "Harmonic mean of the two.",
        "this project, assistant.findings",
        is_report,
        lambda pairs: _finding_parts(pairs, "both"),
    ),
    Scorer(
        "prior_sentences_per_report",
        "Sentences about change (new, stable, compared with the prior, ...) in a report as the model wrote it, of "
        "reports for which no prior image was given; they can only be made up.",
        "this project, assistant.review.change_sentences",
        is_report,
        mean_of(_priors),
    ),
    Scorer(
        "length_ratio",
        "Words of all reports over words of the true ones; 1 is the same length.",
        "this project",
        is_text,
        _lengths,
    ),
)
