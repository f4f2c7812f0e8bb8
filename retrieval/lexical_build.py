"""Building the BM25 arrays in one pass over the records, in memory that does not grow with their number.

What is written is what bm25s writes for its "lucene" form, and a test compares the two; bm25s itself would hold every
word of the corpus in memory. Only the vocabulary is held here.
"""

from __future__ import annotations

import json
import tempfile
from array import array
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import IO

import numpy as np

from retrieval.passage import Passage

K1 = 1.2
B = 0.6
_POSTING = np.dtype([("word", "<i4"), ("record", "<i4"), ("times", "<i4")])
_AT_ONCE = 1 << 20


def build_lexical(records: Iterable[Passage], folder: Path) -> None:
    """Index records and write the files; the vocabulary is sorted, so that equal corpora give equal files.

    Args:
        records: in the order of the records file.
        folder: the lexical folder; made if it is not there.
    """
    from retrieval.lexical import record_words

    folder.mkdir(parents=True, exist_ok=True)
    vocabulary: dict[str, int] = {}
    lengths = array("i")
    with tempfile.TemporaryFile(dir=folder) as postings:
        pending: list[tuple[int, int, int]] = []
        for passage in records:
            words = record_words(passage)
            pending.extend(
                (vocabulary.setdefault(word, len(vocabulary)), len(lengths), times)
                for word, times in Counter(words).items()
            )
            lengths.append(len(words))
            if len(pending) >= _AT_ONCE // 8:
                postings.write(np.array(pending, dtype=_POSTING).tobytes())
                pending = []
        postings.write(np.array(pending, dtype=_POSTING).tobytes())
        _write(folder, vocabulary, np.array(lengths, dtype=np.float64), postings)


def _write(folder: Path, vocabulary: dict[str, int], lengths: np.ndarray, postings: IO[bytes]) -> None:
    words = sorted(vocabulary)
    place = np.empty(len(words), dtype=np.int64)
    place[[vocabulary[word] for word in words]] = np.arange(len(words))
    frequency = np.zeros(len(words) + 1, dtype=np.int64)  # the last word is "", which is in no record
    for part in _parts(postings):
        frequency += np.bincount(place[part["word"]], minlength=len(frequency))
    count = len(lengths)
    idf = np.log(1 + (count - frequency + 0.5) / (frequency + 0.5))
    norm = K1 * (1 - B + B * lengths / max(1e-9, lengths.mean() if count else 1.0))
    starts = np.concatenate([[0], np.cumsum(frequency)]).astype(np.int64)
    total = int(starts[-1])
    # A mapped file cannot be empty: records without one word keep one place that no word points at.
    shape = (max(1, total),)
    data = np.lib.format.open_memmap(folder / "data.csc.index.npy", "w+", dtype=np.float32, shape=shape)
    indices = np.lib.format.open_memmap(folder / "indices.csc.index.npy", "w+", dtype=np.int32, shape=shape)
    cursor = starts[:-1].copy()
    for part in _parts(postings):
        word, record, times = place[part["word"]], part["record"], part["times"].astype(np.float64)
        order = np.argsort(word, kind="stable")
        word, record, times = word[order], record[order], times[order]
        unique, first, counts = np.unique(word, return_index=True, return_counts=True)
        target = cursor[word] + np.arange(len(word)) - np.repeat(first, counts)
        data[target] = (idf[word] * (times / (times + norm[record]))).astype(np.float32)
        indices[target] = record
        cursor[unique] += counts
    data.flush()
    indices.flush()
    np.save(folder / "indptr.csc.index.npy", starts[: len(words) + 1], allow_pickle=False)
    names = {**{word: number for number, word in enumerate(words)}, "": len(words)}
    (folder / "vocab.index.json").write_text(json.dumps(names, ensure_ascii=False, separators=(",", ":")), "utf-8")
    _write_parameters(folder, count)


def _parts(postings: IO[bytes]) -> Iterable[np.ndarray]:
    postings.seek(0)
    while part := postings.read(_AT_ONCE * _POSTING.itemsize):
        yield np.frombuffer(part, dtype=_POSTING)


def _write_parameters(folder: Path, count: int) -> None:
    import bm25s

    values = {
        "k1": K1,
        "b": B,
        "delta": 0.5,
        "method": "lucene",
        "idf_method": "lucene",
        "dtype": "float32",
        "int_dtype": "int32",
        "backend": "numpy",
        "num_docs": count,
        "version": bm25s.__version__,
    }
    (folder / "params.index.json").write_text(json.dumps(values, indent=2, sort_keys=True) + "\n", encoding="utf-8")
