"""`Row`: one answer while it is written, token by token, alone or in a batch."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch

from assistant.config import GenerationConfig
from assistant.engine.prompt import Prompt


@dataclass(frozen=True)
class Generated:
    """One generated answer."""

    text: str
    ids: tuple[int, ...]
    """Without the end token."""
    log_probs: tuple[float, ...]
    """Natural logarithm of each token's probability, the end token's last if the answer came to its end."""
    finished: bool
    """False if the answer was cut at the token limit."""


class Writer(Protocol):
    """What writes text to prompts; `engine.generate.Generator` does it here, `serve.upstream` on another server."""

    def answer(
        self, prompts: Sequence[Prompt], options: Sequence[Sequence[str]], *, max_new_tokens: int | None = None
    ) -> list[tuple[Generated, list[float]]]:
        """Write an answer to each prompt and weigh its options; as `Generator.answer`."""
        ...

    def stream(self, prompt: Prompt, *, max_new_tokens: int | None = None) -> Iterator[str | Generated]:
        """Yield the answer in pieces, then the whole; as `Generator.stream`."""
        ...


class Ticket(Protocol):
    """One prompt on its way through a flow."""

    @property
    def brief(self) -> bool:
        """Whether its flow reads it apart, with `weigh`, so that it takes no place among texts being written."""
        ...

    @property
    def made(self) -> tuple[Generated, list[float]]:
        """The answer and the options' scores, once it is over; raises what went wrong with this one alone."""
        ...


class Flowing(Protocol):
    """Answers that are written at the same time, which others join, as `engine.flow.Flow` does."""

    going: list[Any]
    """Tickets of those that are being written."""

    @property
    def room(self) -> int:
        """How many may join now."""
        ...

    def join(self, tickets: Sequence[Any]) -> None:
        """Take in newcomers, at most `room` of them."""
        ...

    def weigh(self, tickets: Sequence[Any]) -> None:
        """Read brief ones, any number, to their end."""
        ...

    def step(self) -> list[Any]:
        """Go on a little; return the tickets of those that are over, which have left."""
        ...


@runtime_checkable
class JoiningWriter(Writer, Protocol):
    """A writer whose batches others can join."""

    def flow(self, size: int | None = None) -> Flowing:
        """Return what tickets join; used under `torch.inference_mode`."""
        ...

    def ticket(self, prompt: Prompt, options: Sequence[str] = (), *, max_new_tokens: int | None = None) -> Any:
        """Return what joins a flow, as a `Ticket`."""
        ...


class Row:
    """Takes the tokens of one answer, and says when it is over.

    Args:
        prompt: what is answered, with its own sampling.
        settings: what the prompt's sampling leaves open.
        longest: the most tokens, unless the sampling says otherwise.
        room: the most tokens that the model's context leaves.
        ends: ids that end an answer.
        decode: ids to text.
    """

    def __init__(
        self,
        prompt: Prompt,
        settings: GenerationConfig,
        *,
        longest: int,
        room: int,
        ends: frozenset[int],
        decode: Callable[[Sequence[int]], str],
    ) -> None:
        own = prompt.sampling
        self.temperature = settings.temperature if own.temperature is None else own.temperature
        self.top_p = settings.top_p if own.top_p is None else own.top_p
        self.dice = _dice(prompt, settings.seed if own.seed is None else own.seed) if self.temperature > 0 else None
        self.over = False
        """Whether the answer has come to its end."""
        self.pieces: list[str] = []
        """Text that will not change and that nobody has taken yet."""
        self._own = own
        self.limit = min(own.max_new_tokens or longest, room)
        """The most tokens of the answer, its end included."""
        self._ends, self._decode = ends, decode
        self._ids: list[int] = []
        self._log_probs: list[float] = []
        self._finished = False
        self._sent = 0
        self._watched = False

    def watch(self) -> None:
        """Begin to collect `pieces`; without a reader they are not worth their time."""
        self._watched = True

    def take(self, token: int, log_prob: float) -> None:
        """Add one token.

        Args:
            token: its id.
            log_prob: natural logarithm of its probability.
        """
        self._log_probs.append(log_prob)
        if token in self._ends:
            self._finished = self.over = True
        else:
            self._ids.append(token)
            self.over = len(self._log_probs) >= self.limit
        if self._own.cancelled is not None and self._own.cancelled():
            self.over = True
            return
        if not (self._watched or self._own.stop or self._own.on_text):
            return
        text, stopped = until(self._decode(self._ids), self._own.stop)
        if stopped:
            self._finished = self.over = True
        self._tell(text if self.over else whole_words(held_back(text, self._own.stop)))

    def _tell(self, text: str) -> None:
        piece, self._sent = text[self._sent :], max(self._sent, len(text))
        if piece and self._watched:
            self.pieces.append(piece)
        if piece and self._own.on_text is not None:
            self._own.on_text(piece)

    def taken(self) -> list[str]:
        """Return the pieces collected so far, and forget them."""
        pieces, self.pieces = self.pieces, []
        return pieces

    def generated(self) -> Generated:
        """Return the whole answer."""
        text, _ = until(self._decode(self._ids), self._own.stop)
        return Generated(text, tuple(self._ids), tuple(self._log_probs), self._finished)


def pick(logits: torch.Tensor, rows: Sequence[Row]) -> torch.Tensor:
    """Choose the next token of each row as its sampling says.

    Args:
        logits: (B, V).
        rows: B of them.
    Returns:
        (B,) token ids.
    """
    tokens = logits.argmax(-1)
    for place, row in enumerate(rows):
        if row.dice is None:
            continue
        probabilities = torch.softmax(logits[place].double() / row.temperature, dim=-1).cpu()
        ordered, places = probabilities.sort(descending=True)
        ordered[ordered.cumsum(-1) - ordered >= row.top_p] = 0
        tokens[place] = places[torch.multinomial(ordered, 1, generator=row.dice)[0]].to(tokens.device)
    return tokens


def until(text: str, stop: Sequence[str]) -> tuple[str, bool]:
    """Return the part of a text before the first stop word, and whether there was one."""
    places = [place for word in stop if (place := text.find(word)) >= 0]
    return (text[: min(places)].rstrip(), True) if places else (text, False)


def held_back(text: str, stop: Sequence[str]) -> str:
    """Return a growing text without an end that may become a stop word."""
    overlap = max(
        (size for word in stop for size in range(1, len(word)) if text.endswith(word[:size])),
        default=0,
    )
    return text[: len(text) - overlap]


def whole_words(text: str) -> str:
    """Return the part of a growing text that will not change: up to the last gap, and no half character."""
    cut = max((place for place, char in enumerate(text) if char.isspace()), default=0)
    broken = text.find("\ufffd")
    return text[:cut] if broken < 0 else text[: min(cut, broken)]


def _dice(prompt: Prompt, seed: int) -> torch.Generator:
    # Seeded by the prompt too, so that a row draws the same alone and in any batch. Mixed into 32 bits, because
    # that is all that the CPU's generator reads of a seed.
    ids = np.asarray([seed, *prompt.ids], dtype=np.int64)
    return torch.Generator().manual_seed(zlib.crc32(ids.tobytes()))
