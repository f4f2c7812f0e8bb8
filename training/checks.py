"""What is checked in training data before the first step, so that no run stops in the middle of the night."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path

from assistant.errors import DataError
from data_recipes.schema import Example, Preference, read_examples
from training.dataset import PictureGroup, Turned
from training.rewards import REWARDS

SHOWN = 5
"""Most names in an error message."""


def check_pictures(paths: Sequence[Path]) -> None:
    """Refuse data whose pictures are not all there.

    Args:
        paths: of the pictures.
    Raises:
        DataError: says how many are missing, and the first five.
    """
    missing = [str(path) for path in paths if not path.is_file()]
    if missing:
        raise DataError(
            f"{len(missing)} of {len(paths)} images are missing, first {', '.join(missing[:SHOWN])}. "
            "Put them back beside the data file, or build the data again (python -m data_recipes.build)."
        )


def check_lengths(groups: Iterable[PictureGroup], longest: int, context: int) -> None:
    """Refuse examples that do not fit, rather than cut them.

    Args:
        groups: with their questions.
        longest: most tokens a sequence, of the recipe.
        context: most tokens that the language model can read.
    Raises:
        DataError: says how many do not fit, and the longest of them.
    """
    limit = min(longest, context)
    lengths = [(len(one.prompt) + len(one.answer), one.name) for group in groups for one in group.questions]
    over = sorted((one for one in lengths if one[0] > limit), reverse=True)
    if over:
        named = ", ".join(f"{name} ({length})" for length, name in over[:SHOWN])
        mend = "raise `longest` or shorten" if longest < context else "the language model reads no more, so shorten"
        raise DataError(
            f"{len(over)} of {len(lengths)} examples take more than {limit} tokens: {named}; {mend} the texts."
        )


def check_ends(groups: Iterable[PictureGroup], eos_ids: Collection[int]) -> None:
    """Refuse a chat template that does not end answers: the model would never learn to stop.

    Args:
        groups: with their questions.
        eos_ids: tokens that end an answer.
    Raises:
        DataError: names the first example without an end token.
    """
    for group in groups:
        for one in group.questions:
            if not set(one.answer[-2:]) & set(eos_ids):
                raise DataError(
                    f"the answer of example {one.name!r} has no end token, so the model would not learn to stop. "
                    "Let the chat template write the tokenizer's EOS token after every answer."
                )


def check_patients(
    training: Sequence[Path],
    held_out: Sequence[Path],
    read: Callable[[Path], Iterable[Example | Preference]] = read_examples,
    read_held_out: Callable[[Path], Iterable[Example | Preference]] = read_examples,
) -> None:
    """Refuse training data on patients who are also measured on.

    Args:
        training: data files that are trained on.
        held_out: files that are not.
        read: reads a file that is trained on.
        read_held_out: reads one that is not.
    Raises:
        DataError: a patient stands in both; it says how many do, and names the files, never the patients.
    """
    trained = {path: {one.patient for one in read(path) if one.patient} for path in training}
    for path in held_out:
        kept = {one.patient for one in read_held_out(path) if one.patient}
        for other, seen in trained.items():
            if seen & kept:
                raise DataError(
                    f"{len(seen & kept)} of {len(kept)} patients of {path} also stand in {other}, which is trained on. "
                    "Split by patient: python -m data_recipes.build keeps a `group` together."
                )


def check_rewards(path: Path, examples: Sequence[Example], rewards: Collection[str]) -> None:
    """Refuse examples that a reward cannot judge, rather than score them as wrong.

    Args:
        path: of the data file.
        examples: in it.
        rewards: names of the recipe's rewards; a learned one can judge any example.
    Raises:
        DataError: the file is empty, or says how many cannot be judged, by which reward, and the first five.
    """
    if not examples:
        raise DataError(f"{path} holds no examples; build it again or take it out of `data:`.")
    for name in set(rewards) & set(REWARDS):
        unfit = [one.id for one in examples if not REWARDS[name].applies(one)]
        if unfit:
            raise DataError(
                f"{len(unfit)} of {len(examples)} examples of {path} cannot be judged by {name}, first "
                f"{', '.join(unfit[:SHOWN])}; it needs {REWARDS[name].needs}. Take them out, or the reward."
            )


def check_room(turned: Sequence[Turned], answer: int, context: int) -> None:
    """Refuse prompts that leave no room for the answers to be drawn.

    Args:
        turned: questions as tokens.
        answer: most tokens of a drawn answer.
        context: most tokens that the language model can read.
    Raises:
        DataError: says how many do, and the longest of them.
    """
    over = sorted(((len(one.prompt), one.name) for one in turned if len(one.prompt) + answer > context), reverse=True)
    if over:
        named = ", ".join(f"{name} ({length})" for length, name in over[:SHOWN])
        raise DataError(
            f"{len(over)} of {len(turned)} prompts leave no room for {answer} tokens of an answer in the {context} "
            f"that the language model reads: {named}. Shorten the texts, or lower `max_new_tokens`."
        )
