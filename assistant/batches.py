"""Questions and studies are taken a batch at a time, and the time of a batch is shared among what it gave."""

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


def in_batches(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Yield lists of `size` items, the last one shorter; items are read only as they are needed."""
    waiting = iter(items)
    while batch := list(itertools.islice(waiting, size)):
        yield batch


def timed(made: list[Made], started: float, message: str) -> list[Made]:
    """Return answers or reports with each one's share of the time since `started`.

    Args:
        made: of one batch.
        started: on the clock of `time.perf_counter`.
        message: for the log, with places for count and seconds.
    Returns:
        The same, each with its `seconds`.
    """
    seconds = time.perf_counter() - started
    logger.info(message, len(made), seconds)
    return [replace(one, seconds=seconds / len(made)) for one in made]
