"""`SearchSettings`: how a search weighs what it finds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from assistant.errors import RetrievalError

FUSIONS: tuple[str, ...] = ("rank", "score")
FITTED: tuple[str, ...] = ("floor", "drop", "form", "title")
"""Settings that are fitted on development questions and kept in an index's manifest."""


@dataclass(frozen=True)
class SearchSettings:
    """How a search weighs what it finds."""

    weights: dict[str, float] = field(default_factory=dict)
    """Of the lists "dense", "lexical" and "image"; what is not named is taken from the index's manifest."""
    depth: int = 40
    """How many records each list gives."""
    weighed: int = 24
    """How many of the joined documents are looked at closely."""
    floor: float = 0.5
    """Support below which nothing is shown, in [0, 1]."""
    drop: float = 0.6
    """A piece is shown only if it has at least this share of the best support."""
    budget_words: int | None = None
    """The most words that all pieces may have together, the first one aside; None sets no limit."""
    fusion: str = "rank"
    """How the lists are joined: by "rank" (reciprocal rank fusion), or by "score" (their values, put on one scale):
    better where the dense list is much weaker than the lexical one, for a weak list's first place then weighs less."""
    rank_constant: float = 10.0
    """Of the fusion: the smaller, the more the first places count."""
    other_modality: float = 0.4
    """Factor on the score of a document about another modality than the one asked for."""
    not_named: float = 0.85
    """Factor on the score of a document unless its finding, or another name of it, stands in the query."""
    chance: float = 2.5
    """Standard deviations above the mean cosine that support nothing yet."""
    certain: float = 6.0
    """Standard deviations above the mean cosine that support fully."""
    whole_words: int = 320
    """A document of at most this many words is returned whole, a longer one by the chunk that fits best."""
    form: float = 0.0
    """Added to the joined score, in (0, 1], of a passage that is worded all as the question asks (`retrieval.form`).
    What is asked of one subject in many ways needs it; fitted with the fusion on questions with known answers."""
    title: float = 0.0
    """Added to the joined score of a document whose title names nothing beyond the question; fitted likewise."""
    polarity: bool = True
    """Whether a document that only denies what is asked for counts less."""
    diversity: float = 0.0
    """0 keeps the order of relevance; towards 1, pieces that share words with a better one come later."""

    @classmethod
    def fitted(cls, search: Mapping[str, float], fusion: str) -> SearchSettings:
        """Return the usual settings with an index's own fusion, and what else was fitted for it."""
        usual = cls()
        return cls(fusion=fusion, **{name: search.get(name, getattr(usual, name)) for name in FITTED})

    def __post_init__(self) -> None:
        if self.fusion not in FUSIONS:
            raise RetrievalError(f"fusion is {self.fusion!r}; use one of {', '.join(FUSIONS)}.")
        if not 0 <= self.diversity <= 1:
            raise RetrievalError(f"diversity is {self.diversity}; use a number from 0 to 1.")
