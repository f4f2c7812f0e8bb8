"""BM25 over the postings of a store: the same figures as `retrieval.lexical` gives over an index folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from assistant.words import KIN_PREFIX, are_kin, content_words
from retrieval.stores.store import Head, Postings, Store

K1 = 1.2
B = 0.6
KIN = 0.7


@dataclass(frozen=True)
class WordHits:
    """Records that hold words of a query, best first. M records."""

    keys: np.ndarray
    """(M,) int64."""
    scores: np.ndarray
    """(M,) float32: BM25 times a factor that grows with coverage."""
    coverage: np.ndarray
    """(M,) float32 in [0, 1]: share of the query's words, rare ones counting more."""


def search_words(store: Store, head: Head, query: str) -> WordHits:
    """Score every record that holds a word of a query, or a kin of one.

    Args:
        store: inside its snapshot.
        head: of that snapshot.
        query: free text.
    Returns:
        The hits; none for a query without content words.
    """
    words = content_words(query)
    if not words or not head.records:
        return WordHits(np.zeros(0, np.int64), np.zeros(0, np.float32), np.zeros(0, np.float32))
    similar = store.words_with({word[:KIN_PREFIX] for word in words} | set(words))
    forms = {word: [other for other in similar if other == word or are_kin(word, other)] for word in words}
    postings = store.postings(sorted({form for some in forms.values() for form in some}))
    keys, rows = np.unique(postings.key, return_inverse=True)
    scores = np.zeros(len(keys), dtype=np.float32)
    coverage = np.zeros(len(keys), dtype=np.float32)
    total = 0.0
    for word, some in forms.items():
        gains, shares = _word(word, some, postings, rows, len(keys), head)
        frequency = int(np.count_nonzero(shares))
        weight = float(np.log(1 + (head.records - frequency + 0.5) / (frequency + 0.5)))
        total += weight
        scores += gains
        coverage += weight * shares
    coverage /= total
    scores *= 0.25 + 0.75 * coverage
    order = np.lexsort((keys, -scores))
    return WordHits(keys[order], scores[order], coverage[order])


def _word(
    word: str, forms: Sequence[str], postings: Postings, rows: np.ndarray, count: int, head: Head
) -> tuple[np.ndarray, np.ndarray]:
    """Return (count,) gains and shares of one word: 1 where it stands itself, `KIN` where only a kin does."""
    gains = np.zeros(count, dtype=np.float32)
    shares = np.zeros(count, dtype=np.float32)
    mean = head.words / head.records
    for form in (one for one in forms if one in postings.words):
        part = postings.word == postings.words.index(form)
        times, length = postings.times[part].astype(np.float64), postings.length[part]
        documents = len(times)
        rarity = np.log(1 + (head.records - documents + 0.5) / (documents + 0.5))
        share = 1.0 if form == word else KIN
        values = share * rarity * times / (K1 * (1 - B + B * length / mean) + times)
        gains[rows[part]] = np.maximum(gains[rows[part]], values)
        shares[rows[part]] = np.maximum(shares[rows[part]], share)
    return gains, shares
