"""Many questions or studies cut into batches, and each one's share of the time that its batch took."""

from __future__ import annotations

import itertools
import logging
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TypeVar

from assistant.conversation import Answer, Report

logger = logging.getLogger(__name__)

Item = TypeVar("Item")
Made = TypeVar("Made", Answer, Report)


def batches(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Yield the items in lists of `size`, the last one shorter; read no further than asked for."""
    waiting = iter(items)
    while batch := list(itertools.islice(waiting, size)):
        yield batch


def timed(made: list[Made], started: float, message: str) -> list[Made]:
    """Return answers or reports with each one's share of the time since `started`."""
    seconds = time.perf_counter() - started
    logger.info(message, len(made), seconds)
    return [replace(one, seconds=seconds / len(made)) for one in made]
