"""What a dry run of `align` or `sft` tells: the data, one prompt, the tokens, what trains, memory, steps, licences."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from assistant.errors import DataError
from data_recipes.schema import Example, read_examples
from training.checks import check_ends, check_lengths, check_patients, check_pictures
from training.dataset import PictureGroup, group_by_pictures, picture_weights
from training.evaluation.table import markdown_table
from training.preview_blocks import (
    Planned,
    joined,
    licences_block,
    memory_block,
    plan,
    prompt_block,
    tokens_block,
    weights_block,
)
from training.settings import DataPart, LlavaSettings


@dataclass(frozen=True)
class Part:
    """One data file, read."""

    path: Path
    weight: float
    examples: list[Example]
    pictures: int


def preview(settings: LlavaSettings) -> str:
    """Check all that a run needs and say what it would do.

    Args:
        settings: of the run.
    Returns:
        Several lines.
    Raises:
        DataError: images are missing, patients stand on both sides of a split, an example is too long, or an answer
            has no end; a data file is missing or holds nothing.
        ModelError: the model folder is not whole, or it is not there and no preset says what it will be.
    """
    planned = plan(settings)
    parts = [_read(part) for part in settings.data]
    paths = {path for part in parts for one in part.examples for path in one.image_paths(part.path.parent)}
    check_pictures(sorted(paths))
    check_patients([part.path for part in parts], settings.held_out)
    together = -(-settings.pictures // settings.accumulate)
    return joined(
        [
            planned.note,
            _data_table(parts, settings),
            *_checked(planned, settings, parts),
            weights_block(planned.model),
            memory_block(planned, settings, together, settings.longest, average=bool(settings.average)),
            licences_block(planned, {(one.source, one.licence) for part in parts for one in part.examples}),
        ]
    )


def _read(part: DataPart) -> Part:
    examples = list(read_examples(part.path))
    if not examples:
        raise DataError(f"{part.path} holds no examples; build it again or take it out of `data:`.")
    pictures = {one.images for one in examples}
    return Part(part.path, part.weight, examples, len(pictures))


def _data_table(parts: Sequence[Part], settings: LlavaSettings) -> str:
    draws, total = settings.steps * settings.pictures, sum(part.weight for part in parts)
    rows = []
    for part in parts:
        share = part.weight / total
        kinds = Counter(one.task for one in part.examples)
        told = ", ".join(f"{number} {task}" for task, number in kinds.most_common())
        sources = ", ".join(sorted({one.source for one in part.examples}))
        seen = draws * share / max(1, part.pictures)
        rows.append([part.path.name, sources, told, str(part.pictures), f"{share:.1%}", f"{seen:.1f}"])
    header = ["file", "source", "examples", "pictures", "share of the draws", "times each is drawn"]
    steps = f"{settings.steps} steps of {settings.pictures} pictures, up to {settings.questions} questions each"
    return f"{steps}\n\n{markdown_table(header, rows)}"


def _checked(planned: Planned, settings: LlavaSettings, parts: Sequence[Part]) -> list[str]:
    """Turn everything into tokens and check it, where the tokenizer is there; returns a prompt and the lengths."""
    if planned.tokens is None:
        return []
    groups: list[PictureGroup] = []
    for part, given in zip(parts, settings.data, strict=True):
        found = group_by_pictures(((part.path.parent, one) for one in part.examples), planned.tokens)
        picture_weights(found, given.balance)  # for its errors
        groups += found
    check_lengths(groups, settings.longest, planned.context)
    check_ends(groups, planned.eos_ids)
    asked = [one for group in groups for one in group.questions]
    lengths = {
        "prompt": [len(one.prompt) for one in asked],
        "answer": [len(one.answer) for one in asked],
        "both": [len(one.prompt) + len(one.answer) for one in asked],
    }
    told = f"A sequence holds {settings.longest} tokens at most (`longest`); nothing is cut."
    return [prompt_block(asked[0].name, [("", asked[0])], planned.tokens), tokens_block(lengths, told)]
