"""Search in stored vectors, and opening a stored index, against scoring and embedding everything anew."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.retrieval import QUERIES, WIDTH, recall
from benchmarks.retrieval_parts import clustered, passage_lines
from benchmarks.suite import SETTINGS, Measured, side_by_side

_MMED_RAG = "MMed-RAG (github.com/richard-peng-xia/MMed-RAG), retrieval: float32 product with all, a full sort a query"
_FLAT = "FAISS IndexFlatIP, one query at a time"
_AGAIN = "RULE and MMed-RAG: the corpus is embedded again at each start, then scored"


def retrieve_1e5(device: str) -> Sequence[Measured]:
    """1e5 vectors, exact: many queries at once, and one by itself."""
    import torch

    from retrieval.vectors import VectorFile

    vectors, queries = clustered(10_000 if SETTINGS.quick else 100_000, WIDTH, QUERIES)
    file = VectorFile.build(vectors, np.arange(len(vectors)))
    corpus, asked = torch.from_numpy(vectors), torch.from_numpy(queries)

    def theirs(count: int = QUERIES) -> np.ndarray:
        scores = asked[:count] @ corpus.T
        return np.asarray(torch.stack([torch.argsort(row, descending=True)[:10] for row in scores]).numpy())

    kept = recall(file.search_many(queries, 10)[1], theirs())
    many = side_by_side(theirs, lambda: file.search_many(queries, 10))
    for query in queries[:64]:  # from here on single questions go by 4-bit codes first; the codes are made once
        file.search(query, 10)
    singly = recall(np.stack([file.search(query, 10)[1] for query in queries]), theirs())
    one = side_by_side(
        lambda: [theirs(1) for _ in range(16)], lambda: [file.search(query, 10) for query in queries[:16]]
    )
    note = f"{len(vectors)} vectors of {WIDTH}; time of a query"
    return [
        Measured(
            f"retrieve_1e5{name}",
            _MMED_RAG,
            slow / count,
            fast / count,
            f"recall@10 {found:.4f}, at least 0.999",
            found >= 0.999,
            15.0,
            None,
            note,
        )  # fmt: skip
        for name, (slow, fast), count, found in (("", many, QUERIES, kept), (" one by one", one, 16, singly))
    ]


def retrieve_1e6(device: str) -> Sequence[Measured]:
    """1e6 vectors: inverted lists on disk, one query after another, as an assistant asks. Takes 6 GB of memory."""
    import faiss

    vectors, queries = clustered(120_000 if SETTINGS.quick else 1_000_000, WIDTH, 64)
    flat = faiss.IndexFlatIP(WIDTH)
    flat.add(vectors)
    truth = flat.search(queries, 10)[1]
    with tempfile.TemporaryDirectory() as folder:
        file = stored(Path(folder) / "v.faiss", vectors)
        count = len(vectors)
        del vectors
        slow, fast = side_by_side(
            lambda: [flat.search(query[None], 10) for query in queries[:8]],
            lambda: [file.search(query, 10) for query in queries],
        )
        kept = recall(file.search_many(queries, 10)[1], truth)
    gate = f"recall@10 {kept:.4f}, at least 0.98"
    note = f"{count} vectors of {WIDTH}; time of a query"
    return [Measured("retrieve_1e6", _FLAT, slow / 8, fast / len(queries), gate, kept >= 0.98, 50.0, None, note)]


def stored(path: Path, vectors: np.ndarray) -> Any:
    """Write vectors as an index of this size keeps them, and open the file."""
    from retrieval.vector_writer import sample_size, write_vectors
    from retrieval.vectors import VectorFile

    chosen = np.random.default_rng(1).permutation(len(vectors))[: sample_size(len(vectors))]
    starts = range(0, len(vectors), 65_536)
    blocks = ((vectors[n : n + 65_536], np.arange(n, min(n + 65_536, len(vectors)))) for n in starts)
    write_vectors(path, blocks, len(vectors), WIDTH, sample=vectors[chosen])
    return VectorFile.load(path)


def rag_restart(device: str) -> Sequence[Measured]:
    """1e4 documents until the first question is answered: a stored index is opened, or all are embedded again."""
    from retrieval.embed import ROLES, indexed_text
    from retrieval.encoder import FolderEncoder
    from retrieval.retriever import IndexRetriever
    from retrieval.write import build_streamed

    encoder, count = FolderEncoder("starter"), 300 if SETTINGS.quick else 10_000
    texts = [indexed_text(one) for one in passage_lines(count)]
    asked = "effusion of the left lung"
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "index"
        build_streamed(lambda faults, tally: passage_lines(count), encoder, out, plan={})

        def theirs() -> list[str]:
            order = np.argsort(-(encoder.embed_texts(texts) @ encoder.embed_texts([asked])[0]))
            return [texts[place] for place in order[:10]]

        def ours() -> list[str]:
            index = IndexRetriever.open(out, encoder).index
            keys = index.text.search(encoder.embed_texts([asked])[0], 40)[1]
            rows = index.rows_of(keys[keys % ROLES == 0] // ROLES)  # the others are of titles
            return [indexed_text(index.record(int(row))) for row in rows[:10]]

        slow, fast = side_by_side(theirs, ours, repeats=min(SETTINGS.repeats, 2))
        same = len(set(theirs()) & set(ours()))
    gate = f"{same} of the same ten passages, all"
    note = f"{count} passages; the encoder is loaded on both sides; 2 turns, since embedding takes minutes"
    return [Measured("rag_restart", _AGAIN, slow, fast, gate, same == 10, 100.0, None, note)]
