"""Controls that say how a question is meant, read in the moment it is sent.

A control that writes to a state when it changes is a race: a question sent right after a click can be read before the
click is, and two writers of one state can undo each other. What the browser shows when a question leaves it cannot be
stale, so the values travel with the question.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Controls:
    """Some controls, and what their values mean together."""

    inputs: tuple[Any, ...]
    """The page library's components, as an event takes them."""
    read: Callable[..., Any]
    """Takes their values, in that order."""


def inputs_of(groups: Sequence[Controls]) -> list[Any]:
    """Return the components of several groups, in order."""
    return [one for group in groups for one in group.inputs]


def read_all(groups: Sequence[Controls], values: Sequence[Any]) -> list[Any]:
    """Read several groups of controls from the values of one event.

    Args:
        groups: in the order in which their `inputs` were given to the event.
        values: of all of them.
    Returns:
        What each group means.
    """
    left = iter(values)
    return [group.read(*(next(left) for _ in group.inputs)) for group in groups]
