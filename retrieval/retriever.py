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

from dataclasses import replace
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np

from assistant.domain import POSSIBLE, Domain
from assistant.evidence import Evidence
from assistant.words import content_words
from retrieval.embed import indexed_text
from retrieval.encoder import Encoder
from retrieval.facets import Filters
from retrieval.hits import Hits, best_hits, ordered
from retrieval.index import IndexFolder
from retrieval.nearest import near_image, near_shown, near_text, pool_of
from retrieval.passage import Passage
from retrieval.rerank import Reranker
from retrieval.router import DomainFit, DomainRouter
from retrieval.settings import SearchSettings
from retrieval.weigh import Candidate, Found, Modalities, as_evidence, choose, fit_of, weigh

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
        settings = settings or SearchSettings.fitted(index.manifest.search, index.manifest.fusion)
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

    def picture(self, name: str) -> bytes | None:
        """Return the JPEG that `Evidence.image` names, if there is one in this index."""
        path = (self.folder / name).resolve()
        return path.read_bytes() if path.is_relative_to(self.folder.resolve()) and path.is_file() else None

    def with_settings(self, settings: SearchSettings) -> IndexRetriever:
        """Return a retriever over the same open index with other settings."""
        return IndexRetriever(self.index, self._encoder, settings, self._reranker)

    @cached_property
    def _router(self) -> DomainRouter | None:
        fitted = self.index.manifest.domain
        return DomainRouter.make(self._encoder, DomainFit.from_dict(fitted)) if fitted else None

    def route(self, image_embedding: np.ndarray) -> Domain | None:
        """Return what kind of picture an embedding (E,) is of; None if no router was fitted for this index."""
        return self._router.look(image_embedding) if self._router is not None else None

    def _modalities(self, modality: str | None, image_embedding: np.ndarray | None) -> Modalities:
        if modality is not None:
            return {modality: 1.0}
        domain = self.route(image_embedding) if image_embedding is not None else None
        return domain.probabilities if domain is not None else {}

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
            modality: documents about another modality count less, a name of `vocabulary.MODALITIES`; if None, the
                router's probabilities for the picture stand in for it, where one was fitted.
            exclude_patient: a `Picture.patient_key` whose own cases are left out.
            filters: what may be returned at all.
        Returns:
            The evidence.
        Raises:
            ValueError: `image_embedding` has another width than the index.
            RetrievalError: a filter names what no record has.
        """
        found = self.weighed(
            query,
            image_embedding=image_embedding,
            modality=modality,
            exclude_patient=exclude_patient,
            filters=filters,
        )
        kept = choose(found, k, self.settings, asked=bool(content_words(query)))
        return [as_evidence(self._whole(candidate), candidate.rank_score) for candidate in kept]

    def weighed(
        self,
        query: str,
        *,
        image_embedding: np.ndarray | None = None,
        modality: str | None = None,
        exclude_patient: str | None = None,
        filters: Filters | None = None,
    ) -> list[Candidate]:
        """Return the documents that a search looks at closely, best first, before floor and drop are applied.

        Args:
            query: as for `search`.
            image_embedding: as for `search`.
            modality: as for `search`.
            exclude_patient: as for `search`.
            filters: as for `search`.
        Returns:
            The candidates, each with its support.
        Raises:
            ValueError: `image_embedding` has another width than the index.
            RetrievalError: a filter names what no record has.
        """
        if image_embedding is not None and image_embedding.shape != (self.index.text.width,):
            raise ValueError(
                f"image_embedding is {image_embedding.shape}; this index takes ({self.index.text.width},)."
            )
        kinds = self._modalities(modality, image_embedding)
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
            likely = (row for row in ordered(seen) if fit_of(self._record(row), kinds) >= POSSIBLE)
            lists["image"] = {row: seen[row] for row in likely}
        found = Found(
            lists,
            lambda row: float(lexical.coverage[row]),
            pictured,
            self._record,
            lambda row: int(self.index.documents[row]),
            pictures_only=bool(filters.kinds) and "passage" not in filters.kinds,
        )
        return self._reranked(query, weigh(query, found, self.settings, kinds))

    def _reranked(self, query: str, found: list[Candidate]) -> list[Candidate]:
        """Order the candidates anew by the reranker's scores, if there is one and there are words to compare."""
        if self._reranker is None or not found or not query.strip():
            return found
        scores = self._reranker.score(query, [indexed_text(candidate.passage) for candidate in found])
        for candidate, score in zip(found, scores.tolist(), strict=True):
            candidate.rank_score = score
        return sorted(found, key=lambda candidate: -candidate.rank_score)

    def _whole(self, candidate: Candidate) -> list[Passage]:
        """Return all chunks of a document if it is short enough, else the one; a document's lie side by side."""
        documents, number = self.index.documents, self.index.documents[candidate.row]
        first = last = candidate.row
        while first > 0 and documents[first - 1] == number:
            first -= 1
        while last + 1 < len(self.index) and documents[last + 1] == number:
            last += 1
            if last - first > _MOST_CHUNKS:
                return [candidate.passage]
        pieces = [self._record(row) for row in range(first, last + 1)]
        words = sum(len(piece.text.split()) for piece in pieces)
        return pieces if words <= self.settings.whole_words else [candidate.passage]
