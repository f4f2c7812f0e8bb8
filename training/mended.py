"""Pairs of a model's own answers that differ in one sentence: one that should not be there, or one that should.

A pair of a true answer and a spoilt one also teaches the true one's words. Here both answers are the model's own, so
that a preference tells of the fault and of nothing else. As the better answer is always the shorter one then, as many
pairs say the reverse: a report that leaves out one of its other sentences is worse.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from pathlib import Path

from assistant.conversation import ALL_SECTIONS
from assistant.errors import DataError
from assistant.review import remove_change
from assistant.words import sentences
from data_recipes.preferences import preference_of
from data_recipes.schema import Example, Preference
from training.best_of import Drawing, draw, read_asked, write_own
from training.writer import Writer

PRIOR = "mentions a prior"
SHORTENED = "leaves out a sentence"
_HEAD = re.compile(rf"^\s*(?:\**({'|'.join(ALL_SECTIONS)})\**\s*:\s*)?(?:[-*•]\s+)?", re.IGNORECASE)
_NUMBER = re.compile(r"\d+[.)]")


def without_priors(text: str) -> str | None:
    """Take out of an answer what the review would: the sentences that speak of change.

    Args:
        text: as the model wrote it.
    Returns:
        The rest word for word, or None where nothing, or nothing of a section but the comparison, would be left.
    """
    lines = []
    for line in text.strip().split("\n"):
        head = _HEAD.match(line)
        start, name = (head.end(), head[1]) if head else (0, None)
        body, removed = remove_change(line[start:])
        if not removed:
            lines.append(line)
        elif body:
            lines.append(line[:start] + body)
        elif name and name.lower() != "comparison":
            return None
    return "\n".join(lines).strip() or None


def shortened(text: str, rng: random.Random) -> str | None:
    """Leave one sentence out of a report's findings, or of an answer without sections.

    Args:
        text: the answer.
        rng: draws the sentence.
    Returns:
        The rest word for word, or None where there are not two sentences to choose from.
    """
    lines = text.strip().split("\n")
    heads = [_HEAD.match(line) for line in lines]
    named = [head[1].lower() if head and head[1] else None for head in heads]
    wanted = "findings" if any(named) else None
    choices = []
    for place, (line, head, name) in enumerate(zip(lines, heads, named, strict=True)):
        start = head.end() if head else 0
        said = sentences(line[start:])
        numbers = [at for at, one in enumerate(said) if _NUMBER.fullmatch(one)]
        # A number belongs to the sentence behind it; the last one can go without a gap in the list.
        units = [[at - 1, at] if at - 1 in numbers else [at] for at in range(len(said)) if at not in numbers]
        if name == wanted and len(units) > 1:
            free = [unit for unit in units if len(unit) == 1 or unit[0] == numbers[-1]]
            choices += [(place, line[:start], [one for at, one in enumerate(said) if at not in unit]) for unit in free]
    if not choices:
        return None
    place, head_text, kept = rng.choice(choices)
    lines[place] = head_text + " ".join(kept)
    return "\n".join(lines)


def mended_pairs(
    examples: Sequence[Example], texts: Sequence[Sequence[str]], *, balanced: bool = True, seed: int = 0
) -> list[Preference]:
    """Pair answers that speak of a prior with the same without it, and others with the same made shorter.

    Args:
        examples: of one image at most.
        texts: a model's answers to each.
        balanced: add as many pairs whose worse answer leaves out a sentence, as far as there are.
        seed: of what is left out where.
    Returns:
        The pairs, none twice.
    """
    rng = random.Random(seed)
    faulty: list[Preference] = []
    shorter: list[Preference] = []
    for example, row in zip(examples, texts, strict=True):
        for number, text in enumerate(dict.fromkeys(one.strip() for one in row)):
            better = without_priors(text)
            if better is None:
                continue
            if better != text:
                faulty.append(preference_of(example, text, PRIOR, chosen=better, mark=f"own-prior-{number}"))
            less = shortened(better, rng)
            if less is not None:
                shorter.append(preference_of(example, less, SHORTENED, chosen=better, mark=f"own-less-{number}"))
    rng.shuffle(shorter)
    return [*faulty, *(shorter[: len(faulty)] if balanced else ())]


def write_mended(
    model: str, data: Path, out: Path, *, drawing: Drawing, limit: int | None = None, task: str | None = None
) -> tuple[int, int]:
    """Let a model answer examples of one image and write its answers in such pairs: `preferences.jsonl`, and pictures.

    Args:
        model: folder of what answers.
        data: examples; those of several images, which may hold a prior, are passed over.
        out: folder to make.
        drawing: how answers are drawn.
        limit: at most so many examples.
        task: only examples of this task, such as "report"; None for all.
    Returns:
        Numbers of pairs and of questions.
    Raises:
        ConfigError: `out` is taken.
        DataError: there are no such examples, images are missing, or no answer speaks of a prior.
    """
    examples = [one for one in read_asked(data, out, limit=limit, task=task) if len(one.images) < 2]
    if not examples:
        raise DataError(f"{data} holds only examples of several images, which may have a prior; give others.")
    pairs = mended_pairs(examples, draw(Writer(model), examples, data.parent, drawing), seed=drawing.seed)
    if not pairs:
        raise DataError(
            f"none of {len(examples) * drawing.samples} answers speaks of a prior in a sentence that can be taken out: "
            "there is nothing to mend. Draw more samples, or give questions on which the model has the fault."
        )
    write_own(pairs, data.parent, out)
    return len(pairs), len(examples)
