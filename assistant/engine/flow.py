"""`Flow`: answers that are written together; others join while it runs, and each leaves when it is done.

A newcomer's prompt is read between two steps, and its row stands beside the others from then on. A row that has come
to its end, or that was cancelled, gives its place back at the same step. What a row says does not depend on the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from assistant.engine.batch import Batch
from assistant.engine.language import Language
from assistant.engine.prefix import PrefixCache, prefill
from assistant.engine.prompt import Prompt, PromptEncoder
from assistant.engine.row import Generated, Row, pick

_MAX_OPTION_ROWS = 64
_ROOM = 256
"""Most columns that are made room for at once beyond a prompt."""


@dataclass(eq=False)
class Ticket:
    """One prompt on its way through a flow."""

    prompt: Prompt
    row: Row
    options: Sequence[str] = ()
    """Continuations to weigh before the answer is written."""
    scores: list[float] = field(default_factory=list)
    """The log-probability that the whole answer is each option."""

    @property
    def brief(self) -> bool:
        """Whether the first token ends it: then it needs no place among those that are written."""
        return self.row.limit <= 1

    @property
    def made(self) -> tuple[Generated, list[float]]:
        """The answer and the options' scores."""
        return self.row.generated(), self.scores


class Flow:
    """A batch that others may join.

    Args:
        language: the model.
        encoder: makes the tokens of options.
        cache: of beginnings that were read before.
        size: the most rows at once.
        sharing: whether beginnings that prompts share are read once.
    """

    def __init__(
        self, language: Language, encoder: PromptEncoder, cache: PrefixCache, *, size: int, sharing: bool = True
    ) -> None:
        self._language, self._encoder, self._cache = language, encoder, cache
        self.size, self._sharing = size, sharing
        self._batch: Batch | None = None
        self.going: list[Ticket] = []
        """Those that are being written, in the order of their rows."""
        self.steps = 0
        """Passes of one token for each row so far."""

    @property
    def room(self) -> int:
        """How many may join now."""
        return self.size - len(self.going)

    def join(self, tickets: Sequence[Ticket]) -> None:
        """Read the prompts of newcomers, weigh their options, and let them stand beside the others.

        Args:
            tickets: at most `room` of them.
        """
        if not tickets:
            return
        prompts = [ticket.prompt for ticket in tickets]
        more = min(_ROOM, max(ticket.row.limit for ticket in tickets))
        # Memory that is not used yet costs a CPU nothing; else all rows would move when the first others come.
        later = self.size if self._batch is None and self._language.device.type == "cpu" else 0
        batch = prefill(self._language, prompts, self._cache, more=more, sharing=self._sharing, rows_later=later)
        for ticket, scores in zip(tickets, self.score(batch, tickets), strict=True):
            ticket.scores = scores
        if self._batch is None:
            self._batch = batch
        else:
            self._batch.cache.trim()
            self._batch.absorb(batch)
        self.going += tickets

    def weigh(self, tickets: Sequence[Ticket]) -> None:
        """Read prompts whose answers are brief, weigh their options and take their only token.

        They never stand beside the others, so that a question asked for the weights of its options alone takes no
        place from a text that is being written.

        Args:
            tickets: brief ones, any number; as many are read at once as the flow takes.
        """
        for start in range(0, len(tickets), self.size):
            part = tickets[start : start + self.size]
            prompts = [ticket.prompt for ticket in part]
            batch = prefill(self._language, prompts, self._cache, more=0, sharing=self._sharing)
            for ticket, scores in zip(part, self.score(batch, part), strict=True):
                ticket.scores = scores
            _take(batch, part)

    def step(self) -> list[Ticket]:
        """Give every row its next token; return those that are over, which have left."""
        batch = self._batch
        if batch is None:
            return []
        tokens = _take(batch, self.going)
        done = [ticket for ticket in self.going if ticket.row.over]
        places = [place for place, ticket in enumerate(self.going) if not ticket.row.over]
        if not places:
            self._batch, self.going = None, []
            return done
        if done:
            order = batch.keep(places)
            tokens = tokens[torch.tensor(order, device=tokens.device)]
            self.going = [self.going[place] for place in order]
        self.steps += 1
        batch.logits = self._language.advance(batch, tokens)
        return done

    def score(self, batch: Batch, tickets: Sequence[Ticket]) -> list[list[float]]:
        """Weigh the options of rows that have just been read."""
        wanted = [
            (row, self._encoder.continuation(ticket.prompt, option))
            for row, ticket in enumerate(tickets)
            for option in ticket.options
        ]
        scores: list[list[float]] = [[] for _ in tickets]
        for start in range(0, len(wanted), _MAX_OPTION_ROWS):
            part = wanted[start : start + _MAX_OPTION_ROWS]
            for (row, _), score in zip(part, self.log_probs(batch, part).sum(-1).tolist(), strict=True):
                scores[row].append(float(score))
        return scores

    def log_probs(self, batch: Batch, wanted: Sequence[tuple[int, list[int]]]) -> torch.Tensor:
        """Tell how likely texts are after prompts that have just been read.

        Args:
            batch: of the prompts.
            wanted: rows of it, each with the N or fewer ids of a text; a row may come several times.
        Returns:
            (texts, N) natural logarithms of each token's probability, 0 beyond a text's end.
        """
        device = batch.logits.device
        longest = max(len(ids) for _, ids in wanted)
        ids = torch.zeros((len(wanted), longest), dtype=torch.long)
        mask = torch.zeros((len(wanted), longest), dtype=torch.bool)
        for place, (_, option) in enumerate(wanted):
            ids[place, : len(option)] = torch.tensor(option)
            mask[place, : len(option)] = True
        ids, mask = ids.to(device), mask.to(device)
        rows = torch.tensor([row for row, _ in wanted], device=device)
        logits = batch.logits[rows][:, None]
        if longest > 1:
            # Padding stands on the right here: no real token comes after it, so none can see it.
            branch = Batch(batch.cache.repeated(rows, longest), batch.counts[rows], batch.padded)
            embeds = self._language.token_embeds(ids[:, :-1])
            after = self._language.extend(branch, embeds, mask[:, :-1], last=longest - 1)
            logits = torch.cat([logits, after], dim=1)
        chosen = torch.log_softmax(logits, dim=-1).gather(2, ids[:, :, None])[:, :, 0]
        return chosen * mask


def _take(batch: Batch, tickets: Sequence[Ticket]) -> torch.Tensor:
    """Give every row its next token; return them: (B,)."""
    tokens = pick(batch.logits, [ticket.row for ticket in tickets])
    chosen = batch.logits.gather(1, tokens[:, None])[:, 0] - batch.logits.logsumexp(-1)
    for ticket, token, log_prob in zip(tickets, tokens.tolist(), chosen.tolist(), strict=True):
        ticket.row.take(token, log_prob)
    return tokens


def write_all(flow: Flow, tickets: Sequence[Ticket]) -> None:
    """Write every ticket's answer, as many at once as the flow takes; new ones join when a quarter has left.

    Args:
        flow: with nothing in it.
        tickets: in the order in which they join.
    """
    waiting = [ticket for ticket in reversed(tickets) if not ticket.brief]
    while waiting or flow.going:
        # One prompt at a time would be read slowly; some are read together.
        if waiting and flow.room >= (flow.size + 3) // 4:
            flow.join([waiting.pop() for _ in range(min(flow.room, len(waiting)))])
        flow.step()
    flow.weigh([ticket for ticket in tickets if ticket.brief])
