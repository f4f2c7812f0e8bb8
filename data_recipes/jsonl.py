"""JSON Lines files: read a record at a time with faults told by line, written whole or not at all."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from assistant.errors import DataError
from data_recipes.schema_check import show

R = TypeVar("R")

FAULTS_SHOWN = 20
"""Reading stops at so many: the layout is another."""


def read_records(path: Path, parse: Callable[[dict[str, Any]], R]) -> Iterator[R]:
    """Read a file line by line; empty lines are passed over.

    Args:
        path: JSON Lines.
        parse: makes a record of one line's object; what it refuses with `DataError` is told with file and line.
    Yields:
        Records, in the order of the file, up to the first that is refused.
    Raises:
        DataError: the file cannot be read, or lines are no JSON or are refused; tells all of them.
    """
    try:
        stream = path.open("rb")
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}); check the path.") from error
    faults: list[str] = []
    with stream:
        for number, line in enumerate(stream, 1):
            if not line.strip():
                continue
            try:
                record = _parsed(line, parse)
            except DataError as error:
                faults.append(f"line {number}: {error}")
                if len(faults) == FAULTS_SHOWN:
                    break
                continue
            if not faults:
                yield record
    if len(faults) == 1:
        raise DataError(f"{path} {faults[0]}")
    if faults:
        more = " or more" if len(faults) == FAULTS_SHOWN else ""
        raise DataError("\n  ".join([f"{path} has {len(faults)} faults{more}:", *faults]))


def _parsed(line: bytes, parse: Callable[[dict[str, Any]], R]) -> R:
    try:
        return parse(json.loads(line.decode("utf-8")))
    except UnicodeDecodeError as error:
        raise DataError(f"not UTF-8 ({error.reason}); save the file as UTF-8.") from error
    except json.JSONDecodeError as error:
        raise DataError(
            f"not JSON ({error.msg} at column {error.colno}): {show(line.decode('utf-8').strip())}. "
            "Write one JSON object a line."
        ) from error


def write_records(path: Path, records: Iterable[dict[str, Any]]) -> int:
    """Write a file through a temporary one that is renamed at the end.

    Args:
        path: file to make or replace.
        records: what to write, one a line.
    Returns:
        How many were written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    count = 0
    try:
        with open(descriptor, "w", encoding="utf-8") as stream:
            for record in records:
                stream.write(json.dumps(record, ensure_ascii=False) + "\n")
                count += 1
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return count
