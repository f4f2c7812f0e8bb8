"""The `curriculum` recipe: an example file parted into stages from easy to hard, to be learned one after the other.

Difficulty follows from what is known of an example: the kind of answer, its length, how rare it is among the answers to
its kind of question, how many pictures and findings there are, and how small the smallest finding is.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from assistant.errors import DataError
from data_recipes.auditing.tally import normal
from data_recipes.own import Options, place_image
from data_recipes.schema import Example, read_examples, write_examples

STAGES = 3
_KIND = {"closed": 0.0, "choice": 0.5, "open": 1.0, "report": 2.5}


def add_options(options: Options) -> None:
    """Add this recipe's options.

    Args:
        options: of the command line.
    """
    options.add_argument("--stages", type=int, default=STAGES, metavar="N", help=f"number of stages ({STAGES})")


def build(
    source: Path, out: Path, *, limit: int | None = None, seed: int = 0, link: bool = False, **options: Any
) -> dict[str, int]:
    """Write `stage-1.jsonl` (easiest) to `stage-N.jsonl`, of about equal size, each from easy to hard.

    Args:
        source: a file of examples, such as `train.jsonl`.
        out: folder to write into.
        limit: at most this many examples.
        seed: not used.
        link: put symbolic links to the images instead of hard links or copies.
        **options: as `add_options` names them.
    Returns:
        File name to its number of examples.
    Raises:
        DataError: there are more stages than examples.
    """
    del seed
    examples = [example for example, _ in zip(read_examples(source), range(limit or 2**62), strict=False)]
    stages = options["stages"]
    if not 1 <= stages <= len(examples):
        raise DataError(f"--stages is {stages}, but {source} has {len(examples)} examples; use 1 to {len(examples)}.")
    answers = Counter(_answer(example) for example in examples)
    ordered = sorted(examples, key=lambda example: (difficulty(example, answers), example.id))
    for name in sorted({name for example in examples for name in example.images}):
        place_image(source.parent / name, out / name, link=link)
    edges = [round(len(ordered) * stage / stages) for stage in range(stages + 1)]
    return {
        f"stage-{stage + 1}.jsonl": write_examples(
            out / f"stage-{stage + 1}.jsonl", ordered[edges[stage] : edges[stage + 1]]
        )
        for stage in range(stages)
    }


def difficulty(example: Example, answers: Mapping[str, int]) -> float:
    """Score how hard an example is to learn.

    Args:
        example: any.
        answers: how often each normalised answer is given in the whole file.
    Returns:
        A sum without unit: 0 to 2.5 for the kind of answer, the logarithm of its length in words, 0 to 2 for how rare
        it is, 0.5 for each further picture and finding, and up to 1 for a small finding.
    """
    truth = example.truth or {}
    found = truth.get("findings")
    findings = [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []
    sizes = [one["size_mm"] for one in findings if isinstance(one.get("size_mm"), int | float)]
    words = len(example.messages[-1]["content"].split())
    rarity = min(2.0, math.log10(max(1, sum(answers.values())) / max(1, answers.get(_answer(example), 1))))
    small = 1.0 / (1.0 + min(sizes) / 10.0) if sizes else 0.0
    more = max(0, len(example.images) - 1) + max(0, len(findings) - 1) + max(0, len(example.messages) // 2 - 1)
    return _KIND[example.answer_type] + math.log1p(words) + rarity + 0.5 * more + small


def _answer(example: Example) -> str:
    return normal(example.messages[-1]["content"])
