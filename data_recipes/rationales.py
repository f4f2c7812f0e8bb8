"""The `rationales` recipe: answers and reports with the steps that lead to them, from examples whose truth is known.

The steps go the way a radiologist reads: what kind of picture of what region, then each finding with its name, place,
size and number, or that none is seen, then what follows. Each step is taken from the example's truth, so no step is
made up; an example whose truth does not tell enough is left out.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from assistant.errors import DataError
from data_recipes.instruct_words import LABEL_SETS, words_for
from data_recipes.own import Options, place_image
from data_recipes.phantom_findings import KINDS
from data_recipes.phantom_reports import location, plural
from data_recipes.schema import Example, read_examples, write_examples

FORMS: tuple[str, ...] = ("words", "tags")
REQUESTS: dict[str, str] = {
    "words": "Think step by step about what the image shows. Then write 'Answer:' and the answer.",
    "tags": "Put your reading into <think></think> and the answer into <answer></answer>.",
}
"""What is asked of the model, below the question. The first is the request of `training.evaluate`'s chain of thought,
the second asks for the form that the reward `think_format` of `training.grpo` checks."""


def add_options(options: Options) -> None:
    """Add this recipe's options.

    Args:
        options: of the command line.
    """
    options.add_argument(
        "--form", choices=FORMS, default="words", help="words: '… Answer: …' (default); tags: <think>, <answer>"
    )


def build(
    source: Path, out: Path, *, limit: int | None = None, seed: int = 0, link: bool = False, **options: Any
) -> dict[str, int]:
    """Write the examples of a file whose truth is known with their rationales, under the file's own name.

    Args:
        source: a file of examples, such as `train.jsonl` of the phantom or the manifest recipe.
        out: folder to write into.
        limit: at most this many examples.
        seed: decides the wording.
        link: put symbolic links to the images instead of hard links or copies.
        **options: as `add_options` names them.
    Returns:
        File name to its number of examples.
    Raises:
        DataError: no example's truth tells the steps.
    """
    made: list[Example] = []
    for example in read_examples(source):
        if limit is not None and len(made) >= limit:
            break
        told = with_rationale(example, options["form"], random.Random(f"{seed}/{example.id}"))
        if told is not None:
            made.append(told)
    if not made:
        raise DataError(
            f"no example of {source} has a truth that tells findings or a known label, so no steps can be told. Give a "
            "file of the phantom recipe, or of a manifest folder with labels."
        )
    for name in sorted({name for example in made for name in example.images}):
        place_image(source.parent / name, out / name, link=link)
    return {source.name: write_examples(out / source.name, made)}


def with_rationale(example: Example, form: str, rng: random.Random) -> Example | None:
    """Return an example whose answer comes with its steps.

    Args:
        example: any.
        form: one of `FORMS`.
        rng: source of chance for wording.
    Returns:
        The example with the id "<id>~rationale" and no choices of its own form; None where the truth tells too little,
        and for captions, dialogues and comparisons of two pictures.
    """
    if example.task not in ("vqa", "report") or len(example.messages) != 2 or len(example.images) != 1:
        return None
    steps = reading(example.truth or {}, rng)
    if steps is None:
        return None
    question, answer = (message["content"] for message in example.messages)
    thought = " ".join(steps)
    if form == "tags":
        told = f"<think>{thought}</think><answer>{answer}</answer>"
    else:
        told = f"{thought}\nAnswer: {answer}" if example.task == "vqa" else f"{thought}\nAnswer:\n{answer}"
    messages = [
        {"role": "user", "content": f"{question}\n{REQUESTS[form]}"},
        {"role": "assistant", "content": told},
    ]
    return replace(example, id=f"{example.id}~rationale", messages=messages)


def reading(truth: Mapping[str, Any], rng: random.Random) -> list[str] | None:
    """Tell what a truth tells, step by step.

    Args:
        truth: of an example: `findings` of a phantom, or a class attribute such as "breast finding".
        rng: source of chance for wording.
    Returns:
        Sentences; None where neither findings nor a class are known.
    """
    modality, region = truth.get("modality"), truth.get("region")
    if not modality:
        return None
    place = f" of the {region}" if region else ""
    steps = [rng.choice(("This is {}{}.", "I see {}{}.")).format(_picture_of(str(modality)), place)]
    found = truth.get("findings")
    if isinstance(found, list) and str(truth.get("kind")) in KINDS:
        return [*steps, *_search(truth, found)]
    for attribute, value in truth.items():
        if attribute in LABEL_SETS and isinstance(value, str):
            label = words_for(attribute, value)
            others = [one.answer.lower() for one in LABEL_SETS[attribute].labels.values() if one != label]
            weighed = f"It could be {' or '.join(others)} instead; the appearance does not fit that."
            return [*steps, label.findings, weighed]
    return None


def _search(truth: Mapping[str, Any], found: list[Mapping[str, Any]]) -> list[str]:
    """Go through what this kind of picture can show, finding by finding."""
    kind = KINDS[str(truth["kind"])]
    shown = {one["name"]: one for one in found}
    steps = []
    for name in kind.sizes:
        one = shown.get(name)
        if one is None:
            continue
        if one.get("side") is None or one.get("zone") is None:
            steps.append("The heart is larger than it should be.")
            continue
        where = location(kind.name, str(one["side"]), str(one["zone"]))
        count = int(one.get("count") or 1)
        what = f"{count} {plural(name)}" if count > 1 else f"a {name}"
        steps.append(f"In the {where} I see {what} of {one['size_mm']} mm{' each' if count > 1 else ''}.")
    absent = [name for name in kind.sizes if name not in shown]
    if absent:
        steps.append(f"I look further: there is no {' or '.join(absent)}.")
    return steps


def _picture_of(modality: str) -> str:
    name = modality if modality.isupper() or modality == "X-ray" else modality.lower()
    article = "an" if name[0] in "aeioux" or name in ("X-ray", "MRI", "OCT") else "a"
    return f"{article} {name} image"
