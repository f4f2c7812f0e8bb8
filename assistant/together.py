"""`Together`: questions and studies that the model works on at the same time; others join while it does.

What comes later is guarded, looked at and searched for between two steps of the model, and its prompt is read then.
Each is finished and handed out when its own text has ended, whatever the others still have to say.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice

import torch

from assistant.case import Case
from assistant.config import GenerationConfig
from assistant.conversation import Answer, Question, Report, ReportRequest
from assistant.engine.row import Flowing, JoiningWriter, Ticket, Writer
from assistant.errors import AssistantError

logger = logging.getLogger(__name__)

Asked = Question | ReportRequest
Outcome = Answer | Report | Exception
More = Callable[[int], Sequence[Asked]]
"""Asked for so many more at most; gives what there is, or nothing."""


class _Item:
    """One of those that are worked on."""

    def __init__(self, number: int, case: Case) -> None:
        self.number, self.case = number, case
        self.parts: list[Case] = [one for one in (case, *case.asides) if one.prompt is not None]
        """What is to be written for it: its own text and what is asked besides."""
        self.left = len(self.parts)
        """How many of them are not written yet."""
        self.error: Exception | None = None
        """What kept a part of it from being written."""
        self.seconds = 0.0
        """Its share of the time spent so far."""


class Together:
    """Works on several questions and studies at once.

    Args:
        prepare: guards, retrieves and prompts; one case for each of those asked.
        finish: makes an answer or a report of a case whose text is written.
        writer: what writes; others join where it can have them.
        settings: how long a report may be.
        size: how many at once.
    """

    def __init__(
        self,
        prepare: Callable[[Sequence[Asked]], list[Case]],
        finish: Callable[[Case], Answer | Report],
        writer: Writer,
        settings: GenerationConfig,
        size: int,
    ) -> None:
        self._prepare, self._finish, self._writer = prepare, finish, writer
        self._settings, self._size = settings, size
        self._few = (size + 3) // 4
        self._part = min(size, settings.batch_size)
        """How many are read at once: then their beginnings are still known when their checks are weighed."""

    def run(self, more: More, *, eager: bool = False) -> Iterator[tuple[int, Outcome]]:
        """Work until nothing is left.

        Args:
            more: asked whenever there is room; the first time it gives nothing while nothing runs, the work ends.
            eager: let others join one by one as they come, a few at a step, so that nobody waits long; else some
                are let in together, which takes less time in all.
        Yields:
            The number of each in the order in which `more` gave them, and what came of it: an answer, a report, or
            the error that is its own alone. They come in the order in which they end.
        """
        flow = self._writer.flow(self._size) if isinstance(self._writer, JoiningWriter) else None
        going: dict[Ticket, tuple[_Item, Case]] = {}
        count = 0
        while True:
            started = time.perf_counter()
            asked = list(more(self._wanted(len(going), eager)))
            if not asked and not going:
                return
            made: list[tuple[int, Case | Exception]] = list(enumerate(self._cases(asked), count))
            count += len(asked)
            items = [_Item(number, case) for number, case in made if isinstance(case, Case)]
            ended = self._write(flow, items, going)
            active = [*{id(item): item for item, _ in going.values()}.values(), *ended]
            for item in active:
                item.seconds += (time.perf_counter() - started) / len(active)
            yield from ((number, error) for number, error in made if isinstance(error, Exception))
            for item in ended:
                yield item.number, self._outcome(item)

    def _wanted(self, going: int, eager: bool) -> int:
        """Return how many to ask for: a batch at first, then a few when there is room for them."""
        room = min(self._part, max(0, self._size - going))
        if not going:
            return room
        if eager:
            return min(room, self._few)
        return room if self._size - going >= self._few else 0

    def _cases(self, asked: Sequence[Asked]) -> list[Case | Exception]:
        """Prepare those asked together; where that fails, one by one, so that each has its own error."""
        if not asked:
            return []
        try:
            return list(self._prepare(asked))
        except Exception as error:
            if len(asked) == 1:
                return [error]
            return [case for one in asked for case in self._cases([one])]

    def _write(
        self, flow: Flowing | None, items: Sequence[_Item], going: dict[Ticket, tuple[_Item, Case]]
    ) -> list[_Item]:
        """Let newcomers join as there is room and take a step; return what has ended, of which some needed none."""
        ended = [item for item in items if not item.left]
        if flow is None or not isinstance(self._writer, JoiningWriter):
            waiting = [item for item in items if item.left]
            write_cases(self._writer, [case for item in waiting for case in item.parts], self._settings)
            return [*ended, *waiting]
        for item in items:
            going.update({_ticket(self._writer, case, self._settings): (item, case) for case in item.parts})
        running = set(flow.going)
        # All of them where others may come at the next step, whose beginnings take the place of those of these.
        most = len(going) if self._part < self._size else self._size
        brief = [ticket for ticket in going if ticket.brief][:most]
        # Entered anew each time: it must not stay switched on while the reader of `run` has its turn.
        with torch.inference_mode():
            flow.join([ticket for ticket in going if ticket not in running and not ticket.brief][: flow.room])
            # After the texts of the same pictures, whose beginnings are known then.
            flow.weigh(brief)
            done = flow.step()
        for ticket in (*brief, *done):
            item, case = going.pop(ticket)
            try:
                case.generated, case.scores = ticket.made
            except AssistantError as error:
                item.error = error  # of this one alone: the others are written all the same
            item.left -= 1
            if not item.left:
                ended.append(item)
        return ended

    def _outcome(self, item: _Item) -> Outcome:
        if item.error is not None:
            return item.error
        started = time.perf_counter()
        try:
            made = self._finish(item.case)
        except Exception as error:
            return error
        return replace(made, seconds=item.seconds + time.perf_counter() - started)


def write_cases(writer: Writer, cases: Sequence[Case], settings: GenerationConfig) -> None:
    """Write the texts of cases that have prompts, all at once, and put them into the cases."""
    for longest in (None, settings.report_max_new_tokens):
        part = [case for case in cases if (case.request is None) == (longest is None) and case.prompt is not None]
        if not part:
            continue
        prompts = [case.prompt for case in part if case.prompt is not None]
        forms = [[form for _, form in case.forms] for case in part]
        made = writer.answer(prompts, forms, max_new_tokens=longest)
        for case, (generated, scores) in zip(part, made, strict=True):
            case.generated, case.scores = generated, scores


def _ticket(writer: JoiningWriter, case: Case, settings: GenerationConfig) -> Ticket:
    if case.prompt is None:
        raise ValueError("The case has no prompt.")
    longest = None if case.request is None else settings.report_max_new_tokens
    made: Ticket = writer.ticket(case.prompt, [form for _, form in case.forms], max_new_tokens=longest)
    return made


def in_order(together: Together, asked: Iterable[Asked], message: str) -> Iterator[Answer | Report]:
    """Work through many, and yield what came of each in their order.

    Args:
        together: does the work.
        asked: any number; read as there is room.
        message: for the log, with places for count and seconds.
    Yields:
        The answers and reports.
    """
    source, started = iter(asked), time.perf_counter()
    ready: dict[int, Outcome] = {}
    count = 0
    for number, outcome in together.run(lambda most: list(islice(source, most))):
        ready[number] = outcome
        while count in ready:
            made = ready.pop(count)
            if isinstance(made, Exception):
                raise made
            count += 1
            yield made
    logger.info(message, count, time.perf_counter() - started)
