"""How much worse do the answers get when the pictures get worse? The same questions over corrupted pictures."""

from __future__ import annotations

import random
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from assistant.imaging.picture import Picture
from training.evaluation.answers import Asks, Request, ask_all
from training.evaluation.corruptions import CORRUPTIONS, STRENGTHS, corrupt
from training.evaluation.items import Item
from training.evaluation.summary import Prediction, Rows
from training.metrics import exact_match
from training.uncertainty import bootstrap_mean


def run_robustness(
    asker: Asks, rows: Rows, load: Callable[[Path], Picture], *, limit: int, told: Callable[[int], None], seed: int = 0
) -> dict[str, Any]:
    """Ask questions again over corrupted pictures.

    Args:
        asker: of the model.
        rows: the answers over the pictures as they are; questions with a picture and a judged answer are taken.
        load: reads a picture.
        limit: at most so many questions, drawn by chance; each is asked 30 times.
        told: called with the number of questions done.
        seed: of the draw and of the corruptions.

    Returns:
        `n`, the `accuracy` over the pictures as they are, and for each corruption a list by strength of `accuracy`,
        `drop` and `answers_changed`, and `mean_drop` over its strengths; `mean_drop` of all.
    """
    usable = [row for row in rows if row.item.images and row.right is not None]
    if not usable:
        return {"n": 0}
    random.Random(seed).shuffle(usable)
    usable = sorted(usable[:limit], key=lambda row: row.item.images)
    groups = [row.item.group for row in usable]
    found: dict[str, Any] = {
        "n": len(usable),
        "accuracy": bootstrap_mean([float(bool(row.right)) for row in usable], groups).to_dict(),
        "corruptions": {},
    }
    done, drops = 0, []
    for name in CORRUPTIONS:
        by_strength, own = [], []
        for strength in STRENGTHS:
            requests = [partial(_request, row.item, name, strength, load, seed) for row in usable]
            replies = list(
                ask_all(asker, requests, told=lambda count, done=done: told(done + count))  # type: ignore[misc]
            )
            done += len(usable)
            by_strength.append({"strength": strength, **_scores(usable, [reply.text for reply in replies])})
            own.append(_drops(usable, [reply.text for reply in replies]))
        drops.append(np.mean(own, axis=0))
        found["corruptions"][name] = {
            "strengths": by_strength,
            "mean_drop": bootstrap_mean(drops[-1], groups).to_dict(),
        }
    found["mean_drop"] = bootstrap_mean(np.mean(drops, axis=0), groups).to_dict()
    return found


def _drops(rows: Rows, answers: list[str]) -> list[float]:
    return [float(bool(row.right)) - float(bool(row.item.right(text))) for row, text in zip(rows, answers, strict=True)]


def _scores(rows: Rows, answers: list[str]) -> dict[str, Any]:
    groups = [row.item.group for row in rows]
    changed = [_changed(row, text) for row, text in zip(rows, answers, strict=True)]
    drops = _drops(rows, answers)
    right = [float(bool(row.right)) - drop for row, drop in zip(rows, drops, strict=True)]
    numbers = {"accuracy": right, "drop": drops, "answers_changed": changed}
    return {name: bootstrap_mean(values, groups).to_dict() for name, values in numbers.items()}


def _changed(row: Prediction, text: str) -> float:
    return float(not exact_match(row.reply.text, text))


def _request(item: Item, name: str, strength: int, load: Callable[[Path], Picture], seed: int) -> Request:
    pictures = [
        corrupt(load(path), name, strength, seed + zlib.crc32(path.name.encode()) % 100_000) for path in item.images
    ]
    return item.request(pictures)
