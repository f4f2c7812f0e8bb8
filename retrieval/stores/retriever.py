"""`StoreRetriever`: searches a database as `IndexRetriever` searches an index folder, and chooses alike."""

from __future__ import annotations

import io
import threading
from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property

import numpy as np

from assistant.domain import POSSIBLE, Domain
from assistant.errors import RetrievalError
from assistant.evidence import Evidence
from assistant.words import content_words
from retrieval.background import Background
from retrieval.embed import ROLES
from retrieval.encoder import Encoder
from retrieval.hits import Hits, ordered
from retrieval.passage import Passage
from retrieval.router import DomainFit, DomainRouter
from retrieval.settings import SearchSettings
from retrieval.stores.lexical import WordHits, search_words
from retrieval.stores.store import Head, Store
from retrieval.weigh import Candidate, Found, Modalities, as_evidence, choose, fit_of, weigh


class StoreRetriever:
    """A `Retriever` over a database.

    Args:
        store: open, and filled by `retrieval.migrate` or `retrieval.stores.write`.
        encoder: embeds queries; the one whose vectors the store holds.
        settings: the store's own if None.
    Raises:
        RetrievalError: the store was filled with another encoder.
    """

    def __init__(self, store: Store, encoder: Encoder, settings: SearchSettings | None = None) -> None:
        head = store.head()
        if head.encoder != encoder.fingerprint:
            raise RetrievalError(
                f"{store.name} was filled with encoder {head.encoder}, but this assistant uses {encoder.fingerprint}. "
                f"Build an index with the model in use and fill it again: python -m retrieval.migrate INDEX TARGET"
            )
        if not head.complete:
            raise RetrievalError(
                f"{store.name} was never filled to the end. Fill it again: python -m retrieval.migrate INDEX TARGET"
            )
        self.store = store
        self._encoder = encoder
        settings = settings or SearchSettings.fitted(head.search, head.fusion)
        self.settings = replace(settings, weights={**head.weights, **settings.weights})
        self._one_at_a_time = threading.Lock()

    @property
    def fingerprint(self) -> str:
        """Identity of the content: it changes when the database does."""
        with self._one_at_a_time:
            return self.store.head().fingerprint

    def with_settings(self, settings: SearchSettings) -> StoreRetriever:
        """Return a retriever over the same store with other settings."""
        return StoreRetriever(self.store, self._encoder, settings)

    def close(self) -> None:
        """Let go of the database."""
        with self._one_at_a_time:
            self.store.close()

    @cached_property
    def _background(self) -> Background:
        return Background.parse(io.BytesIO(self.store.background()))

    @cached_property
    def _router(self) -> DomainRouter | None:
        fitted = self.store.head().domain
        return DomainRouter.make(self._encoder, DomainFit.from_dict(fitted)) if fitted else None

    def route(self, image_embedding: np.ndarray) -> Domain | None:
        """Return what kind of picture an embedding (E,) is of; None if no router was fitted."""
        with self._one_at_a_time:
            router = self._router
        return router.look(image_embedding) if router is not None else None

    def picture(self, name: str) -> bytes | None:
        """Return the JPEG that `Evidence.image` names, if there is one."""
        with self._one_at_a_time:
            return self.store.picture(name)

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
            image_embedding: (E,) unit length, from the joint space of the encoder.
            k: the most pieces to return.
            modality: documents about another modality count less; if None, the router's word stands in for it.
            exclude_patient: a patient key whose own cases are left out.
        Returns:
            The evidence.
        Raises:
            ValueError: `image_embedding` has another width than the store's vectors.
        """
        kinds: Modalities = {modality: 1.0} if modality else {}
        if modality is None and image_embedding is not None:
            domain = self.route(image_embedding) if self._fits(image_embedding) else None
            kinds = domain.probabilities if domain else {}
        with self._one_at_a_time, self.store.snapshot():
            head = self.store.head()
            if image_embedding is not None and image_embedding.shape != (head.dimension,):
                raise ValueError(f"image_embedding is {image_embedding.shape}; this index takes ({head.dimension},).")
            one = _Search(self, head, query, exclude_patient)
            kept = choose(
                weigh(query, one.find(image_embedding, kinds), self.settings, kinds),
                k,
                self.settings,
                asked=bool(content_words(query)),
            )
            return [as_evidence(self._whole(candidate), candidate.rank_score) for candidate in kept]

    def _fits(self, image_embedding: np.ndarray) -> bool:
        with self._one_at_a_time:
            return image_embedding.shape == (self.store.head().dimension,)

    def _whole(self, candidate: Candidate) -> list[Passage]:
        """Return all chunks of a document if it is short enough, else the one."""
        passage = candidate.passage
        if passage.parent is None:
            return [passage]
        pieces = [piece for _, piece in self.store.chunks(passage.document)]
        words = sum(len(piece.text.split()) for piece in pieces)
        return pieces if len(pieces) > 1 and words <= self.settings.whole_words else [passage]


class _Search:
    """One search, inside a snapshot."""

    def __init__(self, retriever: StoreRetriever, head: Head, query: str, without: str | None) -> None:
        self._store = retriever.store
        self._retriever = retriever
        self._settings = retriever.settings
        self._head = head
        self._query = query
        self._without = without
        self._known: dict[int, Passage] = {}

    def record(self, key: int) -> Passage:
        """Return one record; those of a list are fetched together beforehand."""
        if key not in self._known:
            self._known.update(self._store.records([key]))
        return self._known[key]

    def find(self, image: np.ndarray | None, kinds: Modalities) -> Found:
        """Search every list."""
        settings, depth = self._settings, self._settings.depth
        words = search_words(self._store, self._head, self._query)
        lists: dict[str, Hits] = {"lexical": self._best_words(words)}
        if content_words(self._query) and settings.weights["dense"] > 0:
            asked = self._retriever._encoder.embed_texts([self._query])[0]
            lists["dense"] = self._near_text(asked, depth)
            if shown := self._near_shown(asked, depth):
                lists["cross"] = shown
        pictured: Hits = {}
        if image is not None and settings.weights["image"] > 0:
            vector = np.asarray(image, dtype=np.float32)
            pictured = self._near_image(vector, depth)
            seen = ordered({**self._near_text(vector, depth), **pictured})
            self._fetch(seen)
            lists["image"] = {key: value for key, value in seen.items() if fit_of(self.record(key), kinds) >= POSSIBLE}
        for hits in lists.values():
            self._fetch(hits)
        covered = dict(zip(words.keys.tolist(), words.coverage.tolist(), strict=True))
        return Found(
            lists, lambda key: covered.get(key, 0.0), pictured, self.record, lambda key: self.record(key).document
        )

    def _fetch(self, hits: Mapping[int, float]) -> None:
        self._known.update(self._store.records([key for key in hits if key not in self._known]))

    def _best_words(self, words: WordHits) -> Hits:
        """Take the best records of the word search, less those of the patient left out."""
        kept: Hits = {}
        start, step = 0, 2 * self._settings.depth
        while start < len(words.keys) and len(kept) < self._settings.depth:
            part = dict(
                zip(words.keys[start : start + step].tolist(), words.scores[start : start + step].tolist(), strict=True)
            )
            self._fetch(part)
            kept.update(
                {
                    key: score
                    for key, score in part.items()
                    if self._without is None or self._known[key].patient_key != self._without
                }
            )
            start += step
        return dict(list(kept.items())[: self._settings.depth])

    def _near_text(self, vector: np.ndarray, depth: int) -> Hits:
        cosines, keys = self._store.near("text", vector, 2 * depth, self._without)
        background = self._retriever._background
        titles = keys % ROLES == 1
        surprise = np.where(
            titles, background.surprise(vector, cosines, among="titles"), background.surprise(vector, cosines)
        )
        hits: Hits = {}
        for key, value in zip((keys // ROLES).tolist(), surprise.tolist(), strict=True):
            hits[key] = max(value, hits.get(key, value))
        return dict(list(ordered(hits).items())[:depth])

    def _near_shown(self, vector: np.ndarray, depth: int) -> Hits:
        """Records whose pictures are nearer to the query's words than chance."""
        cosines, keys = self._store.near("image", vector, depth, self._without)
        surprise = self._retriever._background.surprise(vector, cosines, among="images")
        return ordered({key: value for key, value in zip(keys.tolist(), surprise.tolist(), strict=True) if value > 0})

    def _near_image(self, vector: np.ndarray, depth: int) -> Hits:
        cosines, keys = self._store.near("image", vector, depth, self._without)
        span = self._settings.certain - self._settings.chance
        values = self._settings.chance + span * np.clip((cosines - 0.5) / 0.45, 0, 1)
        return dict(zip(keys.tolist(), values.tolist(), strict=True))
