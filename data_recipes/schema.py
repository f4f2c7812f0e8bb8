"""The one record every data recipe writes and every training stage reads: `Example`, and `Preference` for DPO.

A data file is JSON Lines, one record a line. Image paths are relative to the folder of the file. Pictures belong
to the first user message; no placeholder for them stands in the text.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from assistant.errors import DataError
from data_recipes.jsonl import read_records, write_records
from data_recipes.schema_check import image_name_fault, messages_fault, show, text_fault

TASKS: tuple[str, ...] = ("vqa", "report", "caption", "chat")
ANSWER_TYPES: tuple[str, ...] = ("closed", "open", "choice", "report")


@dataclass(frozen=True)
class Example:
    """One question, report or dialogue about some pictures."""

    id: str
    """Unique within a data set."""
    images: tuple[str, ...]
    """Paths relative to the data file, with forward slashes; empty for a question without a picture."""
    messages: list[dict[str, str]]
    """`role` and `content`, user and assistant in turn, ending with the assistant."""
    task: str
    """One of `TASKS`."""
    answer_type: str
    """One of `ANSWER_TYPES`."""
    source: str
    """Data set that it came from."""
    licence: str
    """Licence of the pictures and the text."""
    choices: tuple[str, ...] | None = None
    """The answers to choose from, where the question offers some."""
    truth: dict[str, Any] | None = None
    """What is known of the picture beyond the answer: flat attributes, findings."""
    modality: str | None = None
    """A name of `assistant.vocabulary.MODALITIES` where one fits."""
    anatomy: str | None = None
    """Body region in lower case."""
    patient: str | None = None
    """Key of the patient or group; records that share it never stand in two splits."""
    site: str | None = None
    """Where the picture was taken, as a short key."""

    def __post_init__(self) -> None:
        fault = _example_fault(self)
        if fault:
            raise DataError(f"example {self.id!r}: {fault}")

    def image_paths(self, root: Path | str) -> list[Path]:
        """Tell where the pictures are.

        Args:
            root: the folder of the data file.
        Returns:
            One path a picture.
        """
        return [Path(root, *PurePosixPath(name).parts) for name in self.images]

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form, without the fields that are None."""
        record: dict[str, Any] = {
            "id": self.id,
            "images": list(self.images),
            "messages": self.messages,
            "task": self.task,
            "answer_type": self.answer_type,
            "choices": None if self.choices is None else list(self.choices),
            "truth": self.truth,
            "modality": self.modality,
            "anatomy": self.anatomy,
            "patient": self.patient,
            "site": self.site,
            "source": self.source,
            "licence": self.licence,
        }
        return {name: value for name, value in record.items() if value is not None}

    @classmethod
    def from_dict(cls, record: dict[str, Any], *, right: bool = True) -> Example:
        """Make the example of a JSON form.

        Args:
            record: what `to_dict` gave.
            right: whether its answer is meant to be right, and so must name one of its choices.
        Returns:
            The example, checked.
        Raises:
            DataError: a field is missing, unknown or has a value that the format does not allow.
        """
        made = cls(**_fields(cls, record, required=("id", "images", "messages", "task", "answer_type")))
        if right and (fault := _choice_fault(made)):
            raise DataError(f"example {made.id!r}: {fault}")
        return made


@dataclass(frozen=True)
class Preference:
    """One question with a better and a worse answer."""

    id: str
    """Unique within a data set."""
    images: tuple[str, ...]
    """As in `Example`."""
    messages: list[dict[str, str]]
    """The dialogue up to the question: ends with the user."""
    chosen: str
    """The better answer."""
    rejected: str
    """The worse answer."""
    reason: str
    """What is wrong with the worse one: "wrong side", "made-up finding", …"""
    source: str
    """Data set that it came from."""
    licence: str
    """Licence of the pictures and the text."""
    truth: dict[str, Any] | None = None
    """As in `Example`."""
    modality: str | None = None
    """As in `Example`."""
    anatomy: str | None = None
    """As in `Example`."""
    patient: str | None = None
    """As in `Example`."""
    site: str | None = None
    """As in `Example`."""

    def __post_init__(self) -> None:
        fault = _common_fault(self, last_role="user")
        if not fault:
            texts = {"chosen": self.chosen, "rejected": self.rejected, "reason": self.reason}
            fault = next((text_fault(n, t) for n, t in texts.items() if text_fault(n, t)), None)
        if not fault and self.chosen == self.rejected:
            fault = f"chosen and rejected are both {show(self.chosen)}; a preference needs two different answers."
        if fault:
            raise DataError(f"preference {self.id!r}: {fault}")

    def image_paths(self, root: Path | str) -> list[Path]:
        """Tell where the pictures are.

        Args:
            root: the folder of the data file.
        Returns:
            One path a picture.
        """
        return [Path(root, *PurePosixPath(name).parts) for name in self.images]

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form, without the fields that are None."""
        record = {name: getattr(self, name) for name in self.__dataclass_fields__}
        record["images"] = list(self.images)
        return {name: value for name, value in record.items() if value is not None}

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> Preference:
        """Make the preference of a JSON form.

        Args:
            record: what `to_dict` gave.
        Returns:
            The preference, checked.
        Raises:
            DataError: a field is missing, unknown or has a value that the format does not allow.
        """
        return cls(**_fields(cls, record, required=("id", "images", "messages", "chosen", "rejected", "reason")))


def read_examples(path: Path | str) -> Iterator[Example]:
    """Read a data file line by line.

    Args:
        path: JSON Lines of examples.
    Returns:
        An iterator that reads as it goes.
    Raises:
        DataError: the file is missing, or a line breaks the format; names file, line, field, value and mend.
    """
    return read_records(Path(path), Example.from_dict)


def read_preferences(path: Path | str) -> Iterator[Preference]:
    """Read a file of preferences line by line; faults as in `read_examples`.

    Args:
        path: JSON Lines of preferences.
    Returns:
        An iterator that reads as it goes.
    Raises:
        DataError: the file is missing, or a line breaks the format.
    """
    return read_records(Path(path), Preference.from_dict)


def write_examples(path: Path | str, examples: Iterable[Example]) -> int:
    """Write a data file: all of it, or on any fault nothing.

    Args:
        path: file to make or replace.
        examples: what to write.
    Returns:
        How many examples were written.
    """
    return write_records(Path(path), (example.to_dict() for example in examples))


def write_preferences(path: Path | str, preferences: Iterable[Preference]) -> int:
    """Write a file of preferences: all of it, or on any fault nothing.

    Args:
        path: file to make or replace.
        preferences: what to write.
    Returns:
        How many were written.
    """
    return write_records(Path(path), (preference.to_dict() for preference in preferences))


def _fields(kind: type[Any], record: object, required: tuple[str, ...]) -> dict[str, Any]:
    """Check a JSON object's field names and turn its lists into what the dataclass holds."""
    if not isinstance(record, dict):
        raise DataError(f"record is {show(record)}; each line is one JSON object.")
    known = kind.__dataclass_fields__
    for name in (*required, "source", "licence"):
        if record.get(name) is None:
            raise DataError(f"field {name!r} is missing; add it (needed: {', '.join(required)}, source, licence).")
    for name in record:
        if name not in known:
            raise DataError(f"field {name!r} is unknown; delete or rename it (known: {', '.join(known)}).")
    values = dict(record)
    for name in ("images", "choices"):
        if values.get(name) is not None:
            if not isinstance(values[name], list):
                raise DataError(f"field {name!r} is {show(values[name])}; it takes a list of texts.")
            values[name] = tuple(values[name])
    return values


def _example_fault(example: Example) -> str | None:
    fault = _common_fault(example, last_role="assistant")
    if fault:
        return fault
    for name, value, allowed in (
        ("task", example.task, TASKS),
        ("answer_type", example.answer_type, ANSWER_TYPES),
    ):
        if value not in allowed:
            return f"field {name!r} is {show(value)}; use one of {', '.join(allowed)}."
    if example.answer_type == "choice" and not example.choices:
        return "field 'choices' is empty, but answer_type is 'choice'; list the answers to choose from."
    faults = (text_fault("choices", text) for text in example.choices or ())
    return next((fault for fault in faults if fault), None)


def _choice_fault(example: Example) -> str | None:
    # Steps may stand before the answer, so that it is looked for within the text.
    said, choices = example.messages[-1]["content"].casefold(), example.choices or ()
    if example.answer_type == "choice" and not any(one.strip(" .").casefold() in said for one in choices):
        return (
            f"the last message is {show(example.messages[-1]['content'])}, which names none of 'choices' "
            f"{show(list(choices))}; mend the answer or add it to the choices."
        )
    return None


def _common_fault(record: Example | Preference, last_role: str) -> str | None:
    """Check the fields that both kinds of record have."""
    texts = {"id": record.id, "source": record.source, "licence": record.licence}
    for name in ("modality", "anatomy", "patient", "site"):
        if getattr(record, name) is not None:
            texts[name] = getattr(record, name)
    for name, text in texts.items():
        if fault := text_fault(name, text):
            return fault
    for image in record.images:
        if fault := image_name_fault(image):
            return f"field 'images': {fault}"
    if record.truth is not None and not isinstance(record.truth, dict):
        return f"field 'truth' is {show(record.truth)}; it takes an object."
    return messages_fault(record.messages, last_role)
