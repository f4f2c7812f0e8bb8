"""BLEU, ROUGE-L and METEOR of whole texts, from kept libraries, without anything to download.

BLEU: sacrebleu's own counts (tokeniser 13a, small letters, not smoothed), of the whole set. ROUGE-L: Google's
rouge-score (small letters, no stemming), mean of F1. METEOR: NLTK's, with its exact and its stem (Porter) stage; the
third stage asks WordNet, which is a download of its own, so no synonym is counted and the value lies at or below the
full one.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from training.evaluation.scorer import Pair
from training.metrics import answer_tokens

ORDER = 4
"""BLEU counts up to so many words in a row."""


@lru_cache(maxsize=1)
def _bleu() -> Any:
    from sacrebleu.metrics.bleu import BLEU

    return BLEU(lowercase=True, tokenize="13a", smooth_method="none", effective_order=False)


def bleu_parts(pairs: Sequence[Pair]) -> np.ndarray:
    """Return what BLEU counts in each text.

    Args:
        pairs: N texts.

    Returns:
        (N, 10): shared n-grams of 1 to 4 words, said n-grams of 1 to 4 words, words said, words of the truth.
    """
    rows = []
    for pair in pairs:
        one = _bleu().corpus_score([pair.prediction], [[pair.truth]])
        rows.append([*one.counts, *one.totals, one.sys_len, one.ref_len])
    return np.array(rows, dtype=float)


def bleu_value(sums: np.ndarray) -> np.ndarray:
    """Return BLEU-4 of sums of `bleu_parts`, (R, 10) to (R,), 0 to 1.

    Source: Papineni et al., ACL 2002; as sacrebleu computes it (Post, WMT 2018), which a test compares.
    """
    shared, said = sums[:, :ORDER], sums[:, ORDER : 2 * ORDER]
    length, wanted = sums[:, 2 * ORDER], sums[:, 2 * ORDER + 1]
    with np.errstate(divide="ignore", invalid="ignore"):
        precision = np.where(shared > 0, np.log(shared / said), -np.inf).mean(axis=1)
        brevity = np.where(length > 0, np.minimum(0.0, 1 - wanted / length), -np.inf)
    return np.asarray(np.exp(precision + brevity))


@lru_cache(maxsize=1)
def _rouge() -> Any:
    import logging

    from rouge_score.rouge_scorer import RougeScorer

    logging.getLogger("absl").setLevel(logging.WARNING)  # It tells of its tokeniser, which is the one we want.
    return RougeScorer(["rougeL"], use_stemmer=False)


def rouge_l(prediction: str, truth: str) -> float:
    """Return the F1 of the longest common subsequence of words, 0 to 1; both empty gives 1.

    Source: Lin, ACL workshop 2004; the library rouge-score.
    """
    if not answer_tokens(prediction) and not answer_tokens(truth):
        return 1.0
    return float(_rouge().score(truth, prediction)["rougeL"].fmeasure)


class _NoSynonyms:
    """Stands where NLTK asks WordNet: no word has another of the same meaning."""

    def synsets(self, word: str) -> list[Any]:
        """Return no synonyms."""
        del word
        return []


@lru_cache(maxsize=1)
def _stemmer() -> Any:
    from nltk.stem.porter import PorterStemmer

    return PorterStemmer()


def meteor(prediction: str, truth: str) -> float:
    """Return METEOR with exact and stem matches, 0 to 1.

    Args:
        prediction: the model's words.
        truth: the true text.

    Returns:
        10 P R / (R + 9 P), less up to half of it for words that match in many separate runs; both empty gives 1.

    Source: Banerjee and Lavie, ACL workshop 2005, without the synonym stage; the library NLTK.
    """
    from nltk.translate.meteor_score import single_meteor_score

    said, wanted = answer_tokens(prediction), answer_tokens(truth)
    if not said or not wanted:
        return float(said == wanted)
    return float(single_meteor_score(wanted, said, stemmer=_stemmer(), wordnet=_NoSynonyms()))
