"""The `phantom_cards` recipe: questions about phantoms that only a knowledge card answers, beside ones that need none.

A phantom shows a finding, and the question asks what is known of it: what it is mistaken for, what else looks alike,
what it means. The true answer is what the cards on that finding say under the heading that is asked for; which cards
these are stands in `truth.documents`, and `truth.needs` tells "card" or "image". So the use of evidence can be
measured: without it the first kind cannot be answered, and the second must not suffer from it.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from data_recipes.instruct_cards import Cards, is_about
from data_recipes.phantom import Phantom, make_phantom
from data_recipes.phantom_findings import KINDS
from data_recipes.phantom_text import phantom_questions
from data_recipes.schema import Example, write_examples
from retrieval.corpus import read_corpora
from retrieval.passage import Passage

COUNT = 300
FILE = "cards.jsonl"
QUESTIONS: dict[tuple[str, ...], tuple[str, ...]] = {
    ("pitfalls",): ("What are the pitfalls of the finding in this image?", "What are pitfalls of this finding?"),
    ("differential", "pitfalls"): (
        "What can be mistaken for the finding in this image?",
        "What is the differential of the finding in this image?",
        "What else can look like the finding in this image?",
    ),
}
"""Headings of a card → ways to ask for what stands under them."""
_NAMES = {
    "enlarged heart": ("cardiomegaly", "heart"),
    "solid mass": ("mass",),
    "bright lesion": ("white matter lesion",),
}
_PLAIN = 2


def build(source: Path, out: Path, *, limit: int | None = None, seed: int = 0, link: bool = False) -> dict[str, int]:
    """Draw phantoms with one finding each, and write their questions.

    Args:
        source: not read.
        out: folder to write into.
        limit: how many phantoms; `COUNT` if None.
        seed: decides everything.
        link: not used: the pictures are new.
    Returns:
        File name to its number of examples.
    """
    del source, link
    from PIL import Image

    cards = _cards()
    rng = random.Random(seed)
    examples: list[Example] = []
    (out / "images").mkdir(parents=True, exist_ok=True)
    index = drawn = 0
    while drawn < (COUNT if limit is None else limit):
        phantom = make_phantom(seed, index)
        index += 1
        about = _about(phantom, cards)
        if len(phantom.findings) != 1 or not about:
            continue
        name = f"images/{drawn:05d}.png"
        Image.fromarray(np.asarray(phantom.pixels, dtype=np.uint8)).save(out / name)
        examples += _examples(phantom, about, name, drawn, rng)
        drawn += 1
    return {FILE: write_examples(out / FILE, examples)}


def _cards() -> dict[str, list[Passage]]:
    """Return the shipped cards' chunks by document."""
    found: dict[str, list[Passage]] = {}
    for passage in read_corpora(["knowledge"]).passages:
        found.setdefault(passage.document, []).append(passage)
    return found


def _about(phantom: Phantom, cards: dict[str, list[Passage]]) -> dict[str, list[Passage]]:
    """Return the cards on the phantom's one finding, for its modality."""
    if len(phantom.findings) != 1:
        return {}
    kind, name = KINDS[phantom.kind], phantom.findings[0].name
    names = _NAMES.get(name, (name,))
    return {
        document: chunks
        for document, chunks in cards.items()
        if chunks[0].modality == kind.modality
        and any(is_about(Cards(chunks[:1]).evidence[0], one, kind.anatomy) for one in names)
    }


def _examples(
    phantom: Phantom, about: dict[str, list[Passage]], image: str, number: int, rng: random.Random
) -> Iterator[Example]:
    kind = KINDS[phantom.kind]
    truth = {"phantom": True, "finding": phantom.findings[0].name, "documents": sorted(about)}

    def example(name: str, question: str, answer: str, answer_type: str, choices: Any, **more: Any) -> Example:
        messages = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
        return Example(
            f"card{number}#{name}", (image,), messages, "vqa", answer_type, "phantom cards", "CC0-1.0",
            choices=choices, truth={**truth, **more}, modality=kind.modality, anatomy=kind.anatomy,
        )  # fmt: skip

    for sections, wordings in QUESTIONS.items():
        told = " ".join(
            one.text for chunks in about.values() for one in chunks if (one.section or "").lower() in sections
        )
        if told:
            yield example(sections[0], rng.choice(wordings), told, "open", None, needs="card", sections=list(sections))
    plain = phantom_questions(phantom, rng)
    for place, (question, answer, answer_type, choices) in enumerate(rng.sample(plain, min(_PLAIN, len(plain)))):
        yield example(str(place), question, answer, answer_type, choices, needs="image")
