"""A step of the starter's chain, and how it runs what is a command of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assistant.errors import DataError


@dataclass(frozen=True)
class Step:
    """One step: it is done when `result` is there."""

    name: str
    result: Path
    work: Callable[[], Any]


def run_main(name: str, main: Callable[[list[str]], int], arguments: Sequence[object]) -> None:
    """Run another command's `main`; its own message is already on stderr when it fails.

    Args:
        name: of the step, for the error.
        main: takes arguments and returns an exit code.
        arguments: given to it as text.
    Raises:
        DataError: it did not end with 0.
    """
    if main([str(one) for one in arguments]) != 0:
        raise DataError(f"the step {name!r} failed; see the message above. Mend it and start the same command again.")
