"""`IndexRetriever`: query text, picture or both → evidence.

    dense (text ↔ text and titles) ─┐
    lexical (BM25) ─────────────────┼─ reciprocal rank fusion ─ modality, polarity ─ floor and drop ─ Evidence
    picture ↔ titles and pictures ──┘

Lists are joined by document, so that a document found by its title and by one of its chunks counts as found twice.
Order comes from the joined ranks; whether a document is shown at all comes from its *support*: the share of the
query's words that it holds, and how far its cosine lies above what chance gives.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np

from assistant.domain import Domain
from assistant.evidence import Evidence
from assistant.words import content_words
from retrieval.corpus import Passage
from retrieval.encoder import Encoder
from retrieval.hits import Hits, best_hits, ordered, widen
from retrieval.index import ROLES, IndexFolder
from retrieval.router import DomainFit, DomainRouter
from retrieval.settings import SearchSettings
from retrieval.weigh import POSSIBLE, Candidate, Found, Modalities, as_evidence, choose, fit_of, weigh

_MOST_CHUNKS = 16


class IndexRetriever:
    """Searches one index folder; what the assistant uses as its `Retriever`."""

    def __init__(self, index: IndexFolder, encoder: Encoder, settings: SearchSettings | None = None) -> None:
        """Search an index that is open already.

        Args:
            index: opened with this encoder's fingerprint.
            encoder: embeds queries.
            settings: the usual ones if None.
        """
        self.index = index
        self._encoder = encoder
        settings = settings or SearchSettings.fitted(index.manifest.search)
        self.settings = replace(settings, weights={**index.manifest.weights, **settings.weights})
        self._record = lru_cache(maxsize=4096)(index.record)

    @classmethod
    def open(cls, folder: str | Path, encoder: Encoder, settings: SearchSettings | None = None) -> IndexRetriever:
        """Open an index folder for searching.

        Args:
            folder: the index folder.
            encoder: the one it was built with.
            settings: the usual ones if None.
        Returns:
            The retriever.
        Raises:
            RetrievalError: it is missing, damaged, or made with another encoder; the message says how to rebuild it.
        """
        return cls(IndexFolder.open(Path(folder), encoder.fingerprint), encoder, settings)

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
        return IndexRetriever(self.index, self._encoder, settings)

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
    ) -> list[Evidence]:
        """Return at most `k` pieces, best first, each another document; none if nothing is near enough.

        Args:
            query: free text; may be empty when an image is given.
            image_embedding: (E,) unit length, from the joint space of the index's encoder.
            k: the most pieces to return.
            modality: documents about another modality count less, a name of `vocabulary.MODALITIES`; if None, the
                router's probabilities for the picture stand in for it, where one was fitted.
            exclude_patient: a `Picture.patient_key` whose own cases are left out.
        Returns:
            The evidence.
        Raises:
            ValueError: `image_embedding` has another width than the index.
        """
        found = self.weighed(query, image_embedding=image_embedding, modality=modality, exclude_patient=exclude_patient)
        kept = choose(found, k, self.settings, asked=bool(content_words(query)))
        return [as_evidence(self._whole(candidate), candidate.rank_score) for candidate in kept]

    def weighed(
        self,
        query: str,
        *,
        image_embedding: np.ndarray | None = None,
        modality: str | None = None,
        exclude_patient: str | None = None,
    ) -> list[Candidate]:
        """Return the documents that a search looks at closely, best first, before floor and drop are applied.

        Args:
            query: as for `search`.
            image_embedding: as for `search`.
            modality: as for `search`.
            exclude_patient: as for `search`.
        Returns:
            The candidates, each with its support.
        Raises:
            ValueError: `image_embedding` has another width than the index.
        """
        if image_embedding is not None and image_embedding.shape != (self.index.text.width,):
            raise ValueError(
                f"image_embedding is {image_embedding.shape}; this index takes ({self.index.text.width},)."
            )

        def allowed(row: int) -> bool:
            return exclude_patient is None or self._record(row).patient_key != exclude_patient

        kinds = self._modalities(modality, image_embedding)

        def may_be(row: int) -> bool:
            return fit_of(self._record(row), kinds) >= POSSIBLE

        words = content_words(query)
        lexical = self.index.lexical.search(query)
        lists: dict[str, Hits] = {"lexical": best_hits(lexical.scores, self.settings.depth, allowed)}
        if words and self.settings.weights["dense"] > 0:
            vector = self._encoder.embed_texts([query])[0]
            lists["dense"] = self._near_text(vector, allowed)
        pictured: Hits = {}
        if image_embedding is not None and self.settings.weights["image"] > 0:
            vector = np.asarray(image_embedding, dtype=np.float32)
            pictured = self._near_image(vector, allowed)
            seen = {**self._near_text(vector, allowed), **pictured}
            lists["image"] = {row: value for row, value in ordered(seen).items() if may_be(row)}
        found = Found(lists, lambda row: float(lexical.coverage[row]), pictured, self._record)
        return weigh(query, found, self.settings, kinds)

    def _near_text(self, vector: np.ndarray, allowed: Callable[[int], bool]) -> Hits:
        """Records by how surprising the nearness of their text or title is."""

        def find(count: int) -> Hits:
            cosines, keys = self.index.text.search(vector, count)
            titles = keys % ROLES == 1
            surprise = np.where(
                titles,
                self.index.background.surprise(vector, cosines, titles=True),
                self.index.background.surprise(vector, cosines),
            )
            rows = self.index.rows_of(keys // ROLES)
            hits: Hits = {}
            for row, value in zip(rows.tolist(), surprise.tolist(), strict=True):
                hits[row] = max(value, hits.get(row, value))
            return ordered(hits)

        return widen(find, self.settings.depth, self.index.text.count, allowed)

    def _near_image(self, vector: np.ndarray, allowed: Callable[[int], bool]) -> Hits:
        """Figures and cases by the nearness of their pictures, on the scale from chance to certain."""

        def find(count: int) -> Hits:
            cosines, keys = self.index.image.search(vector, count)
            span = self.settings.certain - self.settings.chance
            # Pictures lie far nearer to each other than to text, so cosine itself is put on the same scale.
            values = self.settings.chance + span * np.clip((cosines - 0.5) / 0.45, 0, 1)
            return dict(zip(self.index.rows_of(keys).tolist(), values.tolist(), strict=True))

        return widen(find, self.settings.depth, self.index.image.count, allowed)

    def _whole(self, candidate: Candidate) -> Passage:
        """Return the whole document of a chunk if it is short enough, else the chunk; its chunks lie side by side."""
        name = candidate.passage.document
        first = last = candidate.row
        while first > 0 and self._record(first - 1).document == name:
            first -= 1
        while last + 1 < len(self.index) and self._record(last + 1).document == name:
            last += 1
            if last - first > _MOST_CHUNKS:
                return candidate.passage
        text = " ".join(self._record(row).text for row in range(first, last + 1))
        if first == last or len(text.split()) > self.settings.whole_words:
            return candidate.passage
        return replace(self._record(first), text=text)
