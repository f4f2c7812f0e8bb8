"""The `choices` recipe: multiple choice from open answers.

The wrong choices are true answers to the same question about other pictures, or other values of the same attribute, so
that each is plausible and, as far as the data tell, false here. They are drawn as often as they occur, near the right
one in length, and the right one takes every place equally often: neither frequency, length nor place gives it away.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from assistant.errors import DataError
from assistant.prompts import question_text
from assistant.vocabulary import canonical_modality
from data_recipes.auditing.tally import normal
from data_recipes.own import Options, place_image
from data_recipes.schema import Example, read_examples, write_examples

CHOICES = 4
MOST_WORDS = 8
"""Longer answers are no choices."""
_DRAWS = 40


def add_options(options: Options) -> None:
    """Add this recipe's options.

    Args:
        options: of the command line.
    """
    options.add_argument(
        "--choices", type=int, default=CHOICES, metavar="N", help=f"most choices a question ({CHOICES})"
    )


def build(
    source: Path, out: Path, *, limit: int | None = None, seed: int = 0, link: bool = False, **options: Any
) -> dict[str, int]:
    """Write the open questions of an example file as multiple choice, under the file's own name.

    Args:
        source: a file of examples, such as `train.jsonl`.
        out: folder to write into.
        limit: at most this many examples.
        seed: decides choices and their order.
        link: put symbolic links to the images instead of hard links or copies.
        **options: as `add_options` names them.
    Returns:
        File name to its number of examples.
    Raises:
        DataError: no open question has another answer to choose from.
    """
    count = options["choices"]
    if count < 2:
        raise DataError(f"--choices is {count}; use 2 or more.")
    pool = answer_pool(read_examples(source))
    made: list[Example] = []
    for example in read_examples(source):
        if limit is not None and len(made) >= limit:
            break
        choice = with_choices(example, pool, count, random.Random(f"{seed}/{example.id}"))
        if choice is not None:
            made.append(choice)
    if not made:
        raise DataError(
            f"{source} has no open question with an answer of up to {MOST_WORDS} words that another picture answers "
            "otherwise; there is nothing to choose from."
        )
    for name in sorted({name for example in made for name in example.images}):
        place_image(source.parent / name, out / name, link=link)
    return {source.name: write_examples(out / source.name, made)}


def answer_pool(examples: Iterable[Example]) -> dict[str, Counter[str]]:
    """Gather the answers that each kind of question gets.

    Args:
        examples: any; only single open questions with short answers count.
    Returns:
        Key of a kind of question (see `_keys`) to its answers and how often each is given.
    """
    pool: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for example in examples:
        if is_open(example):
            answer = example.messages[-1]["content"].strip().rstrip(".")
            for key in _keys(example):
                pool[key][answer[:1].upper() + answer[1:]] += 1
    return dict(pool)


def is_open(example: Example) -> bool:
    """Tell whether an example is a single open question with a short answer."""
    return (
        example.task == "vqa"
        and example.answer_type == "open"
        and len(example.messages) == 2
        and len(example.messages[-1]["content"].split()) <= MOST_WORDS
    )


def with_choices(example: Example, pool: Mapping[str, Counter[str]], count: int, rng: random.Random) -> Example | None:
    """Return an open question as multiple choice.

    Args:
        example: any.
        pool: what `answer_pool` returned.
        count: most choices.
        rng: source of chance.
    Returns:
        The example with the id "<id>~choice"; None where it is not open or there is no wrong choice.
    """
    if not is_open(example):
        return None
    answer = example.messages[-1]["content"].strip().rstrip(".")
    answer = answer[:1].upper() + answer[1:]
    wrong: list[str] = []
    for key in _keys(example):
        others = {one: number for one, number in pool.get(key, Counter()).items() if _differs(one, [answer, *wrong])}
        wrong += _drawn(others, answer, count - 1 - len(wrong), rng)
        if len(wrong) >= count - 1:
            break
    if not wrong:
        return None
    choices = wrong
    choices.insert(rng.randrange(len(wrong) + 1), answer)
    question = question_text(example.messages[0]["content"], options=choices)
    messages = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    return replace(example, id=f"{example.id}~choice", messages=messages, answer_type="choice", choices=tuple(choices))


def _keys(example: Example) -> list[str]:
    """Return the kinds that a question belongs to, the narrowest first: the same question, attribute, beginning."""
    question = normal(example.messages[0]["content"].rsplit("\n", 1)[-1])
    answer = normal(example.messages[-1]["content"])
    attributes = [
        name
        for name, value in sorted((example.truth or {}).items())
        if isinstance(value, str) and normal(value) == answer
    ]
    about = f"{example.modality}\0{example.anatomy}"
    return [
        f"question {question}\0{about}",
        f"question {question}",
        *(f"attribute {name}" for name in attributes),
        f"words {' '.join(question.split()[:4])}\0{any(map(str.isdigit, answer))}\0{about}",
    ]


def _differs(answer: str, others: list[str]) -> bool:
    """Tell whether an answer is none of some others in other words: neither contains the other."""
    words, meant = set(normal(answer).split()), canonical_modality(answer)
    for one in others:
        other = set(normal(one).split())
        if words <= other or other <= words or (meant is not None and meant == canonical_modality(one)):
            return False
    return bool(words)


def _drawn(others: Mapping[str, int], answer: str, count: int, rng: random.Random) -> list[str]:
    """Draw wrong choices by frequency and likeness in length, none of them part of another."""
    names = list(others)
    weights = [others[one] / (1 + abs(len(one.split()) - len(answer.split()))) for one in names]
    wrong: list[str] = []
    for _ in range(_DRAWS):
        if len(wrong) >= count or not names:
            break
        one = rng.choices(names, weights)[0]
        if one not in wrong and _differs(one, wrong):
            wrong.append(one)
    return wrong
