"""The `phantom_pairs` recipe: pictures of the same body that differ in one fact, with one question for both.

The idea is MediConfusion's (Sepehri et al. 2024): a model that does not look gives both the same answer, and has one of
them wrong by force. Body, texture, noise and site of a pair are the same; what differs is a finding's presence, name,
side, zone, size or number. The choices are the two true answers, so the question alone is answered at random.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from assistant.errors import DataError
from data_recipes.phantom import Phantom, make_phantom, with_findings
from data_recipes.phantom_findings import KINDS, Finding, Kind
from data_recipes.phantom_recipe import LICENCE, SEED_LIMIT, save
from data_recipes.phantom_reports import location, plural
from data_recipes.schema import Example, write_examples

DEFAULT_LIMIT = 200
SOURCE = "phantom-pairs"
FACTS: tuple[str, ...] = ("presence", "name", "side", "zone", "size", "number")
_SPLITS: tuple[tuple[str, int, float], ...] = (("train", 0, 0.5), ("test", 2, 0.5))


@dataclass(frozen=True)
class Twin:
    """The second picture of a pair, and what to ask."""

    findings: tuple[Finding, ...]
    question: str
    answers: tuple[str, str]
    """Of the first picture and of the second."""


def build(
    source: Path | None, out: Path, *, limit: int | None = None, seed: int = 0, link: bool = False
) -> dict[str, int]:
    """Write pairs: two examples each, with the same `truth.pair`.

    Args:
        source: not used: phantoms are drawn.
        out: folder to write `train.jsonl`, `test.jsonl` and `images/` into.
        limit: number of pairs in all; 200 if None. Half are for training, half for the test.
        seed: 0 to 999999; another seed gives other phantoms.
        link: not used.
    Returns:
        File name to its number of examples.
    Raises:
        DataError: the seed is 1000000 or more.
    """
    if seed >= SEED_LIMIT:
        raise DataError(f"--seed is {seed}; phantoms take 0 to {SEED_LIMIT - 1}, the rest is kept for the test.")
    total = DEFAULT_LIMIT if limit is None else limit
    written = {}
    for split, place, share in _SPLITS:
        (out / "images" / split).mkdir(parents=True, exist_ok=True)
        pairs = _pairs(out, split, seed + place * SEED_LIMIT, max(1, round(total * share)))
        written[f"{split}.jsonl"] = write_examples(out / f"{split}.jsonl", pairs)
    return written


def make_twin(phantom: Phantom, fact: str, rng: random.Random) -> Twin | None:
    """Change one fact of a phantom.

    Args:
        phantom: shows at least one finding, for all facts but "presence".
        fact: one of `FACTS`.
        rng: source of chance.
    Returns:
        What the twin shows and what to ask; None where the fact cannot be changed here.
    """
    kind = KINDS[phantom.kind]
    placed = [one for one in phantom.findings if one.side is not None]
    if not placed or (fact != "presence" and len(phantom.findings) > 1):
        return None
    first = placed[0]
    rest = tuple(one for one in phantom.findings if one is not first)
    thing = plural(first.name) if first.count > 1 else first.name
    verb = "are" if first.count > 1 else "is"
    if fact == "presence":
        article = "an" if first.name[0] in "aeiou" else "a"
        return Twin(rest, f"Is there {article} {first.name}?", ("Yes", "No"))
    if fact == "name":
        return _renamed(kind, first, rng)
    if fact == "side":
        other = replace(first, side="left" if first.side == "right" else "right")
        return Twin((other,), f"On which side {verb} the {thing}?", _words(str(first.side), str(other.side)))
    if fact == "zone" and first.name not in kind.fixed_zones:
        other = replace(first, zone=rng.choice([zone for zone in kind.zones if zone != first.zone]))
        places = [location(kind.name, str(one.side), str(one.zone)) for one in (first, other)]
        return Twin((other,), f"Where {verb} the {thing}?", _words(*places))
    if fact == "size" and first.count == 1:
        others = [size for size in kind.sizes[first.name] if size != first.size_mm]
        if others:
            other = first.resized(rng.choice(others))
            return Twin((other,), f"How large is the {first.name}?", (f"{first.size_mm} mm", f"{other.size_mm} mm"))
    if fact == "number" and (first.size_mm or 0) <= kind.countable.get(first.name, 0):
        other = replace(first, count=rng.choice([count for count in (1, 2, 3) if count != first.count]))
        return Twin((other,), f"How many {plural(first.name)} are there?", (str(first.count), str(other.count)))
    return None


def _renamed(kind: Kind, first: Finding, rng: random.Random) -> Twin | None:
    """Put another finding of about the same size in the same place."""
    names = [
        name
        for name, sizes in kind.sizes.items()
        if name != first.name and sizes and kind.fixed_zones.get(name) in (None, first.zone)
    ]
    if not names:
        return None
    name = rng.choice(names)
    size = min(kind.sizes[name], key=lambda one: abs(one - (first.size_mm or one)))
    other = replace(first, name=name, size_mm=size, count=1)
    return Twin((other,), "What abnormality is seen?", _words(first.name, name))


def _words(one: str, other: str) -> tuple[str, str]:
    return one.capitalize(), other.capitalize()


def _pairs(out: Path, split: str, seed: int, count: int) -> Iterator[Example]:
    """Draw phantoms and change each fact about equally often; yields both of a pair one after the other."""
    used = dict.fromkeys(FACTS, 0)
    index = 0
    for made in range(count):
        drawn = None
        while drawn is None:
            phantom = make_phantom(seed, index)
            rng = random.Random(f"{seed}/{index}")
            # The fact that was changed least often so far, of those that this phantom allows.
            facts = sorted(FACTS, key=used.__getitem__)
            drawn = next(((fact, twin) for fact in facts if (twin := make_twin(phantom, fact, rng))), None)
            index += 1
        fact, twin = drawn
        used[fact] += 1
        key = f"pair-{seed}-{made:06d}"
        order = list(twin.answers)
        rng.shuffle(order)
        for number, (one, answer) in enumerate(
            zip((phantom, with_findings(phantom, twin.findings)), twin.answers, strict=True)
        ):
            name = f"images/{split}/{made:06d}-{'ab'[number]}.png"
            save(one, out / name)
            yield Example(
                id=f"{key}#{'ab'[number]}",
                images=(name,),
                messages=[
                    {"role": "user", "content": f"{twin.question} Options: {order[0]}, {order[1]}."},
                    {"role": "assistant", "content": answer},
                ],
                task="vqa",
                answer_type="choice",
                choices=tuple(order),
                truth={**one.truth, "pair": key, "fact": fact},
                modality=one.modality,
                anatomy=one.anatomy,
                patient=key,
                site=one.site,
                source=SOURCE,
                licence=LICENCE,
            )
