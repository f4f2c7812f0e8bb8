"""JSON files read a value at a time, so that a file of any length takes little memory and faults have a line."""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

from assistant.errors import DataError
from data_recipes.datasets.row import Row, as_row, check_file, not_utf8

CHUNK = 1 << 18
"""Bytes read at a time; the most that is read on beyond a value."""
VALUE_LIMIT = 1 << 26
"""Longest value, in characters: more is taken for a broken file."""
_SPACE = " \t\r\n"
_NEAR_END = 32


class JsonStream:
    """A JSON file that is read forward.

    `rows()` reads an array of objects; `members()` reads an object key by key, and for each key the caller reads the
    value: by `rows()`, by `members()` or by `value()`. Use it as a context manager.

    Args:
        path: UTF-8, with or without a byte order mark.
    Raises:
        DataError: the file is missing, a Git LFS pointer or a web page; later, that it is not JSON, with its line.
    """

    def __init__(self, path: Path) -> None:
        check_file(path)
        self.path = path
        self.line = 1
        """Line of the next character, from 1."""
        self._file: BinaryIO = path.open("rb")
        self._decode = codecs.getincrementaldecoder("utf-8-sig")().decode
        self._scan = json.JSONDecoder().raw_decode
        self._text = ""
        self._at = 0
        self._count = 0
        self._ended = False

    def __enter__(self) -> JsonStream:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def peek(self) -> str:
        """Return the next character that is no space; empty at the end."""
        while True:
            text, at = self._text, self._at
            while at < len(text) and text[at] in _SPACE:
                at += 1
            self._move(at)
            if at < len(text):
                return text[at]
            if not self._read(CHUNK):
                return ""

    def rows(self, **extra: Any) -> Iterator[Row]:
        """Read an array of objects.

        Args:
            **extra: fields to add to each.
        Yields:
            Rows, numbered from 1 over the whole file, with the line they start on.
        Raises:
            DataError: it is no array, or broken.
        """
        for line, value in self.values():
            self._count += 1
            row = as_row(self.path.name, self._count, value, "record", line)
            row.fields.update(extra)
            yield row

    def values(self) -> Iterator[tuple[int, Any]]:
        """Yield the line and value of each item of an array."""
        self._take("[")
        if self.peek() == "]":
            self._take("]")
            return
        while True:
            self.peek()
            line = self.line
            yield line, self.value()
            if self.peek() == "]":
                self._take("]")
                return
            self._take(",")

    def members(self) -> Iterator[tuple[int, str]]:
        """Yield the line and key of each member of an object; read its value before going on."""
        self._take("{")
        if self.peek() == "}":
            self._take("}")
            return
        while True:
            self.peek()
            line = self.line
            key = self.value()
            if not isinstance(key, str):
                raise self._fault("a key in quotes")
            self._take(":")
            yield line, key
            if self.peek() == "}":
                self._take("}")
                return
            self._take(",")

    def value(self) -> Any:
        """Read the next value whole."""
        self.peek()
        size = CHUNK
        while True:
            try:
                value, end = self._scan(self._text, self._at)
            except json.JSONDecodeError as error:
                # A string that is cut off is told by its start, all else by where the text ends.
                cut = error.msg.startswith("Unterminated string") or error.pos >= len(self._text) - _NEAR_END
                if not cut or len(self._text) - self._at > VALUE_LIMIT or not self._read(size):
                    line = self.line + self._text.count("\n", self._at, error.pos)
                    raise DataError(
                        f"{self.path} line {line}: not JSON ({error.msg}); download the file again, or mend it there."
                    ) from error
                size *= 2
                continue
            except RecursionError as error:
                raise DataError(f"{self.path} line {self.line}: nested too deep; this is no data set.") from error
            # A number at the end of what was read may go on: "3", "3." and "3e-" all scan as 3.
            if len(self._text) - end <= 2 and isinstance(value, int | float) and self._read(size):
                continue
            self._move(end)
            return value

    def _take(self, mark: str) -> None:
        if self.peek() != mark:
            raise self._fault(f"{mark!r}")
        self._move(self._at + 1)

    def _fault(self, wanted: str) -> DataError:
        found = self._text[self._at : self._at + 20]
        told = f"found {found!r}" if found else "the file ends"
        return DataError(f"{self.path} line {self.line}: expected {wanted}, {told}; download the file again.")

    def _move(self, at: int) -> None:
        self.line += self._text.count("\n", self._at, at)
        self._at = at

    def _read(self, size: int) -> bool:
        """Read on, and forget what was passed; False at the end."""
        if self._ended:
            return False
        data = self._file.read(size)
        try:
            more = self._decode(data, final=not data)
        except UnicodeDecodeError as error:
            raise not_utf8(self.path) from error
        if not data:
            self._ended = True
            return False
        self._text = self._text[self._at :] + more
        self._at = 0
        return True
