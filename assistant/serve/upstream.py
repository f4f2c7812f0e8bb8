"""`UpstreamWriter`: another OpenAI-style server writes the text; retrieval, review and the audit log stay here.

What goes there: the prompt as this assistant lays it out, and the images' pixels as PNG, with nothing of their headers.
What must come back: the text, and the probabilities of its tokens, from which the confidence is worked out; a server
that tells none can be helped out with the model here. As many answers are written there at once as the settings say,
each on its own: it begins when it is asked for, and leaves when its own text has ended.
"""

from __future__ import annotations

import base64
import io
import math
import queue
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Protocol

from assistant.config import GenerationConfig
from assistant.deidentify.shown import check, shown
from assistant.engine.prompt import Prompt
from assistant.engine.row import Generated
from assistant.errors import ModelError
from assistant.imaging.picture import Picture
from assistant.questions import matching_option
from assistant.serve.settings import ServeConfig
from assistant.serve.upstream_events import Collected
from assistant.serve.upstream_link import UpstreamLink

_TICK_S = 0.02
"""How often it is looked whether others may join, or somebody has left, while nothing ends."""


class Scorer(Protocol):
    """The model here, which can tell how likely a text is; `engine.generate.Generator`."""

    def weigh(self, prompt: Prompt, text: str, *, ended: bool) -> tuple[float, ...]:
        """Return the log-probability of each token of a text."""
        ...

    def score_options(self, prompt: Prompt, options: Sequence[str]) -> list[float]:
        """Return the log-probability that the whole answer is each option."""
        ...


@dataclass(eq=False)
class UpstreamTicket:
    """One prompt on its way to the other server and back."""

    prompt: Prompt
    options: Sequence[str]
    request: dict[str, Any]
    collected: Collected
    scorer: Scorer | None
    missing: str
    """What to say when the answer comes without probabilities."""
    future: Future[None] | None = None

    @property
    def brief(self) -> bool:
        """Never: what the server reads together is its own affair."""
        return False

    @property
    def gone(self) -> bool:
        """Whether nobody waits for the answer any more."""
        return self.prompt.sampling.cancelled is not None and self.prompt.sampling.cancelled()

    @property
    def made(self) -> tuple[Generated, list[float]]:
        """The answer and a log-probability of each option; to be asked for once it is over.

        Raises:
            UpstreamError: the server did not write it.
            ModelError: it tells no probabilities.
        """
        if self.future is None or (self.future.cancelled() and not self.gone):
            raise ModelError("The way to the upstream server was closed while it wrote. Ask again.")
        if self.future.cancelled():
            return Generated(self.collected.text(), (), (), False), [-math.inf] * len(self.options)
        self.future.result()
        text = self.collected.text()
        ended = self.collected.over or self.collected.reason != "length"
        if self.scorer is not None:
            made = Generated(text, (), self.scorer.weigh(self.prompt, text, ended=ended), ended)
            return made, self.scorer.score_options(self.prompt, self.options) if self.options else []
        if text and not self.collected.log_probs:
            raise ModelError(self.missing)
        made = Generated(text, (), tuple(self.collected.log_probs), ended)
        return made, _scores(made, self.options)


class UpstreamFlow:
    """Answers that are written there at the same time; others join while it runs. Used as `engine.flow.Flow`."""

    def __init__(self, link: UpstreamLink, size: int) -> None:
        """Begin with none.

        Args:
            link: to the server.
            size: the most at once.
        """
        self.size, self._link = size, link
        self.going: list[UpstreamTicket] = []
        """Those that are being written."""
        self._wake = threading.Event()

    @property
    def room(self) -> int:
        """How many may join now."""
        return self.size - len(self.going)

    def join(self, tickets: Sequence[UpstreamTicket]) -> None:
        """Ask for the answers of newcomers, at most `room` of them."""
        for ticket in tickets:
            ticket.future = self._link.run(
                self._link.write(ticket.request, ticket.collected, ticket.prompt.sampling.name)
            )
            ticket.future.add_done_callback(lambda _: self._wake.set())
        self.going += tickets

    def weigh(self, tickets: Sequence[UpstreamTicket]) -> None:
        """Refuse all: none is brief."""
        if tickets:
            raise ValueError("Tickets of an upstream server are joined, never weighed apart.")

    def step(self) -> list[UpstreamTicket]:
        """Wait a moment, or until an answer has ended; return those that are over, which have left."""
        if not self.going:
            return []
        self._wake.wait(_TICK_S)
        self._wake.clear()
        for ticket in self.going:
            if ticket.gone and ticket.future is not None:
                ticket.future.cancel()
        done = [ticket for ticket in self.going if ticket.future is not None and ticket.future.done()]
        self.going = [ticket for ticket in self.going if ticket not in done]
        return done


class UpstreamWriter:
    """Writes to prompts as `Generator` does, on another server.

    Args:
        serve: its address, its model's name, its key, how many requests at once.
        settings: what the prompts' sampling leaves open.
    """

    def __init__(self, serve: ServeConfig, settings: GenerationConfig) -> None:
        check()  # images go there: text in them must be found, or be meant to stay
        self.link = UpstreamLink(serve)
        """The way there."""
        self.scorer: Scorer | None = None
        """Works out probabilities here, where the server tells none."""
        self.score_here = serve.upstream_score_here
        self._most, self._settings = serve.upstream_requests, settings

    def close(self) -> None:
        """End the connections to the other server."""
        self.link.close()

    def answer(
        self, prompts: Sequence[Prompt], options: Sequence[Sequence[str]], *, max_new_tokens: int | None = None
    ) -> list[tuple[Generated, list[float]]]:
        """Write an answer to each prompt, all at once; the other server batches them.

        Args:
            prompts: any number.
            options: for each prompt the continuations to weigh; may be empty.
            max_new_tokens: the settings' own, unless given.
        Returns:
            For each prompt, in order, the free answer, and a log-probability of each option: the written one has its
            own, the others share the rest. All are minus infinity if none of them was written.
        Raises:
            AssistantError: the server cannot be reached, or answers something that cannot be used.
        """
        flow = self.flow()
        tickets = [
            self.ticket(prompt, choices, max_new_tokens=max_new_tokens)
            for prompt, choices in zip(prompts, options, strict=True)
        ]
        waiting = list(reversed(tickets))
        while waiting or flow.going:
            flow.join([waiting.pop() for _ in range(min(flow.room, len(waiting)))])
            flow.step()
        return [ticket.made for ticket in tickets]

    def stream(self, prompt: Prompt, *, max_new_tokens: int | None = None) -> Iterator[str | Generated]:
        """Yield the answer in pieces, then the whole; pieces join to its text."""
        pieces: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        flow, ticket = self.flow(1), self.ticket(prompt, max_new_tokens=max_new_tokens)
        ticket.collected.on_text = pieces.put
        flow.join([ticket])
        assert ticket.future is not None
        ticket.future.add_done_callback(lambda _: pieces.put(None))
        try:
            while (piece := pieces.get()) is not None:
                yield piece
        finally:
            ticket.future.cancel()
        made, _ = ticket.made
        while not pieces.empty():
            if rest := pieces.get():
                yield rest
        yield made

    def flow(self, size: int | None = None) -> UpstreamFlow:
        """Return what prompts join while others are being written.

        Args:
            size: the most at once; the settings' own unless given, and never more.
        Returns:
            With none in it.
        """
        return UpstreamFlow(self.link, min(size or self._most, self._most))

    def ticket(
        self, prompt: Prompt, options: Sequence[str] = (), *, max_new_tokens: int | None = None
    ) -> UpstreamTicket:
        """Return what joins a flow; as `Generator.ticket`."""
        missing = (
            f"The upstream server {self.link.address} tells no token probabilities (logprobs), from which the "
            "confidence is worked out. Use a server that does, such as vLLM or ours with --raw, or have them worked "
            "out by the model here: --upstream-score-here."
        )
        own = prompt.sampling
        scorer = self.scorer if self.score_here else None
        request = self._request(prompt, max_new_tokens)
        return UpstreamTicket(prompt, options, request, Collected(own.stop, own.on_text), scorer, missing)

    def _request(self, prompt: Prompt, max_new_tokens: int | None) -> dict[str, Any]:
        own, usual = prompt.sampling, self._settings
        waiting = iter(prompt.pictures)
        messages = [
            {"role": one["role"], "content": [_part(part, waiting) for part in one["content"]]}
            for one in prompt.messages
        ]
        request: dict[str, Any] = {
            "messages": messages,
            "stream": True,
            "temperature": usual.temperature if own.temperature is None else own.temperature,
            "top_p": usual.top_p if own.top_p is None else own.top_p,
            "seed": usual.seed if own.seed is None else own.seed,
            # Servers refuse a request that could outgrow the context.
            "max_tokens": min(own.max_new_tokens or max_new_tokens or usual.max_new_tokens, prompt.room),
        }
        if not self.score_here:
            request["logprobs"] = True
        return {**request, "stop": list(own.stop)} if own.stop else request


def _part(part: dict[str, str], waiting: Iterator[Picture]) -> dict[str, Any]:
    if part["type"] != "image":
        return dict(part)
    buffer = io.BytesIO()
    shown(next(waiting)).to_pil().save(buffer, "PNG")
    return {
        "type": "image_url",
        "image_url": {"url": f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"},
    }


def _scores(made: Generated, options: Sequence[str]) -> list[float]:
    chosen = matching_option(made.text, list(options)) if options else None
    if chosen is None:
        return [-math.inf] * len(options)
    share = min(math.exp(sum(made.log_probs)), 1 - 1e-9)
    same = [_plain(one) == _plain(chosen) for one in options]
    others = same.count(False)
    rest = math.log((1 - share) / others) if others else -math.inf
    first = same.index(True)
    return [
        math.log(max(share, 1e-300)) if place == first else -math.inf if alike else rest
        for place, alike in enumerate(same)
    ]


def _plain(text: str) -> str:
    return text.casefold().strip(" .")
