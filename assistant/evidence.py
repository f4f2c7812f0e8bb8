"""`Evidence`, and what a retriever must offer; the assistant knows no more of retrieval than this."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np


@dataclass(frozen=True)
class Evidence:
    """One piece of retrieved evidence, as it is numbered in the prompt and shown to the reader."""

    id: str
    kind: str
    """"passage", "figure" or "case"."""
    title: str
    text: str
    source: str
    """Where it comes from, for a reader: a work's name and, where there is one, its address."""
    licence: str
    score: float
    """Higher is nearer; comparable within one search only."""
    modality: str | None = None
    anatomy: str | None = None
    image: str | None = None
    """Path of its picture relative to the index folder, for figures and cases."""
    references: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    """Other names of what it is about; they serve to choose from it and are not shown."""
    parts: tuple[tuple[str, str], ...] = ()
    """(heading, text) of a piece that has headings, in order; "" where there is none. Not shown either."""

    @property
    def sections(self) -> tuple[tuple[str, str], ...]:
        """Its text by headings: `parts`, or all of it under none."""
        return self.parts or (("", self.text),)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types: what a reader is shown."""
        shown = {name: value for name, value in asdict(self).items() if name not in ("names", "parts")}
        return {**shown, "references": list(self.references)}


class Retriever(Protocol):
    """Whatever finds evidence. `retrieval.retriever.IndexRetriever` is the one that ships."""

    @property
    def fingerprint(self) -> str:
        """Identity of the index: it changes when its content or encoder does."""
        ...

    def search(
        self,
        query: str,
        *,
        image_embedding: np.ndarray | None = None,
        k: int = 3,
        modality: str | None = None,
        exclude_patient: str | None = None,
    ) -> Sequence[Evidence]:
        """Return at most `k` pieces, best first, none if nothing is near enough.

        Args:
            query: free text; may be empty when an image is given.
            image_embedding: (E,) unit length, from the joint space of the index's encoder.
            k: the most pieces to return.
            modality: narrows or weights the corpus, a name of `vocabulary.MODALITIES`.
            exclude_patient: a `Picture.patient_key` whose own cases are left out.
        Returns:
            Best first; empty if nothing is near enough.
        """
        ...


@runtime_checkable
class HasPictures(Protocol):
    """A retriever that can give the pictures of figures and cases."""

    def picture(self, name: str) -> bytes | None:
        """Return the JPEG that `Evidence.image` names, if there is one."""
        ...


def pictures_of(cases: Sequence[Evidence], retriever: object) -> dict[str, bytes]:
    """Return `Evidence.image` → JPEG of some cases, as far as the retriever has them."""
    if not isinstance(retriever, HasPictures):
        return {}
    found = {item.image: retriever.picture(item.image) for item in cases if item.image}
    return {name: jpeg for name, jpeg in found.items() if jpeg is not None}
