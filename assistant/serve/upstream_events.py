"""Reads what OpenAI-style servers send: their events differ more than their documentation does.

Seen: a space after "data:" or none, comments between events, errors as an event or as a chunk, a last chunk without
choices, a whole answer though a stream was asked for, probabilities in the older form of lists.
"""

from __future__ import annotations

import json
import math
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from assistant.engine.row import held_back, until

MAX_EVENT = 16_000_000
"""Most bytes of one event."""
_LEAST = -1000.0
"""Stands for the logarithm of a probability of 0, which JSON cannot hold; servers send other numbers."""


class BadEventError(ValueError):
    """An event that cannot be read, or that tells of an error."""


@dataclass(frozen=True)
class Event:
    """One piece of an answer."""

    text: str = ""
    log_probs: tuple[float, ...] = ()
    reason: str | None = None
    """Why the answer ended; None while it goes on."""


def read_event(data: str) -> Event:
    """Read one event.

    Args:
        data: its JSON: a chunk of a stream, or a whole answer.
    Returns:
        What it adds to the answer; of several choices the first.
    Raises:
        BadEventError: it is no JSON of this kind, or tells of an error.
    """
    try:
        told = json.loads(data)
    except ValueError:
        raise BadEventError("sent what is no JSON. Is it OpenAI-style?") from None
    if not isinstance(told, dict) or told.get("error") or told.get("object") == "error":
        raise BadEventError("failed while it wrote. See its log, and ask again.")
    choices = told.get("choices") or [{}]
    choice = choices[0] if isinstance(choices, list) and isinstance(choices[0], dict) else {}
    said = choice.get("delta") or choice.get("message") or {}
    text = said.get("content") if isinstance(said, dict) else None
    return Event(text if isinstance(text, str) else "", _log_probs(choice.get("logprobs")), choice.get("finish_reason"))


def _log_probs(told: Any) -> tuple[float, ...]:
    if not isinstance(told, dict):
        return ()
    values: Sequence[Any] = [one.get("logprob") for one in told.get("content") or () if isinstance(one, dict)]
    values = values or told.get("token_logprobs") or ()
    numbers = (float(one) if isinstance(one, (int, float)) else _LEAST for one in values)
    return tuple(_LEAST if math.isnan(one) else max(_LEAST, min(0.0, one)) for one in numbers)


async def data_of(parts: AsyncIterator[bytes]) -> AsyncIterator[str]:
    """Yield the data of each server-sent event.

    Lines end at line feeds alone: Python's own splitting would also cut at characters that may stand within a text.

    Args:
        parts: the bytes of a response, cut anywhere.
    Yields:
        The data, also of an event at the end that no empty line follows.
    Raises:
        BadEventError: an event is longer than any answer.
    """
    rest, lines = b"", list[str]()
    async for part in parts:
        *whole, rest = (rest + part).split(b"\n")
        for raw in whole:
            line = raw.rstrip(b"\r").decode("utf-8", "replace")
            if line.startswith("data:"):
                lines.append(line[5:].removeprefix(" "))
            elif not line and lines:
                yield "\n".join(lines)
                lines = []
        if len(rest) > MAX_EVENT:
            raise BadEventError(f"sent an event of more than {MAX_EVENT} bytes.")
    last = rest.decode("utf-8", "replace")
    lines += [last[5:].removeprefix(" ")] if last.startswith("data:") else []
    if lines:
        yield "\n".join(lines)


@dataclass
class Collected:
    """An answer while it comes in."""

    stop: tuple[str, ...] = ()
    """It ends before the first of these, though a server may send them."""
    on_text: Callable[[str], None] | None = None
    """Told each piece that will not change."""
    log_probs: list[float] = field(default_factory=list)
    reason: str | None = None
    told: bool = False
    """Whether anybody has read a part of it: then it cannot be asked for again."""
    _text: str = ""
    _sent: int = 0

    @property
    def over(self) -> bool:
        """Whether a stop word has come, so that the rest is not wanted."""
        return until(self._text, self.stop)[1]

    def begin_again(self) -> None:
        """Forget what came, which nobody has read, before it is asked for once more."""
        self._text, self.reason = "", None
        self.log_probs.clear()

    def take(self, event: Event) -> None:
        """Add what an event brings."""
        self._text += event.text if self._text else event.text.lstrip()
        self.log_probs += event.log_probs
        self.reason = event.reason or self.reason
        text, stopped = until(self._text, self.stop)
        self._tell(text if stopped else held_back(text, self.stop).rstrip())

    def text(self) -> str:
        """Return the whole text, and tell what was held back of it."""
        text = until(self._text, self.stop)[0].rstrip()
        self._tell(text)
        return text

    def _tell(self, text: str) -> None:
        piece = text[self._sent :]
        if piece and self.on_text is not None:
            self._sent, self.told = len(text), True
            self.on_text(piece)
