"""Retrievers for the ablation: evidence at random, the very evidence, the wrong one, right and wrong together."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from assistant.domain import Domain
from assistant.evidence import Evidence
from retrieval.asked import Asked
from retrieval.retriever import IndexRetriever

ARMS: tuple[str, ...] = ("none", "random", "retrieved", "oracle", "wrong", "mixed")
"""none: no index. oracle: the documents that hold the answer. wrong: what a search finds when those are hidden.
mixed: the wrong ones before the right one that the search ranks first."""


@dataclass
class Arm:
    """A `Retriever` that gives one kind of evidence; `asked` says which question it is for."""

    kind: str
    retriever: IndexRetriever
    documents: Mapping[str, Evidence]
    """Whole documents by id, for what is given rather than found."""
    seed: int = 0
    asked: Asked | None = None

    @property
    def fingerprint(self) -> str:
        """That of the index."""
        return self.retriever.fingerprint

    def route(self, image_embedding: np.ndarray) -> Domain | None:
        """Return what the index's router sees in a picture: the arms differ in their evidence alone."""
        return self.retriever.route(image_embedding)

    def search(
        self,
        query: str,
        *,
        image_embedding: np.ndarray | None = None,
        k: int = 3,
        modality: str | None = None,
        exclude_patient: str | None = None,
    ) -> list[Evidence]:
        """Return this arm's evidence on the question at hand.

        Args:
            query: what the assistant searches for.
            image_embedding: (E,) of its picture.
            k: the most pieces.
            modality: of its picture.
            exclude_patient: whose cases are left out.
        Returns:
            At most `k` pieces.
        """
        options = {"image_embedding": image_embedding, "modality": modality, "exclude_patient": exclude_patient}
        right = set(self.asked.documents) if self.asked else set()
        if self.kind == "random":
            rng = random.Random(f"{self.seed}/{self.asked.id if self.asked else query}")
            return [self.documents[name] for name in rng.sample(sorted(self.documents), min(k, len(self.documents)))]
        if self.kind == "retrieved":
            return self.retriever.search(query, k=k, **options)  # type: ignore[arg-type]
        found = self.retriever.search(query, k=k + len(right) + 8, **options)  # type: ignore[arg-type]
        if self.kind == "oracle":
            return self._right(right, found)[:k] if right else found[:k]
        wrong = [one for one in found if _document(one.id) not in right][:k] or self._any_but(right, query, k)
        given = self._right(right, found)[:1] if self.kind == "mixed" else []
        return [*wrong[: k - len(given)], *given] if k > 1 else (given or wrong)[:k]

    def _right(self, right: set[str], found: Sequence[Evidence]) -> list[Evidence]:
        """Return the documents that hold the answer: those that the search finds first, in its order."""
        order = [*(_document(one.id) for one in found), *sorted(right)]
        return [self.documents[name] for name in dict.fromkeys(order) if name in right and name in self.documents]

    def _any_but(self, right: set[str], query: str, k: int) -> list[Evidence]:
        rng = random.Random(f"{self.seed}/{query}")
        names = sorted(set(self.documents) - right)
        return [self.documents[name] for name in rng.sample(names, min(k, len(names)))]


def _document(name: str) -> str:
    return name.partition("#")[0]


def whole_documents(retriever: IndexRetriever) -> dict[str, Evidence]:
    """Return every document of an index as evidence, its chunks joined."""
    from retrieval.passage import Passage
    from retrieval.weigh import as_evidence

    parts: dict[str, list[Passage]] = {}
    for row in range(len(retriever.index)):
        passage = retriever.index.record(row)
        parts.setdefault(passage.document, []).append(passage)
    return {name: as_evidence(passages, 0.0) for name, passages in parts.items()}


def bootstrap(right: Sequence[bool], groups: Sequence[str], *, draws: int = 1000, seed: int = 0) -> tuple[float, float]:
    """Return the 95 % interval of a share, drawing whole groups with replacement; (0, 1) for none."""
    if not right:
        return 0.0, 1.0
    names = {name: place for place, name in enumerate(dict.fromkeys(groups))}
    places = np.array([names[name] for name in groups])
    hits = np.bincount(places, weights=np.asarray(right, dtype=float), minlength=len(names))
    sizes = np.bincount(places, minlength=len(names))
    drawn = np.random.default_rng(seed).integers(len(names), size=(draws, len(names)))
    shares = hits[drawn].sum(axis=1) / sizes[drawn].sum(axis=1)
    low, high = np.quantile(shares, [0.025, 0.975])
    return float(low), float(high)
