"""Knowledge cards as evidence for training questions, drawn so that they do not give the answer away."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence

from assistant.evidence import Evidence
from retrieval.corpus import read_corpora
from retrieval.passage import Passage


class Cards:
    """Knowledge cards, found by what they are about.

    Args:
        passages: the cards' first chunks.
    """

    def __init__(self, passages: Sequence[Passage]) -> None:
        self.evidence = [
            Evidence(p.id, p.kind, p.title, p.text, p.source, p.licence, 0.0, p.modality, p.anatomy) for p in passages
        ]

    @classmethod
    def shipped(cls) -> Cards:
        """Return the cards that come with the project."""
        return cls([one for one in read_corpora(["knowledge"]).passages if "#" not in one.id])

    def draw(self, rng: random.Random) -> list[Evidence]:
        """Return one to three cards on anything.

        Args:
            rng: source of chance.
        Returns:
            The cards in random order.
        """
        return rng.sample(self.evidence, min(len(self.evidence), rng.randint(1, 3)))

    def pick(
        self, answer: str, rivals: Sequence[str], modality: str | None, region: str | None, rng: random.Random
    ) -> tuple[list[Evidence], int | None]:
        """Return one to three cards and the number, from 1, of the first that is about the answer, if one is there.

        The cards are chosen without regard to the truth: each possible answer's card has the same chance.

        Args:
            answer: the right answer.
            rivals: every answer that the picture could have had, the right one among them.
            modality: of the picture; other cards are drawn from the same modality.
            region: of the picture.
            rng: source of chance.
        Returns:
            The cards in random order, and the number or None.
        """
        same = [one for one in self.evidence if one.modality in (modality, "any")] or self.evidence
        chosen: list[Evidence] = []
        for rival in rng.sample(list(rivals), min(len(rivals), rng.randint(0, 3))):
            about = [one for one in same if is_about(one, rival, region)]
            chosen += [rng.choice(about)] if about else []
        others = [one for one in same if one not in chosen]
        chosen += rng.sample(others, max(0, rng.randint(1, 3) - len(chosen)))
        chosen = list({one.id: one for one in chosen}.values()) or [rng.choice(same)]
        rng.shuffle(chosen)
        right = (place for place, one in enumerate(chosen, start=1) if is_about(one, answer, region))
        return chosen, next(right, None)


def is_about(card: Evidence, answer: str, region: str | None) -> bool:
    """Tell whether a card's title names an answer; "normal" counts only for the same region."""
    title, key = (_american(text).lower() for text in (card.title, answer.rstrip(".")))
    if key == "normal":
        return "normal" in title and card.anatomy == region
    return re.search(rf"\b{re.escape(key)}", title) is not None


def _american(text: str) -> str:
    return text.replace("tumour", "tumor").replace("aemia", "emia").replace("aemo", "emo").replace("aemat", "emat")
