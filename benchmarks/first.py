"""Does it know what a person asks first? `python -m benchmarks.first --data data/dev.jsonl`, on labelled pictures.

Puts the questions of `data_recipes.instruct_first` to each picture of an example file, and counts the right answers by
what was asked. A description is right where each word of it is. `--courteous` asks the same as a polite person would.
"""

from __future__ import annotations

import argparse
import random
import re
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from assistant.ending import run_command

if TYPE_CHECKING:
    from data_recipes.schema import Example
    from training.evaluation.items import Item
    from training.evaluation.summary import Prediction

SEED = 0
ASKED_TO_DESCRIBE = (
    "Please describe the findings.",
    "Could you describe what is shown here, please?",
    "What are the findings?",
    "Interpret this scan.",
    "Could you analyze this picture for me?",
    "Hello, what's in this image? Thanks!",
    "I'd like to know what you see in the image.",
    "Please give me a summary of this image.",
)
"""None of them is taught."""
BEFORE = ("Could you please tell me", "Can you tell me", "I would like to know", "Please tell me")
AFTER = ("?", ", please?", "? Thank you.", ".")


def questions(examples: Sequence[Example]) -> list[Example]:
    """Ask of each picture what is asked first.

    Args:
        examples: any; those of several pictures are passed over.
    Returns:
        One example a question, ids "<first id>~first<n>".
    """
    from data_recipes.instruct_first import first_questions

    pictures: dict[tuple[str, ...], list[Example]] = {}
    for example in examples:
        if len(example.images) == 1:
            pictures.setdefault(example.images, []).append(example)
    made = []
    for own in pictures.values():
        first, rng = own[0], random.Random(f"{SEED}/{own[0].id}")
        caption = next((one.messages[1]["content"] for one in own if one.task == "caption"), None)
        for number, (asked, answer, kind, choices) in enumerate(first_questions(first.truth or {}, caption, rng)):
            messages = [{"role": "user", "content": asked}, {"role": "assistant", "content": answer}]
            made.append(
                replace(
                    first, id=f"{first.id}~first{number}", messages=messages, task="vqa", answer_type=kind,
                    choices=choices,
                )
            )  # fmt: skip
    return made


def after_another(items: Sequence[Item]) -> list[Item]:
    """Put another question on the same picture, and its right answer, before each; what cannot be told is no answer.

    Args:
        items: of any pictures.
    Returns:
        The same questions, each as the second of a conversation where its picture has another one.
    """
    from assistant.conversation import Turn
    from assistant.review import cannot_tell

    pictures: dict[tuple[Path, ...], list[Item]] = {}
    for item in items:
        if not cannot_tell(item.truth):
            pictures.setdefault(item.images, []).append(item)
    made = []
    for item in items:
        others = [one for one in pictures.get(item.images, ()) if one.id != item.id]
        before = random.Random(item.id).choice(others) if others else None
        history = (Turn("user", before.question), Turn("assistant", before.truth)) if before else ()
        made.append(replace(item, history=history))
    return made


def courteous(items: Sequence[Item]) -> list[Item]:
    """Ask the same with a greeting, a please, or in an indirect question.

    Args:
        items: of `questions`.
    Returns:
        The same in other words, none of which is taught.
    """
    from assistant.prompts import DESCRIPTION_REQUESTS

    def put(item: Item) -> str:
        text, rng = item.question, random.Random(item.id)
        if text in DESCRIPTION_REQUESTS:
            return rng.choice(ASKED_TO_DESCRIBE)
        if asked := re.match(r"(Is|Are) (this image|this|it|there|everything|anything) (.+)\?$", text):
            be, thing, rest = asked[1].lower(), asked[2], asked[3]
            return f"{rng.choice(BEFORE)} whether {thing} {be} {rest}{rng.choice(AFTER)}"
        if asked := re.match(r"(Where|How \w+) (is|are) (.+?)( located)?\?$", text):
            return f"{rng.choice(BEFORE)} {asked[1].lower()} {asked[3]} {asked[2]}{asked[4] or ''}{rng.choice(AFTER)}"
        return (
            f"{rng.choice(('Hello! ', 'Hi, ', 'Thanks. ', ''))}{text[:-1]}{rng.choice((', please?', '? Thank you!'))}"
        )

    return [replace(item, question=put(item)) for item in items]


def asked_for(item: Item) -> str:
    """Return what a question asks for, as the table names it."""
    from assistant.review import cannot_tell

    if cannot_tell(item.truth):
        return "place, size, age: cannot be told"
    kind = "presence" if item.kind in ("presence", "other", "finding") else item.kind
    return f"{kind}, neither" if item.truth.startswith("Neither") else kind


def table(rows: Sequence[Prediction]) -> str:
    """Return the right answers by what was asked, as Markdown."""
    parts: dict[str, list[bool]] = {}
    for row in rows:
        parts.setdefault(asked_for(row.item), []).append(bool(row.right))
    lines = ["| asked | questions | right |", "|---|---|---|"]
    lines += [f"| {name} | {len(hits)} | {sum(hits) / len(hits):.1%} |" for name, hits in sorted(parts.items())]
    everything = [bool(row.right) for row in rows]
    lines.append(f"| all | {len(everything)} | {sum(everything) / len(everything):.1%} |")
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Ask, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.first", description=__doc__)
    parser.add_argument("--model", default="starter", help="starter or a model folder (default: starter)")
    parser.add_argument("--data", type=Path, required=True, help="an example file, such as dev.jsonl of a manifest")
    parser.add_argument("--courteous", action="store_true", help="ask the same with please and thanks")
    parser.add_argument("--second", action="store_true", help="ask each as the second question of a conversation")
    arguments = parser.parse_args(argv)

    from assistant.config import GenerationConfig
    from assistant.model.load import load_model
    from data_recipes.schema import read_examples
    from training.evaluation.answers import Asker
    from training.evaluation.items import make_item
    from training.evaluation.run import picture_loader, predict

    items = [make_item(one, arguments.data.parent) for one in questions(list(read_examples(arguments.data)))]
    items = courteous(items) if arguments.courteous else items
    items = after_another(items) if arguments.second else items
    rows = predict(Asker(load_model(arguments.model), GenerationConfig()), items, picture_loader())
    sys.stdout.write(f"{table(rows)}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(run_command(main))
