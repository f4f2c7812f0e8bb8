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
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from assistant.evidence import Evidence
from assistant.polarity import negated_words
from assistant.words import content_words, tokens
from retrieval.adaptive import worth_keeping
from retrieval.corpus import Passage
from retrieval.encoder import Encoder
from retrieval.fusion import diversify, reciprocal_rank_fusion
from retrieval.hits import Hits, best_hits, ordered, widen
from retrieval.index import ROLES, IndexFolder
from retrieval.lexical import LexicalHits
from retrieval.polarity import only_negated
from retrieval.settings import SearchSettings


@dataclass
class _Candidate:
    """One document while it is weighed."""

    row: int
    passage: Passage
    """The chunk that fits best."""
    rank_score: float
    words: float = 0.0
    dense: float = 0.0
    image: float = 0.0
    same_image: bool = False

    def support(self, *, asked: bool) -> float:
        """Combine: pictures alone support a document only if no words were asked, or if it has a picture itself."""
        text = 1 - (1 - self.words) * (1 - self.dense)
        return max(text, self.image) if self.same_image or not asked else text


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
        settings = settings or SearchSettings()
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

    def with_settings(self, settings: SearchSettings) -> IndexRetriever:
        """Return a retriever over the same open index with other settings."""
        return IndexRetriever(self.index, self._encoder, settings)

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
            modality: documents about another modality count less, a name of `vocabulary.MODALITIES`.
            exclude_patient: a `Picture.patient_key` whose own cases are left out.
        Returns:
            The evidence.
        Raises:
            ValueError: `image_embedding` has another width than the index.
        """
        if image_embedding is not None and image_embedding.shape != (self.index.text.width,):
            raise ValueError(
                f"image_embedding is {image_embedding.shape}; this index takes ({self.index.text.width},)."
            )

        def allowed(row: int) -> bool:
            return exclude_patient is None or self._record(row).patient_key != exclude_patient

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
            lists["image"] = {row: value for row, value in ordered(seen).items() if self._fits(row, modality)}
        found = self._weigh(query, lists, lexical, pictured, modality)
        return self._choose(found, k, asked=bool(words))

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

    def _fits(self, row: int, modality: str | None) -> bool:
        return modality is None or self._record(row).modality in (None, modality)

    def _weigh(
        self, query: str, lists: dict[str, Hits], lexical: LexicalHits, pictured: Hits, modality: str | None
    ) -> list[_Candidate]:
        """Fuse the lists by document and weigh each document; best first."""
        constant = self.settings.rank_constant
        by_document = {
            name: list(dict.fromkeys(self._record(row).document for row in hits)) for name, hits in lists.items()
        }
        fused = reciprocal_rank_fusion(by_document, self.settings.weights, constant=constant)
        text_lists = {name: list(hits) for name, hits in lists.items() if name != "image"}
        chunk_scores = reciprocal_rank_fusion(text_lists, self.settings.weights, constant=constant)
        rows: dict[str, list[int]] = {}
        for row in dict.fromkeys(row for hits in lists.values() for row in hits):
            rows.setdefault(self._record(row).document, []).append(row)
        asked = set(content_words(query)) - negated_words(query)
        found = []
        for document, score in list(fused.items())[: self.settings.weighed]:
            best = max(rows[document], key=lambda row: (chunk_scores.get(row, 0.0), -row))
            passage = self._record(best)
            denied = only_negated(passage, asked) if asked else set()
            left = 1 - len(denied) / len(asked) * (0.5 if passage.kind == "passage" else 1.0) if denied else 1.0
            fit = 1.0 if self._fits(best, modality) else self.settings.other_modality
            fit *= 1.0 if _is_named(passage, asked) else self.settings.not_named
            found.append(
                _Candidate(
                    best,
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
            order = diversify(scores, lambda a, b: _overlap(sets[a], sets[b]), k, diversity=self.settings.diversity)
            kept = [kept[place] for place in order]
        return [_evidence(self._whole(candidate), candidate.rank_score) for candidate in kept]

    def _whole(self, candidate: _Candidate) -> Passage:
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


def _overlap(one: set[str], other: set[str]) -> float:
    return len(one & other) / max(1, len(one | other))
