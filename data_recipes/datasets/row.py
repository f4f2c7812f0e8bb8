"""`Row`: one record of a set's file, with where it stands; and the checks that every reader makes of a file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assistant.errors import DataError
from data_recipes.schema_check import show

LFS_MARK = b"version https://git-lfs.github.com/spec/"


@dataclass(slots=True)
class Row:
    """One record and where it stands."""

    file: str
    """Name of the file in the data set."""
    number: int
    """Its line or number, from 1; no other record of the file has it."""
    fields: dict[str, Any]
    """What it holds."""
    unit: str = "line"
    """What `number` counts: line, row, record."""
    fault: str | None = None
    """Why the record cannot be read."""
    line: int | None = None
    """Line where it starts, where `number` counts something else: all records may stand in one line."""

    @property
    def place(self) -> str:
        """Return file and line in words."""
        line = f" (line {self.line})" if self.line else ""
        return f"{self.file} {self.unit} {self.number}{line}"

    @property
    def key(self) -> str:
        """Return a name for the record that no other of the set has: the file's without ending, and the number."""
        return f"{self.file.rpartition('.')[0] or self.file}-{self.number}"

    def text(self, *names: str) -> str:
        """Return the first of the fields that holds a text or number, as a text without space around it.

        Args:
            *names: of the fields, the usual one first.
        Returns:
            A text that is not empty.
        Raises:
            DataError: none of them does.
        """
        value = self.maybe(*names)
        if value is None:
            held = next((self.fields[name] for name in names if name in self.fields), None)
            known = ", ".join(map(str, self.fields))[:200]
            raise DataError(
                f"field {names[0]!r} is {show(held)}; give a text that is not empty (fields here: {known})."
            )
        return value

    def maybe(self, *names: str) -> str | None:
        """Return the first of the fields that holds a text or number, or None."""
        for name in names:
            value = self.fields.get(name)
            if isinstance(value, str):
                value = value.strip()
                if value:
                    return value
            elif isinstance(value, int | float) and not isinstance(value, bool) and value == value:
                return str(value)
        return None

    def held(self, *names: str) -> dict[str, str]:
        """Return those of the fields that hold a text or number, by their names in lower case."""
        found = {name.lower().replace(" ", "_"): self.maybe(name) for name in names}
        return {name: value for name, value in found.items() if value is not None}

    def about(self, *names: str) -> dict[str, dict[str, str]]:
        """Return fields as `truth.about`: what the set says of the record, and not what the picture shows.

        Texts in `truth` itself are attributes of the picture that an encoder may learn to tell apart; a caption or
        an address must not be among them.
        """
        held = self.held(*names)
        return {"about": held} if held else {}

    def list_of(self, name: str, kind: type = str) -> list[Any]:
        """Return a field that holds a list of `kind`.

        Args:
            name: of the field.
            kind: what each item must be.
        Returns:
            The list.
        Raises:
            DataError: it holds something else.
        """
        value = self.fields.get(name)
        if not isinstance(value, list) or not all(isinstance(item, kind) for item in value):
            raise DataError(f"field {name!r} is {show(value)}; it takes a list of {_WORDS.get(kind, kind.__name__)}.")
        return value


_WORDS: dict[type, str] = {str: "texts", dict: "objects"}


def check_file(path: Path) -> None:
    """Refuse a file that is missing, empty, a Git LFS pointer, or a web page saved in place of the data.

    Args:
        path: of the file.
    Raises:
        DataError: it is one of these; says what to do.
    """
    try:
        with path.open("rb") as stream:
            head = stream.read(256)
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}); check the path.") from error
    if not head.strip():
        raise DataError(f"{path} is empty; download it again.")
    if head.startswith(LFS_MARK):
        size = next((line.split()[-1].decode() for line in head.splitlines() if line.startswith(b"size ")), "unknown")
        raise DataError(
            f"{path} is a Git LFS pointer, not the data ({size} bytes are elsewhere). Run `git lfs pull` in that "
            "checkout, or download the file from the data set's page."
        )
    if head.lstrip().lower().startswith((b"<!doctype html", b"<html")):
        raise DataError(f"{path} is a web page, not the data: a download was refused. Download the file again.")


def not_utf8(path: Path) -> DataError:
    """Return the error for a file that is not UTF-8, with the first line that is not."""
    with path.open("rb") as stream:
        for number, line in enumerate(stream, 1):
            try:
                line.decode("utf-8")
            except UnicodeDecodeError as error:
                return DataError(f"{path} line {number}: not UTF-8 ({error.reason}); save the file as UTF-8.")
    return DataError(f"{path}: not UTF-8; save the file as UTF-8.")


def as_row(file: str, number: int, record: object, unit: str = "line", line: int | None = None) -> Row:
    """Return a record as a row; one that is no object is a row with a fault."""
    if isinstance(record, dict):
        return Row(file, number, record, unit, line=line)
    return Row(file, number, {}, unit, line=line, fault=f"record is {show(record)}; each is one JSON object.")
