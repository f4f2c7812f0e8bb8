"""`RayEngine`: batches go to actors, what they make of them comes back; an actor that ends costs no study its report.

    studies ─► actor: hash ─► ledger: ours? ─► the same actor: decode, report ─► pages, then lines of the ledger

Only paths, settings and finished reports travel. Inputs, model and index lie on a drive that every machine has under
the same name. SQLite's locks cannot be trusted there, so this process alone writes the run's folder.
"""

from __future__ import annotations

import logging
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from assistant.cluster.actor import ReportActor
from assistant.cluster.session import machines_of, ray_session, shares
from assistant.errors import WorklistError
from assistant.imaging.identity import installation_salt
from assistant.readahead import Prepared, RunSettings, claimed, holds_volume
from assistant.worklist import Outcome, Summary, keep

if TYPE_CHECKING:
    from assistant.commands.opened import Opener
    from assistant.config import AssistantConfig
    from assistant.ledger import Ledger
    from assistant.studies import Study

logger = logging.getLogger(__name__)

AHEAD = 2
"""Batches that one actor holds: while the model reports on one, the files of the other are read."""
DEATHS = 2
"""So often may actors end while they hold a batch, before its studies go one by one."""
PATIENCE_S = 120
"""After so long without any actor, it is said that Ray may have no room for one."""
HOPELESS = 10
"""After so many ends of actors without a report in between, the run stops."""


@dataclass
class Job:
    """A batch on its way: first its studies alone, then claimed."""

    studies: Sequence[Study]
    batch: Sequence[Prepared] | None = None
    deaths: int = 0
    """How often an actor ended while it held the batch."""


@dataclass
class Post:
    """One actor and what it is at work on."""

    actor: Any
    ready: bool = False
    jobs: list[Job] = field(default_factory=list)

    @property
    def has_room(self) -> bool:
        """Whether it takes another batch; one that an actor ended with goes alone."""
        return self.ready and len(self.jobs) < AHEAD and not any(job.deaths for job in self.jobs)


class RayEngine:
    """Reports on studies through actors; an `assistant.worklist.Engine`.

    Args:
        ray: the module.
        studies: what to report on.
        settings: the run's; which model and index report is asked of the first actor.
        begin: starts one actor; it returns the actor, and what will say its fingerprints.
        actors: how many.
    """

    def __init__(
        self,
        ray: Any,
        studies: Iterable[Study],
        settings: RunSettings,
        begin: Callable[[], tuple[Any, Any]],
        actors: int,
    ) -> None:
        self._ray = ray
        self._settings = settings
        self._begin = begin
        self._actors = actors
        self._studies = studies
        self._new: Iterator[Job] = iter(())
        self._again: deque[Job] = deque()
        self._posts: list[Post] = []
        self._flying: dict[Any, tuple[Post, Job | None]] = {}
        self._fingerprints: tuple[str, ...] | None = None
        self._seen: set[str] = set()
        self._ends = 0

    def __call__(self, ledger: Ledger) -> Iterator[Outcome]:
        """Yield what came of each batch, as they end.

        Args:
            ledger: decides what is left.
        Yields:
            One outcome a batch.
        Raises:
            WorklistError: actors end again and again, or hold different models.
        """
        self._new = (Job(chunk) for chunk in chunks(ledger.adopted(self._studies), self._settings.batch_size))
        for _ in range(self._actors):
            self._post_one()
        while True:
            self._hand_out()
            if not any(job for _, job in self._flying.values()) and any(post.ready for post in self._posts):
                return
            done, _ = self._ray.wait(list(self._flying), num_returns=1, timeout=PATIENCE_S)
            if not done:
                self._tell_of_waiting()
                continue
            (ended,) = done
            post, job = self._flying.pop(ended)
            try:
                result = self._ray.get(ended)
            except self._ray.exceptions.RayTaskError as error:
                raise error.cause from None
            except self._ray.exceptions.RayError as error:
                logger.info("an actor ended (%s)", type(error).__name__)
                yield from self._bury(post)
                continue
            if job is None:
                self._welcome(post, result)
            elif job.batch is None:
                job.batch = [self._claim(ledger, *one) for one in zip(job.studies, result, strict=True)]
                self._flying[post.actor.report.remote(job.batch, self._settings)] = post, job
            else:
                post.jobs.remove(job)
                self._ends = 0
                yield result

    def _tell_of_waiting(self) -> None:
        """Say that no actor is there, where Ray may be waiting for a machine that never comes."""
        if not any(post.ready for post in self._posts):
            logger.error(
                "No actor has begun for %d s: it loads, or no machine of the cluster has room. `ray status` tells; "
                "fewer --actors, or one more machine, help.",
                PATIENCE_S,
            )

    def _post_one(self) -> None:
        actor, fingerprints = self._begin()
        post = Post(actor)
        self._posts.append(post)
        self._flying[fingerprints] = post, None

    def _welcome(self, post: Post, fingerprints: tuple[str, ...]) -> None:
        """Let an actor that has loaded its model take part."""
        if self._fingerprints is None:
            model, *index = self._fingerprints = fingerprints
            self._settings = replace(self._settings, model=model, index=index[0] if index else None)
        if fingerprints != self._fingerprints:
            raise WorklistError(
                "Two machines hold different models or indexes under the same name. Put one copy on the shared drive, "
                "and name it with --model and --index."
            )
        post.ready = True

    def _hand_out(self) -> None:
        for post in self._posts:
            while post.has_room and (job := self._next(post)) is not None:
                post.jobs.append(job)
                if job.batch is None:
                    told = post.actor.keys.remote(job.studies, self._settings)
                else:
                    told = post.actor.report.remote(job.batch, self._settings)
                self._flying[told] = post, job

    def _next(self, post: Post) -> Job | None:
        if not self._again:
            return next(self._new, None)
        # What an actor ended with waits for one that holds nothing else: no other study shall share its fate.
        return None if self._again[0].deaths and post.jobs else self._again.popleft()

    def _claim(self, ledger: Ledger, study: Study, key: str) -> Prepared:
        """Ask the ledger for a study; the second of two equal ones comes as if it were done."""
        prepared = claimed(study, key, ledger.claim)
        if prepared.id in self._seen:
            return replace(prepared, waiting=False, error=None, for_good=False)
        self._seen.add(prepared.id)
        return prepared

    def _bury(self, post: Post) -> Iterator[Outcome]:
        """Put another actor in the place of one that ended; its batches are done again, once."""
        # It may live where only the line to it broke, and would be at work on the same studies.
        self._ray.kill(post.actor)
        self._ends += 1
        if self._ends >= HOPELESS:
            raise WorklistError(
                f"{self._ends} actors ended without one report in between. Try with --engine local, or with fewer "
                "--actors: the memory may be too small."
            )
        self._posts.remove(post)
        self._flying = {told: held for told, held in self._flying.items() if held[0] is not post}
        for job in post.jobs:
            job.deaths += job.batch is not None
            if job.deaths < DEATHS:
                self._again.append(job)
            elif len(job.studies) > 1 and job.batch is not None:
                self._again.extend(Job([one.study], [one], DEATHS - 1) for one in job.batch)
            elif job.batch is not None:
                error = "The process ended each time that it held this study. Look at its files."
                yield Outcome(failures=[one.failure(error) for one in job.batch if one.waiting])
        self._post_one()


def chunks(studies: Iterable[Study], size: int) -> Iterator[list[Study]]:
    """Yield lists of `size` studies, the last one shorter; a volume ends its list, as its pictures fill the memory."""
    chunk: list[Study] = []
    for study in studies:
        chunk.append(study)
        if len(chunk) == size or holds_volume(study):
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def run_on_ray(
    studies: Iterable[Study],
    settings: RunSettings,
    config: AssistantConfig,
    open_assistant: Opener,
    cluster: tuple[int | None, str | None] = (None, None),
    on_progress: Callable[[str], None] = lambda outcome: None,
) -> Summary:
    """Report on every study that the folder has no report on yet, through Ray.

    Args:
        studies: from `collect_studies`.
        settings: the run's; model and index are filled in.
        config: names model and index.
        open_assistant: loads them, in each actor.
        cluster: how many actors, where None takes one a GPU, or one a machine without GPUs; and the address of a
            cluster that runs, where None begins Ray on this machine.
        on_progress: see `worklist.keep`.
    Returns:
        Counts and times of this run.
    Raises:
        AssistantError: Ray, the model, the index or the folder cannot be used.
    """
    actors, address = cluster
    with ray_session(address) as ray:
        count, share = shares(machines_of(ray), actors)
        remote = ray.remote(ReportActor).options(max_concurrency=AHEAD + 1, max_restarts=0, **share)
        salt = installation_salt()

        def begin() -> tuple[Any, Any]:
            actor = remote.remote()
            return actor, actor.begin.remote(open_assistant, config, os.getcwd(), salt)

        return keep(RayEngine(ray, studies, settings, begin, count), settings, on_progress)
