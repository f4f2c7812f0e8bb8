"""Turning what data sets write into our examples: choices with letters, yes and no, dialogues, articles."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from assistant.errors import DataError
from assistant.prompts import question_text
from assistant.vocabulary import canonical_modality
from data_recipes.datasets.catalogue import CARDS
from data_recipes.schema import Example
from data_recipes.schema_check import show

LETTERS = "ABCDEFGHIJ"
CAPTION_REQUEST = "Describe this image."
_LETTERED = re.compile(r"^\s*\(?([A-Ja-j])\s*[:.)]\s*")
_ARTICLE = re.compile(r"PMC\d+")
_ROLES = {"human": "user", "user": "user", "gpt": "assistant", "assistant": "assistant", "system": "system"}
_IMAGE_MARK = re.compile(r"<image(?:\s*\d*)?>", re.IGNORECASE)


def qa(question: str, answer: str, choices: Sequence[str] = ()) -> list[dict[str, str]]:
    """Return the messages of one question; choices that it does not name stand after it, as in use."""
    return [
        {"role": "user", "content": question_text(question, options=choices)},
        {"role": "assistant", "content": answer},
    ]


def example(
    name: str, key: str, images: Sequence[str], messages: list[dict[str, str]], task: str, answer_type: str, **more: Any
) -> Example:
    """Return an example with the source and licence of its data set.

    Args:
        name: of the recipe.
        key: makes the id unique within the set: "<name>/<key>".
        images: as `Pictures.find` gave them.
        messages: of the dialogue.
        task: as in `Example`.
        answer_type: as in `Example`.
        **more: further fields of `Example`; those that are None or empty are left out.
    Returns:
        The example.
    Raises:
        DataError: a field breaks the schema.
    """
    values = {field: value for field, value in more.items() if value not in (None, "", {}, ())}
    values.setdefault("licence", CARDS[name].licence)
    return Example(f"{name}/{key}", tuple(images), messages, task, answer_type, source=name, **values)


def unlettered(options: Sequence[str]) -> tuple[str, ...]:
    """Return options without the letters in front, where all have theirs in order: "A: lung" is "lung"."""
    marks = [_LETTERED.match(option) for option in options]
    if all(mark and mark[1].upper() == LETTERS[place] for place, mark in enumerate(marks)):
        return tuple(_LETTERED.sub("", option).strip() for option in options)
    return tuple(option.strip() for option in options)


def chosen(answer: str, options: Sequence[str], field: str = "answer") -> str:
    """Return the option that an answer means: the same text, the text behind its letter, or its letter alone.

    Args:
        answer: as the data set writes it.
        options: what `unlettered` gave.
        field: for the message.
    Returns:
        One of the options.
    Raises:
        DataError: it means none.
    """
    plain = answer.strip()
    for text in (plain, _LETTERED.sub("", plain).strip()):
        for option in options:
            if text and option.casefold().rstrip(".") == text.casefold().rstrip("."):
                return option
    letter = plain.strip("().: ").upper()
    if len(letter) == 1 and letter in LETTERS[: len(options)]:
        return options[LETTERS.index(letter)]
    raise DataError(f"field {field!r} is {show(answer)}, which is none of its choices {show(list(options))}; mend it.")


def answer_type(answer: str) -> str:
    """Return "closed" for an answer of yes or no, else "open"."""
    return "closed" if answer.strip(" .").lower() in ("yes", "no") else "open"


def dialogue(turns: Sequence[Any], field: str = "conversations") -> list[dict[str, str]]:
    """Return the messages of a dialogue written as {"from", "value"} or {"role", "content"}.

    Marks for pictures are taken out: pictures belong to the first message. A last question without an answer is
    dropped.

    Args:
        turns: of the dialogue.
        field: for messages of faults.
    Returns:
        Messages, ending with the assistant.
    Raises:
        DataError: a turn has neither form, or an unknown speaker.
    """
    messages: list[dict[str, str]] = []
    for place, turn in enumerate(turns):
        speaker = turn.get("from", turn.get("role")) if isinstance(turn, dict) else None
        text = turn.get("value", turn.get("content")) if isinstance(turn, dict) else None
        if not isinstance(text, str) or not isinstance(speaker, str) or speaker.lower() not in _ROLES:
            raise DataError(
                f"field '{field}[{place}]' is {show(turn)}; it takes an object with from (human or gpt) and value."
            )
        messages.append(
            {"role": _ROLES[speaker.lower()], "content": (_IMAGE_MARK.sub("", text) if "<" in text else text).strip()}
        )
    while messages and messages[-1]["role"] == "user":
        messages.pop()
    return messages


def article_of(name: str) -> str | None:
    """Return the PubMed Central number in a picture's name, or None."""
    found = _ARTICLE.search(name)
    return found[0] if found else None


def modality_of(text: str | None) -> str | None:
    """Return this project's name of a modality where one fits, else the text itself."""
    return canonical_modality(text) or text
