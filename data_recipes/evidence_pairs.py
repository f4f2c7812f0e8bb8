"""The `evidence_pairs` recipe: preferences that teach when to believe the picture and when the evidence.

From questions on a finding whose truth is known, with cards as evidence, drawn so that it is known whether they hold
the answer. One picture's question is put with and without evidence, and with and without the picture:

    picture   evidence        better answer            worse answer
    yes       on another      the true finding         the finding of the card, cited
    yes       on the finding  the true finding, cited  another finding
    yes       none            the true finding         the true finding, citing what is not there
    yes       none            the true finding         another finding
    no        on the finding  that no image was given  the finding of the card, as if it had been seen

After the idea of preference tuning for retrieval in MMed-RAG (Xia et al. 2024), whose worse answers are a model's own
under a spoilt picture or without evidence; here both answers are written, so that the fault of each is known.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from assistant.errors import DataError
from assistant.evidence import Evidence
from assistant.prompts import evidence_lines, question_text
from data_recipes.instruct import EVIDENCE_WORDS, rivals_of
from data_recipes.instruct_cards import Cards, is_about
from data_recipes.own import place_image
from data_recipes.preferences import WRONG_ANSWER, preference_of
from data_recipes.schema import Example, Preference, read_examples, write_preferences

FILE = "preferences.jsonl"
NO_IMAGE = "There is no image, so this cannot be said."
"""The better answer where the picture is missing."""
WRONG_EVIDENCE = "believes wrong evidence"
UNUSED_EVIDENCE = "leaves the right evidence"
NO_SUCH_EVIDENCE = "cites what is not there"
UNSEEN = "answers without the image"
REASONS = (WRONG_EVIDENCE, UNUSED_EVIDENCE, NO_SUCH_EVIDENCE, WRONG_ANSWER, UNSEEN)
"""What is wrong with the worse answer of each kind of pair."""
_BESIDE = 1


def build(source: Path, out: Path, *, limit: int | None = None, seed: int = 0, link: bool = False) -> dict[str, int]:
    """Write `preferences.jsonl` and its pictures.

    Args:
        source: a file of examples, such as `train.jsonl` of the phantom recipe.
        out: folder to write into.
        limit: at most this many pairs.
        seed: decides which cards stand in a prompt, and which finding is the wrong one.
        link: put symbolic links to the images instead of hard links or copies.
    Returns:
        File name to its number of pairs.
    Raises:
        DataError: no example asks for a finding that a card is about.
    """
    rng, cards = random.Random(seed), Cards.shipped()
    pairs: list[Preference] = []
    for example in read_examples(source):
        if limit is not None and len(pairs) >= limit:
            break
        pairs += evidence_pairs(example, cards, rng)
    pairs = pairs[:limit]
    if not pairs:
        raise DataError(
            f"{source} has no question whose answer is a finding with rivals, so no evidence can be wrong in a known "
            "way. Give the train.jsonl of the phantom or manifest recipe."
        )
    for name in sorted({name for pair in pairs for name in pair.images}):
        place_image(source.parent / name, out / name, link=link)
    return {FILE: write_preferences(out / FILE, pairs)}


def evidence_pairs(example: Example, cards: Cards, rng: random.Random) -> Iterator[Preference]:
    """Yield the pairs that a question gives: one of each of `REASONS`, as far as there are cards for it.

    Args:
        example: any; only one whose answer is a finding that could have been another gives pairs.
        cards: the evidence.
        rng: source of chance.
    Yields:
        Ids are the example's with the reason.
    """
    truth = example.messages[-1]["content"].strip()
    others = [one for one in rivals_of(example) if one.lower() != truth.lower().rstrip(".")]
    if not others or not example.images:
        return
    rival = _styled(rng.choice(others), truth)
    modality, region = (example.truth or {}).get("modality") or example.modality, example.anatomy
    same = [one for one in cards.evidence if one.modality in (modality, None)]
    right = [one for one in same if is_about(one, truth, region)]
    wrong = [one for one in same if is_about(one, rival, region) and one not in right]
    beside = [one for one in same if one not in right and not is_about(one, rival, region)]
    question = example.messages[0]["content"]

    def put(evidence: Sequence[Evidence]) -> Example:
        lines = evidence_lines(evidence, budget=EVIDENCE_WORDS, count_tokens=lambda text: len(text.split()))
        text = question_text(question, evidence=lines)
        return replace(example, messages=[{"role": "user", "content": text}, example.messages[1]])

    if wrong:
        shown, number = _among(rng.choice(wrong), beside, rng)
        yield preference_of(put(shown), f"{rival} [{number}]", WRONG_EVIDENCE)
    if right:
        shown, number = _among(rng.choice(right), beside, rng)
        cited = f"{truth} [{number}]"
        yield preference_of(put(shown), rival, UNUSED_EVIDENCE, chosen=cited)
        unseen = replace(put(shown), images=())
        yield preference_of(unseen, cited, UNSEEN, chosen=NO_IMAGE)
    yield preference_of(example, f"{truth} [1]", NO_SUCH_EVIDENCE)
    yield preference_of(example, rival, WRONG_ANSWER)


def _among(card: Evidence, beside: Sequence[Evidence], rng: random.Random) -> tuple[list[Evidence], int]:
    """Return a card with another in random order, and its number."""
    shown = [card, *rng.sample(list(beside), min(_BESIDE, len(beside)))]
    rng.shuffle(shown)
    return shown, shown.index(card) + 1


def _styled(answer: str, like: str) -> str:
    """Return an answer with the capital and the full stop that another has, so that the form tells nothing."""
    answer = answer[:1].upper() + answer[1:] if like[:1].isupper() else answer[:1].lower() + answer[1:]
    return answer.rstrip(".") + ("." if like.endswith(".") else "")
