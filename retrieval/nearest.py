"""The lists of a search that come from vectors: what lies near a text or a picture, among what may be returned."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from retrieval.embed import ROLES
from retrieval.facets import Filters
from retrieval.hits import Hits, best_per_row
from retrieval.index import IndexFolder
from retrieval.settings import SearchSettings
from retrieval.vectors import Selection


@dataclass(frozen=True)
class Pool:
    """What a search may return; None allows all. N is the number of records."""

    allowed: np.ndarray | None
    """(N,) bool."""
    texts: Selection | None
    images: Selection | None


def pool_of(index: IndexFolder, filters: Filters) -> Pool:
    """Work out which records and vectors pass the filters."""
    allowed = index.names.mask(index.rows, filters)
    if allowed is None:
        return Pool(None, None, None)
    keys = index.keys[allowed]
    return Pool(allowed, Selection(np.concatenate([keys * ROLES, keys * ROLES + 1])), Selection(keys))


def near_text(index: IndexFolder, vector: np.ndarray, pool: Pool, depth: int) -> Hits:
    """Return `depth` records by how surprising the nearness of their text or title to a vector (E,) is."""
    cosines, keys = index.text.search(vector, 2 * depth, pool.texts)
    surprise = np.where(
        keys % ROLES == 1,
        index.background.surprise(vector, cosines, among="titles"),
        index.background.surprise(vector, cosines),
    )
    hits = best_per_row(index.rows_of(keys // ROLES), surprise)
    return dict(list(hits.items())[:depth])


def near_image(index: IndexFolder, vector: np.ndarray, pool: Pool, settings: SearchSettings) -> Hits:
    """Return figures and cases by the nearness of their pictures to that of (E,), on the scale chance to certain."""
    cosines, keys = index.image.search(vector, settings.depth, pool.images)
    span = settings.certain - settings.chance
    # Pictures lie far nearer to each other than to text, so cosine itself is put on the same scale.
    values = settings.chance + span * np.clip((cosines - 0.5) / 0.45, 0, 1)
    return best_per_row(index.rows_of(keys), values)


def near_shown(index: IndexFolder, vector: np.ndarray, pool: Pool, depth: int) -> Hits:
    """Return figures and cases whose pictures are nearer than chance to the words of (E,), best first."""
    cosines, keys = index.image.search(vector, depth, pool.images)
    surprise = index.background.surprise(vector, cosines, among="images")
    return best_per_row(index.rows_of(keys[surprise > 0]), surprise[surprise > 0])
