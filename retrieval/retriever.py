"""`IndexRetriever`: query text, picture or both → evidence.

    filters ─ dense (text ↔ text and titles) ─┐
              lexical (BM25) ─────────────────┼─ fusion ─ modality, polarity ─ rerank ─ floor and drop ─ Evidence
              picture ↔ titles and pictures ──┤
              text ↔ pictures ────────────────┘

Lists are joined by document, so that a document found by its title and by one of its chunks counts as found twice.
Order comes from the joined ranks; whether a document is shown at all comes from its *support*: the share of the
query's words that it holds, and how far its cosine lies above what chance gives.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from assistant.evidence import Evidence
from assistant.polarity import negated_words
from assistant.words import content_words, tokens
from retrieval.adaptive import worth_keeping
from retrieval.corpus import Passage
from retrieval.embed import indexed_text
from retrieval.encoder import Encoder
from retrieval.facets import Filters
from retrieval.fusion import diversify, overlap, reciprocal_rank_fusion, score_fusion
from retrieval.hits import Hits, best_hits, best_per_row, ordered
from retrieval.index import IndexFolder
from retrieval.lexical import LexicalHits
from retrieval.nearest import near_image, near_shown, near_text, pool_of
from retrieval.polarity import only_negated
from retrieval.rerank import Reranker
from retrieval.settings import SearchSettings


@dataclass
class _Candidate:
    """One document while it is weighed."""

    row: int
    rows: list[int]
    """The chunks of it that were found."""
    passage: Passage
    """The chunk that fits best."""
    rank_score: float
    words: float = 0.0
    dense: float = 0.0
    image: float = 0.0
    same_image: bool = False
    cross: float = 0.0
    """Nearness of the query's words to its picture; counted only where nothing but pictures is sought."""

    def support(self, *, asked: bool) -> float:
        """Combine: pictures alone support a document only if no words were asked, or if it has a picture itself."""
        text = 1 - (1 - self.words) * (1 - self.dense) * (1 - self.cross)
        return max(text, self.image) if self.same_image or not asked else text


_MOST_CHUNKS = 16
_CROSS = 0.25
"""Weight of the list of pictures near the query's words, beside a lexical weight of 1."""


class IndexRetriever:
    """Searches one index folder; what the assistant uses as its `Retriever`."""

    def __init__(
        self,
        index: IndexFolder,
        encoder: Encoder,
        settings: SearchSettings | None = None,
        reranker: Reranker | None = None,
    ) -> None:
        """Search an index that is open already.

        Args:
            index: opened with this encoder's fingerprint.
            encoder: embeds queries.
            settings: the usual ones if None.
            reranker: orders the best candidates anew; None leaves them as they are.
        """
        self.index = index
        self._encoder = encoder
        self._reranker = reranker
        settings = settings or SearchSettings(fusion=index.manifest.fusion)
        self.settings = replace(settings, weights={**index.manifest.weights, **settings.weights})
        self._record = lru_cache(maxsize=4096)(index.record)
        self._pools = lru_cache(maxsize=32)(lambda filters: pool_of(index, filters))

    @classmethod
    def open(
        cls,
        folder: str | Path,
        encoder: Encoder,
        settings: SearchSettings | None = None,
        reranker: Reranker | None = None,
    ) -> IndexRetriever:
        """Open an index folder for searching.

        Args:
            folder: the index folder.
            encoder: the one it was built with.
            settings: the usual ones if None.
            reranker: orders the best candidates anew; None leaves them as they are.
        Returns:
            The retriever.
        Raises:
            RetrievalError: it is missing, damaged, or made with another encoder; the message says how to rebuild it.
        """
        return cls(IndexFolder.open(Path(folder), encoder.fingerprint), encoder, settings, reranker)

    @property
    def fingerprint(self) -> str:
        """Identity of the index: it changes when its content or encoder does."""
        return self.index.fingerprint

    @property
    def folder(self) -> Path:
        """Where the index lies; `Evidence.image` is relative to it."""
        return self.index.path

    def with_settings(self, settings: SearchSettings) -> IndexRetriever:
        """Return a retriever over the same open index with other settings."""
        return IndexRetriever(self.index, self._encoder, settings, self._reranker)

    def search(
        self,
        query: str,
        *,
        image_embedding: np.ndarray | None = None,
        k: int = 3,
        modality: str | None = None,
        exclude_patient: str | None = None,
        filters: Filters | None = None,
    ) -> list[Evidence]:
        """Return at most `k` pieces, best first, each another document; none if nothing is near enough.

        Args:
            query: free text; may be empty when an image is given.
            image_embedding: (E,) unit length, from the joint space of the index's encoder.
            k: the most pieces to return.
            modality: documents about another modality count less, a name of `vocabulary.MODALITIES`.
            exclude_patient: a `Picture.patient_key` whose own cases are left out.
            filters: what may be returned at all.
        Returns:
            The evidence.
        Raises:
            ValueError: `image_embedding` has another width than the index.
            RetrievalError: a filter names what no record has.
        """
        if image_embedding is not None and image_embedding.shape != (self.index.text.width,):
            raise ValueError(
                f"image_embedding is {image_embedding.shape}; this index takes ({self.index.text.width},)."
            )

        filters = filters or Filters()
        if exclude_patient is not None:
            filters = replace(filters, exclude_patient=exclude_patient)
        pool, depth = self._pools(filters), self.settings.depth
        words = content_words(query)
        lexical = self.index.lexical.search(query)
        lists: dict[str, Hits] = {"lexical": best_hits(lexical.scores, self.settings.depth, pool.allowed)}
        if words and self.settings.weights["dense"] > 0:
            vector = self._encoder.embed_texts([query])[0]
            lists["dense"] = near_text(self.index, vector, pool, depth)
            if self.index.image.count:
                lists["cross"] = near_shown(self.index, vector, pool, depth)
        pictured: Hits = {}
        if image_embedding is not None and self.settings.weights["image"] > 0:
            vector = np.asarray(image_embedding, dtype=np.float32)
            pictured = near_image(self.index, vector, pool, self.settings)
            seen = {**near_text(self.index, vector, pool, depth), **pictured}
            lists["image"] = {row: value for row, value in ordered(seen).items() if self._fits(row, modality)}
        found = self._weigh(query, lists, lexical, pictured, modality)
        if filters.kinds and "passage" not in filters.kinds:
            for candidate in found:
                candidate.cross = self._share(lists.get("cross", {}), candidate.rows)
        return self._choose(self._reranked(query, found), k, asked=bool(words))

    def _fits(self, row: int, modality: str | None) -> bool:
        return modality is None or self._record(row).modality in (None, modality)

    def _weigh(
        self, query: str, lists: dict[str, Hits], lexical: LexicalHits, pictured: Hits, modality: str | None
    ) -> list[_Candidate]:
        """Fuse the lists by document and weigh each document; best first."""
        documents = self.index.documents
        by_document = {
            name: best_per_row(documents[list(hits)], np.array([*hits.values()]))
            for name, hits in lists.items()
            if hits
        }
        weights = {"cross": _CROSS, **self.settings.weights}
        fused = self._fuse(by_document, weights)
        text_lists = {name: hits for name, hits in lists.items() if name not in ("image", "cross")}
        chunk_scores = self._fuse(text_lists, weights)
        rows: dict[int, list[int]] = {}
        for row in dict.fromkeys(row for hits in lists.values() for row in hits):
            rows.setdefault(int(documents[row]), []).append(row)
        asked = set(content_words(query)) - negated_words(query)
        found = []
        for document, score in list(fused.items())[: self.settings.weighed]:
            best = max(rows[document], key=lambda row: (chunk_scores.get(row, 0.0), -row))
            passage = self._record(best)
            denied = only_negated(passage, asked) if asked and self.settings.polarity else set()
            left = 1 - len(denied) / len(asked) * (0.5 if passage.kind == "passage" else 1.0) if denied else 1.0
            fit = 1.0 if self._fits(best, modality) else self.settings.other_modality
            fit *= 1.0 if _is_named(passage, asked) else self.settings.not_named
            found.append(
                _Candidate(
                    best,
                    rows[document],
                    passage,
                    score * fit * left,
                    words=float(max(lexical.coverage[row] for row in rows[document])) * left,
                    dense=self._share(lists.get("dense", {}), rows[document])
                    * min(1, self.settings.weights["dense"])
                    * left,
                    image=self._share(lists.get("image", {}), rows[document]),
                    same_image=any(row in pictured for row in rows[document]),
                )
            )
        return sorted(found, key=lambda candidate: -candidate.rank_score)

    def _fuse(self, lists: dict[str, Hits], weights: dict[str, float]) -> Hits:
        if self.settings.fusion == "score":
            return score_fusion(lists, weights)
        rankings = {name: list(hits) for name, hits in lists.items()}
        return reciprocal_rank_fusion(rankings, weights, constant=self.settings.rank_constant)

    def _reranked(self, query: str, found: list[_Candidate]) -> list[_Candidate]:
        """Order the candidates anew by the reranker's scores, if there is one and there are words to compare."""
        if self._reranker is None or not found or not query.strip():
            return found
        scores = self._reranker.score(query, [indexed_text(candidate.passage) for candidate in found])
        for candidate, score in zip(found, scores.tolist(), strict=True):
            candidate.rank_score = score
        return sorted(found, key=lambda candidate: -candidate.rank_score)

    def _share(self, hits: Hits, rows: list[int]) -> float:
        """Standard deviations above chance → [0, 1]."""
        span = self.settings.certain - self.settings.chance
        return min(
            1.0, max(0.0, (max((hits[row] for row in rows if row in hits), default=0.0) - self.settings.chance) / span)
        )

    def _choose(self, found: list[_Candidate], k: int, *, asked: bool) -> list[Evidence]:
        """Apply floor, drop and diversity."""
        supports = [candidate.support(asked=asked) for candidate in found]
        most = k if self.settings.diversity <= 0 else 4 * k
        kept = [
            found[place]
            for place in worth_keeping(supports, floor=self.settings.floor, drop=self.settings.drop, most=most)
        ]
        if self.settings.diversity > 0:
            scores = {place: candidate.rank_score for place, candidate in enumerate(kept)}
            sets = [set(tokens(candidate.passage.text)) for candidate in kept]
            order = diversify(scores, lambda a, b: overlap(sets[a], sets[b]), k, diversity=self.settings.diversity)
            kept = [kept[place] for place in order]
        return [_evidence(self._whole(candidate), candidate.rank_score) for candidate in kept]

    def _whole(self, candidate: _Candidate) -> Passage:
        """Return the whole document of a chunk if it is short enough, else the chunk; its chunks lie side by side."""
        documents, number = self.index.documents, self.index.documents[candidate.row]
        first = last = candidate.row
        while first > 0 and documents[first - 1] == number:
            first -= 1
        while last + 1 < len(self.index) and documents[last + 1] == number:
            last += 1
            if last - first > _MOST_CHUNKS:
                return candidate.passage
        text = " ".join(self._record(row).text for row in range(first, last + 1))
        if first == last or len(text.split()) > self.settings.whole_words:
            return candidate.passage
        return replace(self._record(first), text=text)


def _is_named(passage: Passage, asked: set[str]) -> bool:
    if passage.finding is None:
        return False
    return any(words and words <= asked for words in map(set, map(content_words, (passage.finding, *passage.keywords))))


def _evidence(passage: Passage, score: float) -> Evidence:
    return Evidence(
        id=passage.id,
        kind=passage.kind,
        title=passage.heading,
        text=passage.text,
        source=passage.source,
        licence=passage.licence,
        score=round(score, 4),
        modality=passage.modality,
        anatomy=passage.anatomy,
        image=passage.image,
        references=passage.references,
    )
