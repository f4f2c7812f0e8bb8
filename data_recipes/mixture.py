"""The `mixture` recipe: several example files joined with weights into one training file, images and all.

A part's weight is its share of the mixture. A part that is too small for its share is repeated in whole passes, one
that is too large is sampled. Rows are read by their place in the file, so that files of any size mix in little memory.
"""

from __future__ import annotations

import json
import logging
import random
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assistant.errors import DataError
from data_recipes.auditing.tally import normal
from data_recipes.own import Options, place_image
from data_recipes.schema import Example, read_examples
from data_recipes.schema_check import show

logger = logging.getLogger(__name__)

NAME = "train.jsonl"


@dataclass(frozen=True)
class Part:
    """One file of the mixture."""

    path: Path
    weight: float
    folder: str
    """Where its images stand in the mixture: "images/<folder>/…"; also leads its ids."""


def add_options(options: Options) -> None:
    """Add this recipe's options.

    Args:
        options: of the command line.
    """
    options.add_argument(
        "--part",
        action="append",
        default=[],
        metavar="FILE=WEIGHT",
        help="an example file and its share of the mixture, relative to the others (=1 if left out); repeat it",
    )
    options.add_argument(
        "--keep-apart",
        action="append",
        type=Path,
        default=[],
        metavar="FILE",
        help="held-out examples: rows with one of their pictures (or copies of it), patients or ids are left out",
    )


def build(
    source: Path | None, out: Path, *, limit: int | None = None, seed: int = 0, link: bool = False, **options: Any
) -> dict[str, int]:
    """Write the mixture as `train.jsonl` in random order.

    Args:
        source: not used: parts are named one by one.
        out: folder to write into.
        limit: rows in all; None takes as many as the parts have together.
        seed: decides which rows, and their order.
        link: put symbolic links to the images instead of hard links or copies.
        **options: as `add_options` names them.
    Returns:
        File name to its number of examples.
    Raises:
        DataError: a part is missing, empty or broken, or a weight is no positive number.
    """
    del source
    parts = read_parts(options["part"])
    barred = _Barred(options["keep_apart"])
    rows = [_rows(part, barred) for part in parts]
    if empty := [str(part.path) for part, places in zip(parts, rows, strict=True) if not places]:
        raise DataError(f"{', '.join(empty)} gives no example to the mixture; take it out or build it again.")
    rng = random.Random(seed)
    counts = shares([part.weight for part in parts], limit or sum(map(len, rows)))
    order = [
        (number, place, turn)
        for number, count in enumerate(counts)
        for place, turn in _picked(rows[number], count, rng)
    ]
    rng.shuffle(order)
    streams = [part.path.open("rb") for part in parts]
    try:
        with (out / NAME).open("w", encoding="utf-8") as stream:
            for number, position, turn in order:
                streams[number].seek(position)
                record = _record(streams[number].readline(), parts[number], turn, out, link)
                stream.write(json.dumps(record, ensure_ascii=False) + "\n")
    finally:
        for one in streams:
            one.close()
    for part, count, places in zip(parts, counts, rows, strict=True):
        logger.info("%s: %d rows, %.2f passes", part.path, count, count / len(places))
    return {NAME: len(order)}


def read_parts(given: Sequence[str]) -> list[Part]:
    """Read what `--part` was given.

    Args:
        given: `FILE=WEIGHT` or `FILE` each.
    Returns:
        The parts, each with a folder name of its own.
    Raises:
        DataError: all that is wrong with them.
    """
    if not given:
        raise DataError("name the files to mix, with --part FILE=WEIGHT for each.")
    faults: list[str] = []
    parts: list[Part] = []
    for text in given:
        name, sign, weight = text.rpartition("=")
        if not sign or Path(text).exists():
            name, weight = text, "1"
        path = Path(name)
        try:
            number = float(weight)
        except ValueError:
            number = -1
        if not 0 < number < float("inf"):
            faults.append(f"--part {text!r}: weight is {weight!r}; give a number above 0.")
        if not path.is_file():
            faults.append(f"--part {text!r}: {path} is no file; give an example file.")
        folder = "-".join(normal(f"{path.parent.name} {path.stem}").split()) or "part"
        taken = {part.folder for part in parts}
        parts.append(Part(path, number, folder if folder not in taken else f"{folder}-{len(parts)}"))
    if faults:
        raise DataError("\n".join(faults))
    return parts


def shares(weights: Sequence[float], total: int) -> list[int]:
    """Part a number of rows by weight, to the row (largest remainders).

    Args:
        weights: above 0.
        total: rows in all.
    Returns:
        Rows of each part, at least 1; their sum is `total` where that can be.
    """
    exact = [weight / sum(weights) * total for weight in weights]
    counts = [int(one) for one in exact]
    for at in sorted(range(len(exact)), key=lambda one: counts[one] - exact[one])[: total - sum(counts)]:
        counts[at] += 1
    return [max(1, count) for count in counts]


class _Barred:
    """What stands in held-out files and so must not be learned from."""

    def __init__(self, files: Sequence[Path]) -> None:
        self.ids: set[str] = set()
        self.patients: set[tuple[str, str]] = set()
        self.questions: set[str] = set()
        self.pictures: list[str] = []
        for file in files:
            for example in read_examples(file):
                self.ids.add(example.id)
                if example.patient:
                    self.patients.add((example.source, example.patient))
                if not example.images:
                    self.questions.add(normal(example.messages[0]["content"]))
                self.pictures += map(str, example.image_paths(file.parent))
        self.pictures = sorted(set(self.pictures))

    def holds(self, example: Example) -> bool:
        """Tell whether a row's id, patient or pictureless question is held out."""
        return (
            example.id in self.ids
            or (example.source, str(example.patient)) in self.patients
            or (not example.images and normal(example.messages[0]["content"]) in self.questions)
        )

    def seen(self, paths: Sequence[str]) -> set[str]:
        """Return those of some pictures that are held out, exactly or nearly, also mirrored or turned."""
        if not self.pictures or not paths:
            return set()
        import numpy as np

        from data_recipes.auditing.images import SAME, near_pairs, read_images

        images = read_images([*self.pictures, *paths])
        held = {images.content[path] for path in self.pictures if path in images.content}
        own = {images.content[path] for path in paths if path in images.content}
        near = near_pairs(images, np.array(sorted(held), int), np.array(sorted(own), int))
        barred = held | {pair.second for pair in near if pair.value >= SAME}
        return {path for path in paths if images.content.get(path) in barred}


def _rows(part: Part, barred: _Barred) -> array[int]:
    """Return where each row of a part begins in its file, without those that are held out; checks every row."""
    begins: list[int] = []
    with part.path.open("rb") as stream:
        position = 0
        for line in stream:
            if line.strip():
                begins.append(position)
            position += len(line)
    pictures: dict[str, None] = {}
    for example in read_examples(part.path):
        pictures.update(dict.fromkeys(map(str, example.image_paths(part.path.parent))))
    if missing := next((path for path in pictures if not Path(path).is_file()), None):
        raise DataError(f"{part.path}: field 'images': {show(missing)} is missing; add it, or build the part again.")
    seen = barred.seen(list(pictures))
    kept = array("q")
    for position, example in zip(begins, read_examples(part.path), strict=True):
        if not barred.holds(example) and not seen & set(map(str, example.image_paths(part.path.parent))):
            kept.append(position)
    if len(kept) < len(begins):
        logger.info("%s: %d rows left out, as they are held out", part.path, len(begins) - len(kept))
    return kept


def _picked(places: Sequence[int], count: int, rng: random.Random) -> list[tuple[int, int]]:
    """Return `count` rows with the number of the pass, from 0: whole passes, then a sample."""
    passes, rest = divmod(count, len(places))
    whole = [(place, turn) for turn in range(passes) for place in places]
    return whole + [(place, passes) for place in rng.sample(places, rest)]


def _record(line: bytes, part: Part, turn: int, out: Path, link: bool) -> dict[str, Any]:
    """Return a row as it stands in the mixture, with its images put in place."""
    record: dict[str, Any] = json.loads(line)
    record["id"] = f"{part.folder}/{record['id']}" + (f"~{turn}" if turn else "")
    targets = [f"images/{part.folder}/{name.removeprefix('images/')}" for name in record["images"]]
    for name, target in zip(record["images"], targets, strict=True):
        place_image(part.path.parent / name, out / target, link=link)
    record["images"] = targets
    return record
