"""The `preferences` recipe: pairs of a true answer and one with a known fault, from examples whose truth is known.

Reports get one fault each (`spoil`); questions with answers to choose from get another of those answers. The fault
stands in `reason`, so that what preference tuning mends can be counted one by one.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

from assistant.errors import DataError
from assistant.prompts import parse_report, render_report
from data_recipes.own import Options, place_image
from data_recipes.schema import Example, Preference, read_examples, write_preferences
from data_recipes.spoil import FAULTS, MATCHED_FAULTS, match_length

QUESTION_SHARE = 0.3
"""Share of the questions with answers to choose from that are taken up."""
WRONG_ANSWER = "wrong answer"
LENGTH_SLACK = 0.1
MOST_WORDS_OFF = 3
"""Matched answers differ by no more words than this, or than a tenth of the better one."""


def add_options(options: Options) -> None:
    """Add this recipe's options.

    Args:
        options: of the command line.
    """
    options.add_argument(
        "--length-matched",
        action="store_true",
        help="bring both answers to about one length and leave out pairs that differ by more, so that length tells "
        "nothing; also makes wrong places and wrong findings",
    )


def build(
    source: Path,
    out: Path,
    *,
    limit: int | None = None,
    seed: int = 0,
    link: bool = False,
    length_matched: bool = False,
) -> dict[str, int]:
    """Write `preferences.jsonl` and its pictures.

    Args:
        source: a file of examples, such as `train.jsonl` of the phantom recipe.
        out: folder to write into.
        limit: at most this many pairs.
        seed: decides the faults.
        link: put symbolic links to the images instead of hard links or copies.
        length_matched: only pairs whose answers are about equally long.
    Returns:
        File name to its number of pairs.
    Raises:
        DataError: no example can be made wrong in a known way.
    """
    rng = random.Random(seed)
    pairs: list[Preference] = []
    for example in read_examples(source):
        if limit is not None and len(pairs) >= limit:
            break
        pairs += preferences(example, rng, length_matched=length_matched)
    pairs = pairs[:limit]
    if not pairs:
        raise DataError(
            f"{source} has no report with known findings and no question with answers to choose from, so no answer "
            "can be made wrong in a known way. Give the train.jsonl of the phantom recipe, or examples with `choices`."
        )
    for name in sorted({name for pair in pairs for name in pair.images}):
        place_image(source.parent / name, out / name, link=link)
    return {"preferences.jsonl": write_preferences(out / "preferences.jsonl", pairs)}


def preferences(example: Example, rng: random.Random, *, length_matched: bool = False) -> Iterator[Preference]:
    """Yield the pairs that an example gives: one for each fault of a report, at most one for a question.

    Args:
        example: any.
        rng: source of chance.
        length_matched: bring both answers to about one length, and leave out pairs where that cannot be.
    Yields:
        Ids are the example's with the fault: "p7#report~wrong-side".
    """
    answer = example.messages[-1]["content"]
    truth = example.truth or {}
    if example.task == "report":
        sections = parse_report(answer)
        faults = FAULTS | MATCHED_FAULTS if length_matched else FAULTS
        for reason, spoil in faults.items():
            # A comparison is wrong only where there is nothing to compare with.
            if reason == "mentions a prior" and len(example.images) > 1:
                continue
            spoilt = spoil(dict(sections), truth, rng) if {"findings", "impression"} <= set(sections) else None
            words = len(render_report(sections).split())
            if spoilt and length_matched:
                spoilt = match_length(spoilt, sum(len(text.split()) for text in sections.values()), truth)
            rejected = render_report(spoilt) if spoilt else answer
            near = abs(len(rejected.split()) - words) <= max(MOST_WORDS_OFF, LENGTH_SLACK * words)
            if rejected != answer and (near or not length_matched):
                yield preference_of(example, rejected, reason)
    elif example.choices and rng.random() < QUESTION_SHARE:
        others = [one for one in example.choices if one.lower() != answer.lower()]
        if others:
            yield preference_of(example, rng.choice(others), WRONG_ANSWER)


def preference_of(
    example: Example, rejected: str, reason: str, *, chosen: str | None = None, mark: str | None = None
) -> Preference:
    """Return the preference of one answer to an example's question over another.

    Args:
        example: with its true answer as the last message.
        rejected: the worse answer.
        reason: why it is worse.
        chosen: the better answer; the true one if None.
        mark: end of the id; the reason if None.
    Returns:
        The pair, with the example's pictures, truth and origin.
    """
    return Preference(
        id=f"{example.id}~{mark or reason.replace(' ', '-')}",
        images=example.images,
        messages=example.messages[:-1],
        chosen=example.messages[-1]["content"] if chosen is None else chosen,
        rejected=rejected,
        reason=reason,
        source=example.source,
        licence=example.licence,
        truth=example.truth,
        modality=example.modality,
        anatomy=example.anatomy,
        patient=example.patient,
        site=example.site,
    )
