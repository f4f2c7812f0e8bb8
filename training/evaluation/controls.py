"""Controls: the same questions with a blank, a noise, a swapped and no picture. Do the answers depend on the image?"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from assistant.imaging.picture import Picture
from training.evaluation.answers import Asks, Request, ask_all
from training.evaluation.items import Item
from training.evaluation.summary import Prediction
from training.metrics import exact_match
from training.uncertainty import bootstrap_mean

CONTROLS = ("blank", "noise", "swapped", "question_only")
_WITH = {"blank": "a blank image", "noise": "a noise image", "swapped": "a swapped image", "question_only": "no image"}
LEAST_CHANGED = 0.05
"""With a control picture fewer answers change than this: the answers do not depend on the image."""

Load = Callable[[Path], Picture]


@dataclass(frozen=True)
class ControlRow:
    """One question with its answers to the true picture and to another."""

    item: Item
    true: Prediction
    answer: str

    @property
    def changed(self) -> bool:
        """Whether the two answers differ."""
        return not exact_match(self.true.reply.text, self.answer)

    @property
    def drop(self) -> float:
        """1 if only the first answer is right, -1 if only the second, else 0."""
        return float(bool(self.true.right)) - float(bool(self.item.right(self.answer)))


def blank(picture: Picture) -> Picture:
    """Return a black picture of the same size."""
    return Picture(np.zeros_like(picture.pixels))


def noise(picture: Picture, seed: int) -> Picture:
    """Return uniform noise of the same size; equal seeds give equal pixels."""
    return Picture(np.random.default_rng(seed).integers(0, 256, picture.pixels.shape, dtype=np.uint8))


def swapped_images(items: Sequence[Item], seed: int) -> list[tuple[Path, ...]]:
    """Give each item the pictures of another patient's.

    Args:
        items: with pictures.
        seed: of the draw.

    Returns:
        As many paths for each item as it has; its own where the data hold no other patient.
    """
    by_count: dict[int, list[Item]] = {}
    for item in items:
        by_count.setdefault(len(item.images), []).append(item)
    rng = random.Random(seed)
    chosen = []
    for item in items:
        others = by_count[len(item.images)]
        tries = (rng.choice(others) for _ in range(50))
        chosen.append(next((one.images for one in tries if one.group != item.group), item.images))
    return chosen


def run_controls(asker: Asks, rows: Sequence[Prediction], load: Load, *, limit: int, told: Callable[[int], None],
                 seed: int = 0) -> dict[str, Any]:  # fmt: skip
    """Ask questions again with other pictures.

    Args:
        asker: of the model.
        rows: the answers to the true pictures; questions with a picture and a judged answer are taken.
        load: reads a picture.
        limit: at most so many questions, drawn by chance.
        told: called with the number of questions done.
        seed: of the draw, the noise and the swap.

    Returns:
        For each control `answers_changed` (share of answers), `accuracy` and `drop`; the `accuracy` with the true
        pictures, and a `verdict` in words. A report needs a picture, so that `question_only` leaves reports out.
    """
    usable = [row for row in rows if row.item.images and row.right is not None]
    if not usable:
        return {"n": 0, "verdict": "There was no question with an image to control."}
    random.Random(seed).shuffle(usable)
    usable = sorted(usable[:limit], key=lambda row: row.item.images)
    swaps = swapped_images([row.item for row in usable], seed)
    groups = [row.item.group for row in usable]
    right = bootstrap_mean([float(bool(row.right)) for row in usable], groups, seed=seed)
    found: dict[str, Any] = {"n": len(usable), "accuracy": right.to_dict()}
    done = 0
    for name in CONTROLS:
        asked = [
            (row, swap)
            for row, swap in zip(usable, swaps, strict=True)
            if name != "question_only" or row.item.answer_type != "report"
        ]
        if not asked:
            continue
        requests = [partial(_request, row.item, name, swap, load, seed) for row, swap in asked]
        replies = ask_all(asker, requests, told=lambda count, done=done: told(done + count))  # type: ignore[misc]
        pairs = [ControlRow(row.item, row, reply.text) for (row, _), reply in zip(asked, replies, strict=True)]
        done += len(asked)
        found[name] = _scores(pairs, seed)
    return {**found, "verdict": verdict(found)}


def _scores(pairs: Sequence[ControlRow], seed: int) -> dict[str, Any]:
    groups = [pair.item.group for pair in pairs]
    numbers = {
        "answers_changed": [float(pair.changed) for pair in pairs],
        "accuracy": [float(bool(pair.item.right(pair.answer))) for pair in pairs],
        "drop": [pair.drop for pair in pairs],
    }
    return {
        "n": len(pairs),
        **{name: bootstrap_mean(values, groups, seed=seed).to_dict() for name, values in numbers.items()},
    }


def _request(item: Item, control: str, swap: Sequence[Path], load: Load, seed: int) -> Request:
    if control == "question_only":
        return item.request(())
    pictures = [load(path) for path in (swap if control == "swapped" else item.images)]
    if control == "blank":
        pictures = [blank(picture) for picture in pictures]
    elif control == "noise":
        pictures = [noise(picture, seed) for picture in pictures]
    else:
        pictures = [replace(picture, patient_key=None, study_key=None) for picture in pictures]
    return item.request(pictures)


def verdict(found: dict[str, Any]) -> str:
    """Say in a sentence whether the answers depend on the image.

    Args:
        found: `answers_changed` and `drop` of each control.

    Returns:
        The verdict: they do if another patient's picture, a blank and noise each change answers, and the swap makes
        them worse beyond chance.
    """
    asked = [name for name in CONTROLS if name in found]
    least = min(asked, key=lambda name: found[name]["answers_changed"]["value"])
    changed, drop = found[least]["answers_changed"]["value"], found["swapped"]["drop"]
    if changed < LEAST_CHANGED:
        return (
            f"THE ANSWERS DO NOT DEPEND ON THE IMAGE: with {_WITH[least]} only {changed:.1%} of them change. "
            "Do not use this model for images."
        )
    if drop["low"] <= 0:
        return (
            f"NO BENEFIT FROM THE IMAGE WAS SHOWN: with another patient's image the accuracy falls by "
            f"{drop['value']:.1%} ({drop['low']:.1%} to {drop['high']:.1%}), which may be chance."
        )
    return (
        f"The answers depend on the image: with another patient's image "
        f"{found['swapped']['answers_changed']['value']:.1%} of them change and the accuracy falls by "
        f"{drop['value']:.1%} ({drop['low']:.1%} to {drop['high']:.1%})."
    )
