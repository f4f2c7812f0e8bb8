"""Best-of-n: several answers to a question, scored, and the best paired with the worst."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from assistant.errors import ConfigError, DataError
from data_recipes.instruct import place_image
from data_recipes.preferences import preference_of
from data_recipes.schema import Example, Preference, read_examples, write_preferences
from training.checks import check_pictures
from training.grpo_settings import REWARD_NAMES
from training.metrics import answer_tokens
from training.reward_model import CARD, Asked, RewardModel
from training.rewards import REWARDS
from training.writer import Writer

logger = logging.getLogger(__name__)

Judge = Callable[[Sequence[Example], Sequence[Sequence[str]]], list[list[float]]]
"""Examples and the answers to each, to their scores, 0 to 1."""


@dataclass(frozen=True)
class Drawing:
    """How answers are drawn."""

    samples: int = 6
    """For each question."""
    temperature: float = 1.0
    """How freely."""
    max_new_tokens: int = 160
    """Most tokens of an answer."""
    seed: int = 0
    """Of the drawing."""

    def __post_init__(self) -> None:
        if self.samples < 1:
            raise ConfigError(f"samples is {self.samples}; use 1 or more.")
        if self.temperature < 0:
            raise ConfigError(f"temperature is {self.temperature}; use 0 for the likeliest answer, or a number above.")
        if self.max_new_tokens < 1:
            raise ConfigError(f"max_new_tokens is {self.max_new_tokens}; use 1 or more.")


def find_judge(name: str, examples: Sequence[Example], root: Path) -> Judge:
    """Find what a judge's name stands for, and check that it can judge these examples.

    Args:
        name: of a reward that can be checked, or a folder of a reward model.
        examples: that will be judged.
        root: folder of their data file.
    Returns:
        The judge.
    Raises:
        ConfigError: it is neither.
        DataError: the reward cannot judge some of the examples.
        ModelError: the reward model is broken.
    """
    if name in REWARDS:
        reward = REWARDS[name]
        unfit = [one.id for one in examples if not reward.applies(one)]
        if unfit:
            raise DataError(
                f"{len(unfit)} of {len(examples)} examples cannot be judged by {name}, first {', '.join(unfit[:5])}; "
                f"it needs {reward.needs}. Take them out, or choose another judge."
            )
        return lambda asked, texts: [
            [reward.score(text, one) for text in row] for one, row in zip(asked, texts, strict=True)
        ]
    if not (Path(name) / CARD).is_file():
        raise ConfigError(
            f"judge is {name!r}; choose from {', '.join(REWARD_NAMES)}, or give a folder that training.reward wrote."
        )
    model = RewardModel.open(name)
    return lambda asked, texts: model.chances(
        [Asked(tuple(one.image_paths(root)), one, tuple(row)) for one, row in zip(asked, texts, strict=True)]
    )


def pair_of(example: Example, scores: Mapping[str, float], *, gap: float, reason: str) -> Preference | None:
    """Pair the best answer with the worst; of several, those two that are nearest in length.

    Args:
        example: the question.
        scores: of each answer; empty answers are left out.
        gap: least difference of the two.
        reason: what is wrong with the worse.
    Returns:
        The pair, or None where all answers are about as good.
    """
    said = {text: score for text, score in scores.items() if text.strip()}
    best, worst = max(said.values(), default=0.0), min(said.values(), default=0.0)
    if best - worst < gap or best == worst:
        return None
    good = [text for text, score in said.items() if score == best]
    bad = [text for text, score in said.items() if score == worst]
    chosen, rejected = min(
        ((one, other) for one in good for other in bad),
        key=lambda two: abs(len(answer_tokens(two[0])) - len(answer_tokens(two[1]))),
    )
    return preference_of(example, rejected, reason, chosen=chosen, mark="own")


def draw(writer: Writer, examples: Sequence[Example], root: Path, drawing: Drawing) -> list[list[str]]:
    """Draw answers; returns those to each example, `drawing.samples` of them."""
    columns = []
    for place in range(drawing.samples):
        seed = drawing.seed * drawing.samples + place
        columns.append(
            writer.write(examples, root, temperature=drawing.temperature, seed=seed, longest=drawing.max_new_tokens)
        )
        logger.info("drew answer %d of %d to %d questions", place + 1, drawing.samples, len(examples))
    return [list(row) for row in zip(*columns, strict=True)]


def write_pairs(
    model: str,
    data: Path,
    out: Path,
    *,
    judge: str,
    drawing: Drawing,
    gap: float = 0.3,
    limit: int | None = None,
    task: str | None = None,
) -> tuple[int, int]:
    """Write a model's own answers in pairs: `preferences.jsonl` and its pictures.

    Args:
        model: folder of what answers.
        data: examples; the last question of each is answered.
        out: folder to make.
        judge: see `find_judge`.
        drawing: how answers are drawn.
        gap: least difference of a pair, of scores from 0 to 1.
        limit: at most so many examples.
        task: only examples of this task, such as "report"; None for all.
    Returns:
        Numbers of pairs and of questions.
    Raises:
        ConfigError: the judge is unknown, the gap is no share, or `out` is taken.
        DataError: there are no examples, images are missing, or no two answers differ enough.
    """
    if not 0 < gap <= 1:
        raise ConfigError(f"gap is {gap}; scores lie between 0 and 1, so use a number above 0 and up to 1.")
    if drawing.samples < 2:
        raise ConfigError(f"samples is {drawing.samples}; a pair takes two answers, so use 2 or more.")
    if not drawing.temperature:
        raise ConfigError("temperature is 0; equal answers make no pair, so use one above 0.")
    examples = read_asked(data, out, limit=limit, task=task)
    judged = find_judge(judge, examples, data.parent)
    texts = draw(Writer(model), examples, data.parent, drawing)
    reason = f"lower {judge}" if judge in REWARDS else "lower learned reward"
    found = []
    for one, row, scores in zip(examples, texts, judged(examples, texts), strict=True):
        pair = pair_of(one, dict(zip(row, scores, strict=True)), gap=gap, reason=reason)
        found += [pair] if pair else []
    if not found:
        raise DataError(
            f"none of {len(examples)} questions has two answers that are {gap} apart. Draw more samples, raise the "
            "temperature, or lower the gap."
        )
    write_own(found, data.parent, out)
    return len(found), len(examples)


def read_asked(data: Path, out: Path, *, limit: int | None = None, task: str | None = None) -> list[Example]:
    """Read the examples that a model is to answer, before anything is drawn.

    Args:
        data: examples.
        out: folder that is to be made of them.
        limit: at most so many.
        task: only those of this task; None for all.
    Returns:
        The examples, at least one.
    Raises:
        ConfigError: `out` is taken.
        DataError: there are no examples, or images are missing.
    """
    if (out / "preferences.jsonl").exists():
        raise ConfigError(f"{out} already holds preferences. Give another folder, or remove it first.")
    examples = list(islice((one for one in read_examples(data) if task in (None, one.task)), limit))
    if not examples:
        wanted = f"examples of task {task!r}" if task else "examples"
        raise DataError(f"{data} holds no {wanted}; give a file that data_recipes.build wrote.")
    check_pictures(sorted({path for one in examples for path in one.image_paths(data.parent)}))
    return examples


def write_own(pairs: Sequence[Preference], root: Path, out: Path) -> None:
    """Write pairs, and their pictures beside them.

    Args:
        pairs: to write.
        root: folder of their pictures.
        out: folder to make.
    """
    for name in sorted({name for pair in pairs for name in pair.images}):
        place_image(root / name, out / name, link=False)
    # Last, so that it never names an image that is not there.
    write_preferences(out / "preferences.jsonl", pairs)
