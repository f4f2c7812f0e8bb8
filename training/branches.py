"""Questions with two answers, as tokens: a better and a worse one, or a judged one and another question's."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from assistant.errors import DataError
from data_recipes.judged import Judged, read_judged
from data_recipes.schema import Example, Preference, read_preferences
from training.checks import check_ends, check_lengths
from training.dataset import PictureGroup, Tokens, Turned, make_pack


@dataclass(frozen=True)
class Branches:
    """A question with two answers, as tokens."""

    images: tuple[Path, ...]
    first: Turned
    second: Turned
    reason: str = ""
    """What is wrong with the second, where it is known."""
    group: str = ""
    """The patient, or what else it is drawn with when an interval is worked out."""


def read_pairs(path: Path, tokens: Tokens) -> list[Branches]:
    """Read a file of preferences into tokens.

    Args:
        path: JSONL file.
        tokens: of the model.
    Returns:
        One a line; the better answer is the first.
    Raises:
        DataError: the file holds none.
    """
    pairs = []
    for one in read_preferences(path):
        chosen, rejected = (_answered(one, answer, tokens) for answer in (one.chosen, one.rejected))
        images = tuple(path.parent / name for name in one.images)
        group = one.patient or "|".join(map(str, images)) or one.id
        pairs.append(Branches(images, chosen, rejected, one.reason, group))
    if not pairs:
        raise DataError(f"{path} holds no preferences; build it again or take it out of `data:`.")
    return pairs


def _answered(one: Preference, answer: str, tokens: Tokens) -> Turned:
    messages = [*one.messages, {"role": "assistant", "content": answer}]
    example = Example(one.id, one.images, messages, "chat", "open", source=one.source, licence=one.licence)
    return tokens.turns(example)[-1]


def read_judged_pairs(path: Path, tokens: Tokens) -> tuple[list[Branches], list[bool]]:
    """Read a file of judged answers or of preferences into tokens.

    Args:
        path: JSONL file.
        tokens: of the model.
    Returns:
        The judged answer and another question's, one pair a line, and which of the judged ones are wanted.
    Raises:
        DataError: there are not two different answers.
    """
    judged = list(read_judged(path))
    if len({_answer(one) for one in judged}) < 2:
        raise DataError(f"{path} holds {len(judged)} judged answers, all the same; KTO compares different ones.")
    found = []
    for place, one in enumerate(judged):
        messages = [*one.example.messages[:-1], {"role": "assistant", "content": _other_answer(judged, place)}]
        first, second = (
            tokens.turns(example)[-1] for example in (one.example, replace(one.example, messages=messages))
        )
        found.append(Branches(tuple(path.parent / name for name in one.example.images), first, second))
    return found, [one.good for one in judged]


def check_both_kinds(good: Sequence[bool]) -> None:
    """Refuse judged answers that are all wanted, or all unwanted.

    Args:
        good: which are wanted; at least one.
    Raises:
        DataError: says which kind is missing.
    """
    if all(good) or not any(good):
        kind = "wanted" if good[0] else "unwanted"
        raise DataError(f"all {len(good)} answers are {kind}; KTO needs both, so add some of the others.")


def check_pairs(pairs: Sequence[Branches], image_id: int, longest: int, context: int, eos_ids: Collection[int]) -> None:
    """Refuse questions that do not fit with both answers, and answers that do not end.

    Args:
        pairs: of the data.
        image_id: the picture token.
        longest: most tokens of a picture, a question and two answers.
        context: most tokens that the language model can read.
        eos_ids: tokens that end an answer.
    Raises:
        DataError: says how many do not fit.
    """
    groups = [PictureGroup(pair.images, [pair.first, pair.second]) for pair in pairs]
    check_lengths(groups, min(longest, context), context)
    check_ends(groups, eos_ids)
    over = sum(pair_length(pair, image_id) > longest for pair in pairs)
    if over:
        raise DataError(
            f"{over} of {len(pairs)} questions take more than `longest` {longest} tokens with two answers. Raise it, "
            "or shorten the texts."
        )


def pair_length(pair: Branches, image_id: int) -> int:
    """Return how many tokens a picture, a question and its two answers take in one sequence."""
    return len(make_pack([pair.first, pair.second], image_id, 1 << 30).ids)


def _answer(one: Judged) -> str:
    return one.example.messages[-1]["content"]


def _other_answer(judged: Sequence[Judged], place: int) -> str:
    """Return the next answer of the file that differs and, where there is one, belongs to another question."""
    own = judged[place]
    following = [judged[(place + step) % len(judged)] for step in range(1, min(len(judged), 50))]
    others = [one for one in following if _question(one) != _question(own)]
    return next(_answer(one) for one in [*others, *following, *judged] if _answer(one) != _answer(own))


def _question(one: Judged) -> tuple[object, ...]:
    return one.example.images, one.example.messages[:-1]
