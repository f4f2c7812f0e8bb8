"""A data file through a reward model: a line of scores a record, and what they say in all."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from assistant.errors import DataError
from data_recipes.jsonl import read_records
from data_recipes.judged import Judged
from data_recipes.schema import Example, Preference
from training.checks import check_pictures
from training.reward_accuracy import pair_accuracy, render_accuracy
from training.reward_model import Asked, RewardModel

Record = Example | Judged | Preference


def score_file(
    model: Path | str,
    file: Path,
    *,
    predictions: Path | None = None,
    limit: int | None = None,
    device: str = "auto",
) -> tuple[list[dict[str, Any]], str]:
    """Score the answers in a file.

    Args:
        model: folder of a reward model.
        file: examples, answers judged one by one, or preferences.
        predictions: what another model answered to these examples, by id, to be scored in their place.
        limit: at most so many records.
        device: as in `load_model`.
    Returns:
        A line a record, and a text: for preferences the table of rightly ordered pairs, else the mean. A line has id,
        reward and chance (that it beats an average answer of the reward model's training); of a judged answer also
        good; of a preference instead reason, and chosen and rejected with their rewards.
    Raises:
        DataError: the file is broken or empty, an image is missing, or the predictions do not belong to it.
        ModelError: the folder holds no reward model.
    """
    records = list(islice(read_records(file, _record), limit))
    if not records:
        raise DataError(f"{file} holds no answers; give a file that data_recipes.build wrote.")
    kinds = {isinstance(one, Preference) for one in records}
    if len(kinds) > 1:
        raise DataError(f"{file} holds preferences and single answers; put them into two files.")
    said = _predictions(predictions, file, records) if predictions is not None else {}
    asked = [_asked(one, file.parent, said) for one in records]
    check_pictures(sorted({path for one in asked for path in one.images}))
    scorer = RewardModel.open(model, device=device)
    scores = scorer.score(asked)
    if kinds == {True}:
        return _preferences(records, asked, scores, scorer)
    lines = []
    for one, (reward, *_) in zip(records, scores, strict=True):
        judged = {"good": one.good} if isinstance(one, Judged) else {}
        lines.append({"id": _id(one), "reward": round(reward, 4), "chance": round(scorer.chance(reward), 4), **judged})
    return lines, _tell(lines)


def _record(values: dict[str, Any]) -> Record:
    if isinstance(values, dict) and "chosen" in values:
        return Preference.from_dict(values)
    return Judged.from_dict(values) if isinstance(values, dict) and "good" in values else Example.from_dict(values)


def _id(one: Record) -> str:
    return one.example.id if isinstance(one, Judged) else one.id


def _asked(one: Record, root: Path, said: Mapping[str, str]) -> Asked:
    if isinstance(one, Preference):
        messages = [*one.messages, {"role": "assistant", "content": one.chosen}]
        example = Example(one.id, one.images, messages, "chat", "open", source=one.source, licence=one.licence)
        return Asked(tuple(one.image_paths(root)), example, (one.chosen, one.rejected))
    example = one.example if isinstance(one, Judged) else one
    answer = said.get(example.id, example.messages[-1]["content"])
    return Asked(tuple(example.image_paths(root)), example, (answer,))


def _predictions(path: Path, file: Path, records: list[Record]) -> dict[str, str]:
    def read(values: dict[str, Any]) -> tuple[str, str]:
        if not isinstance(values, dict) or not all(isinstance(values.get(name), str) for name in ("id", "prediction")):
            raise DataError("a line has no id or no prediction; give predictions.jsonl of training.evaluate.")
        return values["id"], values["prediction"]

    said = dict(read_records(path, read))
    if any(isinstance(one, Preference) for one in records):
        raise DataError(f"{file} holds preferences, which have both answers; take --predictions out.")
    lost = [_id(one) for one in records if _id(one) not in said]
    if lost:
        raise DataError(
            f"{len(lost)} of {len(records)} examples of {file} have no line in {path}, first {', '.join(lost[:5])}. "
            "Give the data file that was evaluated."
        )
    return said


def _preferences(
    records: list[Record], asked: list[Asked], scores: list[list[float]], scorer: RewardModel
) -> tuple[list[dict[str, Any]], str]:
    import numpy as np

    found = [one for one in records if isinstance(one, Preference)]
    lines = [
        {"id": one.id, "reason": one.reason, "chosen": round(first, 4), "rejected": round(second, 4)}
        for one, (first, second) in zip(found, scores, strict=True)
    ]
    tokens = np.array([[len(scorer.tokens.encode(text)) for text in one.answers] for one in asked])
    groups = [one.patient or "|".join(one.images) or one.id for one in found]
    return lines, render_accuracy(pair_accuracy(np.array(scores), tokens, [one.reason for one in found], groups))


def _tell(lines: list[dict[str, Any]]) -> str:
    parts = {"all": lines} | {
        name: kept
        for name, good in (("wanted", True), ("unwanted", False))
        if (kept := [one for one in lines if one.get("good") is good])
    }
    return "".join(
        f"{name}: {len(part)} answers, mean reward {statistics.fmean(one['reward'] for one in part):.3f}\n"
        for name, part in parts.items()
    )
